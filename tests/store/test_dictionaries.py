"""Names and their numbers on a real database: given once, bounded, not stopped by a bad name."""

import asyncio

import asyncpg
import pytest

from monitord import settings
from monitord.store.dictionaries import Dictionaries, Dictionary
from monitord.store.names import OVERFLOW, Caps, Endpoints, Series, pairs
from monitord.store.pool import Store, open_pool
from monitord.telemetry import Telemetry


SQL = asyncpg.Connection


# Caps a test can reach.
FEW = Caps(6, 3)


async def test_name_keeps_its_number(store: Store) -> None:
    """
    The same name has the same number in every batch and after a restart.
    """
    names = [("shop", "GET", "/a"), ("shop", "GET", "/b"), ("shop", "GET", "/a")]
    first = await Dictionaries(store).endpoints.numbers(names)
    again = await Dictionaries(store).endpoints.numbers(names[:2])

    assert first[0] == first[2] != first[1]
    assert again == first[:2]


async def test_series_differ_by_every_part_of_their_name(store: Store, sql: SQL) -> None:
    """
    Kind, unit, service and attributes tell series apart; the order of attributes does not.
    """
    series = Dictionaries(store).series
    names = [
        ("shop", "queue.depth", "gauge", "1", pairs({"queue": "a", "zone": "x"})),
        ("shop", "queue.depth", "gauge", "1", pairs({"zone": "x", "queue": "a"})),
        ("shop", "queue.depth", "gauge", "1", pairs({"queue": "b", "zone": "x"})),
        ("shop", "queue.depth", "counter", "1", pairs({"queue": "a", "zone": "x"})),
        ("", "queue.depth", "gauge", "1", pairs({"queue": "a", "zone": "x"})),
    ]

    numbers = await series.numbers(names)

    assert numbers[0] == numbers[1]
    assert len(set(numbers)) == 4
    stored = await sql.fetchval(
        "SELECT attributes->>'queue' FROM series WHERE series_id = $1", numbers[2]
    )
    assert stored == "b"


async def test_numbers_have_no_gap(store: Store, sql: SQL) -> None:
    """
    Numbers run from 1 without a gap, so that they can index arrays.
    """
    loggers = Dictionaries(store).loggers
    for start in (0, 5, 3):
        await loggers.numbers([("shop", f"logger{n}") for n in range(start, start + 7)])

    found = await sql.fetchval("SELECT array_agg(logger_id ORDER BY logger_id) FROM loggers")
    assert found == list(range(1, 13))


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("endpoints", ("shop", "GET", "/{}")),
        ("loggers", ("shop", "{}")),
        ("span_names", ("shop", "{}", "server")),
        ("series", ("shop", "{}", "gauge", "1", ())),
    ],
)
async def test_a_number_is_given_once(
    store: Store, sql: SQL, table: str, name: tuple[object, ...]
) -> None:
    """
    The number of a name that was forgotten is given to no other.
    """

    async def number(text: str) -> int:
        one = tuple(part.format(text) if isinstance(part, str) else part for part in name)
        return (await getattr(Dictionaries(store), table).numbers([one]))[0]

    assert (await number("a"), await number("b")) == (1, 2)
    await sql.execute(f"TRUNCATE {table}")

    assert (await number("c"), await number("a")) == (3, 4)


async def test_names_above_the_cap_share_one_entry(store: Store, sql: SQL) -> None:
    """
    Above a service's cap its further routes count under one entry; other services go on.
    """
    endpoints = Dictionary(store, Endpoints(), FEW)
    routes = [("shop", "GET", f"/{n}") for n in range(10)]

    numbers = await endpoints.numbers(routes)
    other = await endpoints.numbers([("bank", "GET", "/0")])

    assert len(set(numbers)) == 4
    rest = await sql.fetchval("SELECT endpoint_id FROM endpoints WHERE route = $1", OVERFLOW)
    assert numbers.count(rest) == 7
    assert other[0] not in numbers
    assert await endpoints.numbers(routes) == numbers


async def test_names_above_the_cap_of_all_share_one_entry(store: Store, sql: SQL) -> None:
    """
    Above the cap of the host even a flood of services adds one entry, and memory stays bounded.
    """
    endpoints = Dictionary(store, Endpoints(), FEW)

    await endpoints.numbers([(f"service{n}", "GET", "/") for n in range(50)])
    await endpoints.numbers([(f"service{n}", "GET", "/") for n in range(50, 900)])

    assert await sql.fetchval("SELECT count(*) FROM endpoints") == 7
    assert await sql.fetchval("SELECT count(*) FROM endpoints WHERE service = $1", OVERFLOW) == 1


async def test_caps_hold_after_a_restart(store: Store, sql: SQL) -> None:
    """
    What earlier runs have numbered counts towards the cap.
    """
    for run in range(3):
        endpoints = Dictionary(store, Endpoints(), FEW)
        await endpoints.numbers([("shop", "GET", f"/{run}/{n}") for n in range(2)])

    assert await sql.fetchval("SELECT count(*) FROM endpoints") == 4


async def test_name_with_refused_characters_is_kept_clean(store: Store, sql: SQL) -> None:
    """
    NUL and lone surrogates are replaced in the name; the name is numbered once.
    """
    endpoints = Dictionaries(store).endpoints
    raw = ("sh\0op", "GET", "/\ud800")

    numbers = await endpoints.numbers([raw, raw]) + await endpoints.numbers([raw])

    assert len(set(numbers)) == 1
    row = await sql.fetchrow("SELECT service, route FROM endpoints")
    assert tuple(row) == ("sh\ufffdop", "/\ufffd")


async def test_refused_name_counts_under_the_rest(store: Store, sql: SQL) -> None:
    """
    A name the database refuses is found among its neighbours, which are numbered as ever.
    """
    await sql.execute("ALTER TABLE endpoints ADD CHECK (route <> '/poison')")
    endpoints = Dictionaries(store).endpoints
    names = [("shop", "GET", route) for route in ("/a", "/b", "/poison", "/c")]

    numbers = await endpoints.numbers(names)

    assert len(set(numbers)) == 4
    assert (
        await sql.fetchval("SELECT route FROM endpoints WHERE endpoint_id = $1", numbers[2])
        == OVERFLOW
    )


async def test_two_daemons_of_one_instance_agree(
    store: Store, database: str, config: settings.Store, telemetry: Telemetry
) -> None:
    """
    Two daemons that number the same names at the same time get the same numbers.
    """
    names = [("shop", "GET", f"/{n}") for n in range(200)]
    async with open_pool(config, database, "test", telemetry) as other:
        await other.ready()
        one, two = Dictionaries(store).endpoints, Dictionaries(other).endpoints
        await asyncio.gather(one.numbers([]), two.numbers([]))

        first, second = await asyncio.gather(one.numbers(names), two.numbers(names[::-1]))

    assert first == second[::-1]


async def test_recreated_database_is_noticed(
    store: Store, sql: SQL, database: str, config: settings.Store, telemetry: Telemetry
) -> None:
    """
    When the schema was made anew under a running daemon, old numbers are not used again.
    """
    endpoints = Dictionaries(store).endpoints
    before = await endpoints.numbers([("shop", "GET", f"/{n}") for n in range(3)])
    epoch = store.epoch
    await sql.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'monitord'"
    )
    async with asyncio.timeout(20):
        while store.epoch == epoch or not store.up:  # noqa: ASYNC110 - a poll needs no hook
            await asyncio.sleep(0.02)

    after = await endpoints.numbers([("shop", "GET", "/2")])

    assert after == [1]
    assert sorted(before) == [1, 2, 3]


@pytest.mark.parametrize(
    "series", [Series("s", "n", "gauge", "1", ()), Series("s", "n", "counter", "", (("a", "b"),))]
)
def test_rest_keeps_the_kind(series: Series) -> None:
    """
    Increments are never mixed with values, however many series there are.
    """
    from monitord.store.names import SeriesKind

    kind = SeriesKind()

    assert kind.rest_of_all(series).kind == series.kind
    assert kind.rest_of_scope(series).kind == series.kind
