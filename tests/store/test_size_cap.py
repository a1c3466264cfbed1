"""The store's size on a real database: the oldest rows go, no more than needed, never today's."""

import asyncio
import time

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import structlog

from monitord import settings
from monitord.store.dropping import Dropper
from monitord.store.partitions import DAILY, Partitions, day_of, hour_of, name_of
from monitord.store.pool import Store
from monitord.store.retention import EVERY_SECONDS, Keeper
from monitord.store.size_cap import SizeCap
from monitord.telemetry import Telemetry
from tests.frames import Waiting


SQL = asyncpg.Connection
Capped = Callable[[int], SizeCap]

NOW = time.time()
TODAY = day_of(NOW)
HOUR = 3_600.0
YEAR = 365 * 86_400.0

FILL = {
    "requests": "INSERT INTO requests (at, duration_us, endpoint_id, status, host_id)"
    " SELECT $1, 1, 1, 200, 1 FROM generate_series(1, $2)",
    "logs": "INSERT INTO logs (at, level, logger_id, message, host_id, writer, seq, index)"
    " SELECT $1, 9, 1, 'a line', 1, 1, 1, n FROM generate_series(1, $2) AS n",
    "spans": "INSERT INTO spans (at, duration_us, span_id, trace_id, span_name_id, status, host_id)"
    " SELECT $1, 1, n, gen_random_uuid(), 1, 0, 1 FROM generate_series(1, $2) AS n",
    "metrics": "INSERT INTO metrics (at, series_id, value, host_id)"
    " SELECT $1, n, 1, 1 FROM generate_series(1, $2) AS n",
}


async def at_once(_seconds: float) -> None:
    """Wait for nothing, but let others run."""
    await asyncio.sleep(0)


@pytest.fixture
def capped(store: Store, telemetry: Telemetry) -> Capped:
    """
    Make a daemon's cap of so many bytes.
    """
    return lambda cap_bytes: SizeCap(store, Dropper(store, at_once), cap_bytes, telemetry)


def name(table: str, age: int) -> str:
    return f"{table}_{TODAY - timedelta(days=age):%Y%m%d}"


async def fill(store: Store, sql: SQL, table: str, ages: list[int], rows: int = 3_000) -> None:
    """Write so many rows of each of these days."""
    await Partitions(store).ensure(table, [TODAY - timedelta(days=age) for age in ages])
    for age in ages:
        await sql.execute(FILL[table], datetime.fromtimestamp(NOW - age * 86_400, UTC), rows)


async def left(sql: SQL) -> set[str]:
    """Return the names of all partitions."""
    rows = await sql.fetch(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'"
    )
    return {row["relname"] for row in rows}


async def used(sql: SQL, table: str = "") -> int:
    """Return the bytes of one table, or of all tables there are."""
    return await sql.fetchval(
        "SELECT sum(pg_total_relation_size(oid))::int8 FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        " AND $1::text IN (relname, '')",
        table,
    )


async def test_oldest_days_go_until_it_fits(capped: Capped, store: Store, sql: SQL) -> None:
    """
    A byte too much costs the oldest day; a byte more than that day frees costs the next one too.
    """
    await fill(store, sql, "requests", [5, 4, 3, 2, 1, 0])

    first = await capped(await used(sql) - 1).enforce(NOW)
    frees = await used(sql, name("requests", 4))
    next_two = await capped(await used(sql) - frees - 1).enforce(NOW)

    assert first == [name("requests", 5)]
    assert next_two == [name("requests", 4), name("requests", 3)]
    assert await left(sql) == {name("requests", age) for age in (2, 1, 0)}


async def test_store_that_fits_keeps_everything(
    capped: Capped, store: Store, sql: SQL, telemetry: Telemetry
) -> None:
    """
    At its size exactly the store loses nothing; every table of monitord's own counts, no other.
    """
    await fill(store, sql, "requests", [500, 0])
    await fill(store, sql, "logs", [1])
    cap = capped(everything := await used(sql))
    await sql.execute("CREATE TABLE strange AS SELECT repeat('x', 900) FROM generate_series(1, 99)")

    assert await cap.enforce(NOW) == []

    assert cap.size is not None
    assert (cap.size.used_bytes, cap.size.stuck) == (everything, False)
    assert telemetry.registry.get_sample_value("monitord_store_bytes") == everything


async def test_oldest_day_of_any_table_goes_first(capped: Capped, store: Store, sql: SQL) -> None:
    """
    All tables reach back equally far; of one day the largest goes first.
    """
    await fill(store, sql, "requests", [3, 1], rows=20_000)
    await fill(store, sql, "logs", [4, 3], rows=500)
    await fill(store, sql, "metrics", [3, 2], rows=100)
    keep = await used(sql, name("requests", 1))
    rest = sum([await used(sql, table) for table in await left(sql)])

    dropped = await capped(await used(sql) - rest + keep).enforce(NOW)

    assert dropped == [
        name("logs", 4),
        name("requests", 3),
        name("logs", 3),
        name("metrics", 3),
        name("metrics", 2),
    ]


async def test_today_and_rollups_stay_and_it_is_said_once(
    capped: Capped, store: Store, sql: SQL
) -> None:
    """
    When only today's rows, days ahead and rollups are left the store stays too large and says so.
    """
    kept = [0, -1]
    for table in FILL:
        await fill(store, sql, table, [2, *kept], rows=10)
    rollups = set(DAILY) - {*FILL, "request_archive", "metric_histograms"}
    for table in rollups:
        await Partitions(store).ensure(table, [TODAY - timedelta(days=300)])
    cap = capped(1)

    with structlog.testing.capture_logs() as lines:
        dropped = await cap.enforce(NOW)
        await cap.enforce(NOW)

    assert sorted(dropped) == sorted(name(table, 2) for table in FILL)
    assert await left(sql) == {
        *(name(table, age) for table in FILL for age in kept),
        *(name(table, 300) for table in rollups),
    }
    assert cap.size is not None
    assert cap.size.stuck
    assert [line["event"] for line in lines].count("store.above_size") == 1


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
async def test_wrong_clock_makes_today_no_yesterday(
    capped: Capped, store: Store, sql: SQL, jump: float
) -> None:
    """
    A day is past only when this machine's clock and the server's both say so.
    """
    await fill(store, sql, "requests", [0])

    assert await capped(1).enforce(NOW + jump) == []


async def test_fresh_hours_go_after_the_days_that_are_over(
    capped: Capped, store: Store, sql: SQL
) -> None:
    """
    Fresh spans count and may go, an hour at a time, when it is over and nothing older is left.
    """
    hours = [hour_of(NOW - 25 * HOUR), hour_of(NOW - HOUR), hour_of(NOW), hour_of(NOW + HOUR)]
    await Partitions(store).ensure("fresh_spans", hours)
    await fill(store, sql, "logs", [1, 0], rows=10)
    before = await used(sql)

    dropped = await capped(1).enforce(NOW)

    over = [name_of("fresh_spans", hour) for hour in hours[:2]]
    assert sorted(dropped) == sorted([name("logs", 1), *over])
    assert dropped[-1] == over[1]
    assert await used(sql) < before


async def test_two_daemons_drop_no_more_than_one(
    capped: Capped, store: Store, sql: SQL, telemetry: Telemetry
) -> None:
    """
    Several daemons that find one store too large at the same time drop for it once.
    """
    await fill(store, sql, "requests", [5, 4, 3, 2, 1, 0])
    size = await used(sql) - 1

    dropped = await asyncio.gather(*(capped(size).enforce(NOW) for _ in range(3)))

    assert sorted(dropped) == [[], [], [name("requests", 5)]]
    total = telemetry.registry.get_sample_value("monitord_store_size_cap_dropped_partitions_total")
    assert total == 1


async def test_keeper_watches_the_size_from_its_start(
    store: Store, sql: SQL, telemetry: Telemetry
) -> None:
    """
    The first look is at the start, the next some minutes later; neither waits for the clocks.
    """
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds < EVERY_SECONDS:
            return
        await fill(store, sql, "requests", [len(waited) + 1], rows=10)
        waited.append(seconds)
        if len(waited) == 3:
            await asyncio.get_running_loop().create_future()

    await fill(store, sql, "requests", [9], rows=10)
    config = settings.Store(size_bytes=1)
    keeper = Keeper(store, config, Waiting(), telemetry, sleep)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(keeper.run())
        async with asyncio.timeout(20):
            while len(waited) < 3:  # noqa: ASYNC110 - a poll needs no hook in the product
                await asyncio.sleep(0.01)
        running.cancel()

    found = {one for one in await left(sql) if one.startswith("requests_")}
    assert found == {name("requests", age) for age in (3, 0, -1, -2)}
    assert keeper.size is not None
    assert keeper.size.stuck
