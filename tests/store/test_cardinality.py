"""Names on a real database: bounded by settings, the label that exploded told, idle ones let go."""

import asyncio

from datetime import UTC, date, datetime, timedelta

import asyncpg
import numpy as np
import structlog

from monitord import settings
from monitord.store import cells
from monitord.store.dictionaries import IDLE, Crowd, Dictionaries, Dictionary
from monitord.store.endpoint_stats import added_cells
from monitord.store.names import OVERFLOW, Caps, Endpoints, SeriesKind, SpanNames, pairs
from monitord.store.partitions import start_of
from monitord.store.pool import Store, open_pool
from monitord.store.retention import NAMES_KEPT_SECONDS, Keeper
from monitord.telemetry import Telemetry
from tests.frames import Waiting


SQL = asyncpg.Connection

TODAY = datetime.now(UTC).date()
NAMES = [("shop", "GET", f"/{number}") for number in range(4)]


class Clock:
    """A clock a test sets."""

    def __init__(self, day: date) -> None:
        self.day = day

    def __call__(self) -> float:
        return start_of(self.day) + 3_600


def series(name: str, **attributes: str) -> tuple[object, ...]:
    return "shop", name, "gauge", "1", pairs(attributes)


async def test_caps_are_settings(database: str, telemetry: Telemetry) -> None:
    """
    `store.names` says how many names of a service and of all are told apart, for each kind.
    """
    config = settings.Store(names=settings.Names(per_kind=3, total=5, series_total=6))
    async with open_pool(config, database, "test", telemetry) as store:
        await store.ready()
        dictionaries = Dictionaries(store)

        numbers = await dictionaries.endpoints.numbers([("shop", "GET", f"/{n}") for n in range(9)])
        assert len(set(numbers)) == 3 + 1
        many = [series(f"metric{n}", a=str(m)) for n in range(9) for m in range(2)]
        assert len(set(await dictionaries.series.numbers(many))) == 6 + 1


async def test_totals_of_series_and_steps_stay_exact(store: Store, sql: SQL) -> None:
    """
    Whatever is above a cap is counted under one entry of its service and name, kind by kind.
    """
    few = Caps(100, 3)
    steps = Dictionary(store, SpanNames(), few)
    numbers = await steps.numbers([("shop", f"GET /{n}", "client") for n in range(10)])
    rest = await sql.fetchval("SELECT span_name_id FROM span_names WHERE name = $1", OVERFLOW)
    assert numbers.count(rest) == 7

    depths = Dictionary(store, SeriesKind(), few)
    numbers = await depths.numbers([series("depth", user=str(n)) for n in range(10)])
    rest = await sql.fetchval("SELECT series_id FROM series WHERE attributes ? $1", OVERFLOW)
    assert numbers.count(rest) == 7


async def test_the_label_that_exploded_is_named(store: Store) -> None:
    """
    What is full is told with its largest label, and logged once, however many more names come.
    """
    depths = Dictionary(store, SeriesKind(), Caps(100, 6))
    calm = [series("calm", zone="a"), series("calm", zone="b")]
    names = [series("depth", user=str(n), zone=str(n % 2)) for n in range(10)]

    with structlog.testing.capture_logs() as lines:
        await depths.numbers([*calm, *names])
        await depths.numbers([series("depth", user=str(n)) for n in range(20, 30)])

    (crowd,) = depths.crowded()
    assert crowd == Crowd(("shop", "depth"), 7, "user", 6)
    told = [line for line in lines if line["event"] == "store.names_full"]
    assert [(line["table"], line["scope"], line["label"]) for line in told] == [
        ("series", ("shop", "depth"), "user")
    ]


async def test_a_flood_of_services_is_told_once(store: Store) -> None:
    """
    When all is full the largest scopes are told, and the log says so one time.
    """
    endpoints = Dictionary(store, Endpoints(), Caps(6, 3))

    with structlog.testing.capture_logs() as lines:
        await endpoints.numbers([("shop", "GET", "/a"), ("shop", "GET", "/b")])
        await endpoints.numbers([(f"service{n}", "GET", "/") for n in range(50)])
        await endpoints.numbers([(f"service{n}", "GET", "/") for n in range(50, 90)])

    assert endpoints.crowded()[0] == Crowd(("shop",), 2, "route", 2)
    assert [line["event"] for line in lines].count("store.names_full") == 1


async def test_nothing_is_crowded_below_the_caps(store: Store) -> None:
    """
    While there is room nothing is told.
    """
    dictionaries = Dictionaries(store)
    await dictionaries.endpoints.numbers(NAMES)

    assert dictionaries.crowded() == {
        "endpoints": [],
        "loggers": [],
        "span_names": [],
        "series": [],
    }


async def test_a_day_of_use_is_noted_once(store: Store, sql: SQL) -> None:
    """
    The names used on a day carry it, the others stay as they were; nothing is written again.
    """
    clock = Clock(TODAY + timedelta(days=1))
    endpoints = Dictionary(store, Endpoints(), Caps(100, 100), clock)
    await endpoints.numbers(NAMES)
    first = clock.day

    clock.day += timedelta(days=1)
    await endpoints.numbers(NAMES[:2])
    versions = await sql.fetch("SELECT route, xmin FROM endpoints ORDER BY route")
    await endpoints.numbers(NAMES[:2])

    used = await sql.fetch("SELECT route, used_on FROM endpoints ORDER BY route")
    assert [row["used_on"] for row in used] == [clock.day, clock.day, first, first]
    assert await sql.fetch("SELECT route, xmin FROM endpoints ORDER BY route") == versions


async def test_idle_names_make_room_and_come_back_with_their_numbers(
    store: Store, sql: SQL
) -> None:
    """
    A name not used for 30 days does not count towards the caps; when it returns it is itself.
    """
    clock = Clock(TODAY + timedelta(days=1))
    endpoints = Dictionary(store, Endpoints(), Caps(100, 4), clock)
    before = await endpoints.numbers(NAMES)
    other = ("shop", "GET", "/new")
    (rest,) = await endpoints.numbers([other])

    clock.day += IDLE
    await endpoints.numbers(NAMES[:1])
    assert await endpoints.numbers([other]) == [rest]

    clock.day += timedelta(days=1)
    (own,) = await endpoints.numbers([other])
    assert own not in {rest, *before}
    assert await endpoints.numbers(NAMES[:2]) == before[:2]
    assert await sql.fetchval("SELECT route FROM endpoints WHERE endpoint_id = $1", own) == "/new"


async def test_names_go_when_nothing_can_point_at_them(
    store: Store, sql: SQL, telemetry: Telemetry
) -> None:
    """
    A name is deleted long after the last of its rows can be; one that is used meanwhile stays.
    """
    now = (await sql.fetchval("SELECT clock_timestamp()")).timestamp()
    dictionaries = Dictionaries(store)
    await dictionaries.endpoints.numbers(NAMES)
    await dictionaries.span_names.numbers([("shop", "step", "client")])
    longest = timedelta(seconds=settings.Retention().rollup_days + NAMES_KEPT_SECONDS)
    today = datetime.fromtimestamp(now, UTC).date()
    for route, age in (("/1", longest), ("/2", longest + timedelta(days=1))):
        await sql.execute("UPDATE endpoints SET used_on = $2 WHERE route = $1", route, today - age)
    await sql.execute("UPDATE span_names SET used_on = '2020-01-01'")

    await Keeper(store, settings.Store(), Waiting(), telemetry).drop(now, 0)

    routes = await sql.fetchval("SELECT array_agg(route ORDER BY route) FROM endpoints")
    assert routes == ["/0", "/1", "/3"]
    assert await sql.fetchval("SELECT count(*) FROM span_names") == 0


async def test_a_name_deleted_under_a_daemon_is_numbered_anew(store: Store, sql: SQL) -> None:
    """
    A daemon that remembers a number which is gone finds out before a row is written with it.
    """
    clock = Clock(TODAY + timedelta(days=1))
    endpoints = Dictionary(store, Endpoints(), Caps(100, 100), clock)
    await endpoints.numbers(NAMES)
    endpoints._noted.clear()
    await sql.execute("DELETE FROM endpoints WHERE route = '/0'")

    (number, *_) = await endpoints.numbers(NAMES)

    assert await sql.fetchval("SELECT route FROM endpoints WHERE endpoint_id = $1", number) == "/0"


def test_cells_are_added_however_high_the_numbers_are() -> None:
    """
    Names that come and go leave high numbers behind; only those in the window take memory.
    """
    endpoints = np.array([1, 5_000_000])
    packed = [
        cells.pack(cells.CELLS, [endpoints, np.array([7, 2_047]), np.array([2, 3])])
        for _ in range(2)
    ]

    counts = added_cells(packed, endpoints)

    assert counts.key.tolist() == [(1 << 11) + 7, (5_000_000 << 11) + 2_047]
    assert counts.count.tolist() == [4, 6]


async def test_two_daemons_note_the_same_names(
    store: Store, database: str, config: settings.Store, telemetry: Telemetry
) -> None:
    """
    Two daemons of one instance that begin a day together neither wait for each other for ever nor
    differ.
    """
    clock = Clock(TODAY + timedelta(days=1))
    names = [("shop", "GET", f"/{n}") for n in range(300)]
    async with open_pool(config, database, "test", telemetry) as other:
        await other.ready()
        both = [Dictionary(one, Endpoints(), Caps(900, 900), clock) for one in (store, other)]
        first = [await one.numbers(names) for one in both]
        clock.day += timedelta(days=1)

        one, two = await asyncio.gather(both[0].numbers(names), both[1].numbers(names[::-1]))

    assert one == two[::-1] == first[0] == first[1]
