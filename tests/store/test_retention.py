"""Retention on a real database: whole days, those that are over, and not by a wrong clock."""

import asyncio
import time

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from monitord import settings
from monitord.model import Batch, ErrorInfo, Frame, Request, StackFrame
from monitord.store.caution import HOLD_SECONDS, Caution
from monitord.store.partitions import DAILY, HOURLY, Partitions, day_of, hour_of, name_of
from monitord.store.pool import Store
from monitord.store.retention import RETRY_SECONDS, Keeper, over
from monitord.telemetry import Telemetry
from tests.frames import Waiting


SQL = asyncpg.Connection
Write = Callable[[Sequence[Frame]], Awaitable[None]]

NOW = time.time()
TODAY = day_of(NOW)
HOUR = 3_600.0
YEAR = 365 * 86_400.0


async def at_once(_seconds: float) -> None:
    """Wait for nothing, but let others run."""
    await asyncio.sleep(0)


@pytest.fixture
def waiting() -> Waiting:
    """
    What the keeper knows to be pending.
    """
    return Waiting()


@pytest.fixture
def keeper(store: Store, config: settings.Store, waiting: Waiting, telemetry: Telemetry) -> Keeper:
    return Keeper(store, config, waiting, telemetry, at_once)


async def partitions(sql: SQL, table: str = "requests") -> list[str]:
    rows = await sql.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = $1::text::regclass ORDER BY 1",
        table,
    )
    return [row["name"] for row in rows]


def names(*ages: int, table: str = "requests") -> list[str]:
    """Return the names of the partitions of so many days ago, oldest first."""
    return sorted(f"{table}_{TODAY - timedelta(days=age):%Y%m%d}" for age in ages)


async def days(store: Store, *ages: int) -> None:
    await Partitions(store).ensure("requests", [TODAY - timedelta(days=age) for age in ages])


async def test_today_and_two_days_ahead_are_made(keeper: Keeper, sql: SQL) -> None:
    """
    Every time table has partitions for today, tomorrow and the day after, or for as many hours.
    """
    await keeper.make_ahead(NOW)
    await keeper.make_ahead(NOW)

    for table in DAILY:
        assert await partitions(sql, table) == names(0, -1, -2, table=table)
    hours = [hour_of(NOW + ahead * HOUR) for ahead in (0, 1, 2)]
    for table in HOURLY:
        assert await partitions(sql, table) == [name_of(table, hour) for hour in hours]


def test_only_days_that_are_over_are_due() -> None:
    """
    A day is due when its last moment lies before the border, oldest first; other tables never are.
    """
    found = ["requests_20260802", "requests_20260731", "requests_20260801", "requests_old"]
    border = datetime(2026, 8, 2, tzinfo=UTC).timestamp()

    assert over(found, border - 1) == ["requests_20260731"]
    assert over(found, border) == ["requests_20260731", "requests_20260801"]


async def test_a_run_drops_one_day_at_most(keeper: Keeper, store: Store, sql: SQL) -> None:
    """
    Of several days that are over, each run drops the oldest one.
    """
    await days(store, 33, 32, 31, 1, 0)

    first = await keeper.drop(NOW, 0)
    second = await keeper.drop(NOW + HOUR, HOUR)

    assert (first, second) == (names(33), names(32))
    assert await partitions(sql) == names(31, 1, 0)


async def test_dropped_rows_are_gone_and_the_rest_stays(
    keeper: Keeper, store: Store, write: Write, sql: SQL
) -> None:
    """
    Dropping removes the rows of that day; rows of other days and the rollups stay.
    """
    old = NOW - 32 * 86_400
    events = [Request(at, "shop", "GET", "/", 200, 1.0) for at in (old, NOW)]
    await write([Frame(1, 1, Batch(NOW, requests=events))])

    await keeper.drop(NOW, 0)

    assert await sql.fetchval("SELECT count(*) FROM requests") == 1
    assert await sql.fetchval("SELECT sum(count) FROM request_rollup_deltas") == 2


async def test_clock_that_jumps_drops_nothing(keeper: Keeper, store: Store, sql: SQL) -> None:
    """
    After a jump of this machine's clock nothing is dropped, though days are over.
    """
    await days(store, 1, 0)
    await keeper.drop(NOW - 2 * HOUR, 0)
    await days(store, 31)

    assert await keeper.drop(NOW, 60) == []
    assert await keeper.drop(NOW + 60, 120) == []
    assert await partitions(sql) == names(31, 1, 0)


def test_jump_holds_for_hours() -> None:
    """
    A jump in either direction holds everything for hours of the clock that does not jump.
    """
    for jump in (YEAR, -YEAR):
        caution = Caution()
        assert caution.doubt(NOW, 0, NOW, 1) == ""

        assert "has jumped" in caution.doubt(NOW + jump, 10, NOW + jump, 1)

        assert caution.doubt(NOW + jump + 10, 20, NOW + jump + 10, 1) != ""
        later = HOLD_SECONDS + 10
        assert caution.doubt(NOW + jump + later, 10 + later, NOW + jump + later, 1) == ""


def test_many_days_at_once_hold_once() -> None:
    """
    A long backlog holds for hours the first time it is seen, and then goes day by day.
    """
    caution = Caution()

    doubts = [
        bool(caution.doubt(NOW + at, at, NOW + at, 30)) for at in (0, HOUR, HOLD_SECONDS, YEAR)
    ]

    assert doubts == [True, True, False, False]


async def test_clock_that_differs_from_the_servers_drops_nothing(
    keeper: Keeper, store: Store, sql: SQL
) -> None:
    """
    While this machine and the store do not agree what time it is, nothing is dropped.
    """
    await days(store, 31, 1, 0)

    assert await keeper.drop(NOW + YEAR, 0) == []
    assert await partitions(sql) == names(31, 1, 0)


async def test_reader_holds_up_no_write(
    keeper: Keeper, store: Store, write: Write, sql: SQL
) -> None:
    """
    While somebody reads the table its oldest day is not dropped, and writes go on.
    """
    await days(store, 31, 0)
    async with sql.transaction():
        await sql.fetch("SELECT * FROM requests")

        async with asyncio.TaskGroup() as group:
            dropping = group.create_task(keeper.drop(NOW, 0))
            event = Request(NOW, "shop", "GET", "/", 200, 1.0)
            for seq in range(1, 6):
                await write([Frame(1, seq, Batch(NOW, requests=[event]))])
        dropped = dropping.result()

    assert dropped == []
    assert await sql.fetchval("SELECT count(*) FROM requests") == 5
    assert await keeper.drop(NOW + HOUR, HOUR) == names(31)


async def test_rollups_go_by_tier(keeper: Keeper, sql: SQL) -> None:
    """
    Minutes, hours and days are kept for their own time; the newer ones of each stay.
    """
    await sql.execute(
        """
        INSERT INTO request_rollups
        SELECT 1, tier, to_timestamp($1) - age * interval '1 day', 1, 0, 0, 1, 1, '', '', '', '', ''
        FROM unnest(ARRAY[60, 3600, 86400]) AS tier, unnest($2::int4[]) AS age
        """,
        NOW,
        [0, 6, 8, 89, 92, 399, 402],
    )

    await keeper.drop(NOW, 0)

    left = await sql.fetch(
        """
        SELECT tier, array_agg(extract(day FROM to_timestamp($1) - start)::int4 ORDER BY start DESC)
        FROM request_rollups
        GROUP BY tier
        ORDER BY tier
        """,
        NOW,
    )
    assert [tuple(row) for row in left] == [
        (60, [0, 6]),
        (3600, [0, 6, 8, 89]),
        (86400, [0, 6, 8, 89, 92, 399]),
    ]


async def test_rollups_go_in_portions(keeper: Keeper, sql: SQL) -> None:
    """
    However many rollups a wrong clock makes look old, one run deletes two days of them at most.
    """
    await sql.execute(
        """
        INSERT INTO request_rollups
        SELECT 1, 3600, to_timestamp($1) - interval '100 days' - age * interval '1 hour',
            1, 0, 0, 1, 1, '', '', '', '', ''
        FROM generate_series(1, 100) AS age
        """,
        NOW,
    )

    await keeper.drop(NOW, 0)

    assert await sql.fetchval("SELECT count(*) FROM request_rollups") == 52


REFUSE = """
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '22000'; END $$;
CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse();
"""


async def test_error_of_a_row_is_tried_again(
    store: Store, config: settings.Store, waiting: Waiting, telemetry: Telemetry, sql: SQL
) -> None:
    """
    Whatever the database answers, the keeper waits and goes on: it never ends the daemon.
    """
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 1:
            await sql.execute("DROP EVENT TRIGGER refuse")
        else:
            await asyncio.get_running_loop().create_future()

    await sql.execute(REFUSE)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(Keeper(store, config, waiting, telemetry, sleep).run())
        async with asyncio.timeout(20):
            while len(waited) < 2:  # noqa: ASYNC110 - a poll needs no hook in the product
                await asyncio.sleep(0.01)
        running.cancel()

    assert waited[0] == RETRY_SECONDS
    assert len(await partitions(sql)) == 3  # of the keeper's own today, and the two days after


async def ids_of(store: Store, *ages: int) -> None:
    await Partitions(store).ensure("event_ids", [TODAY - timedelta(days=age) for age in ages])


async def test_ids_go_after_a_day(keeper: Keeper, store: Store, sql: SQL) -> None:
    """
    A day of ids is dropped once no frame that arrives now can be within 24 hours of it.
    """
    await ids_of(store, 2, 1, 0)

    assert await keeper.drop(NOW, 0) == names(2, table="event_ids")
    assert await keeper.drop(NOW + HOUR, HOUR) == []


async def test_ids_stay_while_a_frame_could_ask_for_them(
    keeper: Keeper, waiting: Waiting, store: Store, sql: SQL
) -> None:
    """
    While frames of days ago wait to be stored, ids of their time are kept.
    """
    event = Request(NOW, "shop", "GET", "/", 200, 1.0)
    waiting.put(Frame(1, 1, Batch(NOW - 4 * 86_400, requests=[event])))
    await ids_of(store, 6, 5, 4, 2, 1, 0)

    assert await keeper.drop(NOW, 0) == names(6, table="event_ids")
    assert await keeper.drop(NOW + HOUR, HOUR) == []


async def test_days_of_ids_alone_hold_nothing_up(keeper: Keeper, store: Store, sql: SQL) -> None:
    """
    Ids of many days that are over do not make the keeper wait, as many days of rows do.
    """
    await ids_of(store, *range(2, 9))

    assert await keeper.drop(NOW, 0) == names(8, table="event_ids")


async def test_run_is_forgotten_once_none_of_its_frames_can_come(
    keeper: Keeper, waiting: Waiting, sql: SQL
) -> None:
    """
    What a run applied is kept for 30 days after its last frame, and longer while a frame of its
    time is not done.
    """
    await sql.execute(
        "INSERT INTO writers (host_id, writer, at)"
        " SELECT 1, age, to_timestamp($1) - age * interval '1 day' FROM unnest($2::int4[]) AS age",
        NOW,
        [1, 29, 31, 40, 50],
    )
    event = Request(NOW, "shop", "GET", "/", 200, 1.0)
    frame = Frame(40, 1, Batch(NOW - 41 * 86_400, requests=[event]))
    left = "SELECT array_agg(writer ORDER BY writer) FROM writers"

    waiting.put(frame)
    await keeper.drop(NOW, 0)
    assert await sql.fetchval(left) == [1, 29, 31, 40]
    waiting.done([frame])
    await keeper.drop(NOW + 60, 60)

    assert await sql.fetchval(left) == [1, 29]


async def test_places_of_errors_are_forgotten_when_they_are_old(
    keeper: Keeper, write: Write, sql: SQL
) -> None:
    """
    An exception that goes on is forgotten where it was not seen for longer than any rollup is kept.
    """
    failed = ErrorInfo("ValueError", "no", [StackFrame("shop/a.py", 7, "buy")])
    requests = [Request(NOW, "shop", "GET", route, 500, 1.0, error=failed) for route in "ab"]
    await write([Frame(1, 1, Batch(NOW, requests=requests))])
    await sql.execute(
        "UPDATE error_group_endpoints SET last_seen_at = last_seen_at - interval '2 years'"
        " WHERE endpoint_id = 1"
    )

    await keeper.drop(NOW, 0.0)

    left = await sql.fetch("SELECT endpoint_id FROM error_group_endpoints")
    assert [row["endpoint_id"] for row in left] == [2]
