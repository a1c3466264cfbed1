"""Partitions dropped on a real database: no write waits, and what was interrupted is finished."""

import asyncio

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import asyncpg
import pytest
import pytest_asyncio

from monitord.errors import StoreUnreachable
from monitord.store.dropping import Dropper, detach, drop_detached
from monitord.store.partitions import DOOMED, Partitions
from monitord.store.pool import Store
from monitord.store.queries import queries


SQL = asyncpg.Connection

OLD, NEW = date(2026, 8, 1), date(2026, 8, 2)
NAME = "requests_20260801"
INSERT = (
    "INSERT INTO requests (at, duration_us, endpoint_id, status, host_id) VALUES ($1, 1, 1, 200, 1)"
)


async def at_once(_seconds: float) -> None:
    """Wait for nothing, but let others run."""
    await asyncio.sleep(0)


@pytest_asyncio.fixture
async def other(database: str) -> AsyncIterator[SQL]:
    """
    A second plain connection, for what a test does while the first one holds something.
    """
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def third(database: str) -> AsyncIterator[SQL]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def two_days(store: Store, sql: SQL) -> Store:
    """
    The store with a row in each of two days.
    """
    await Partitions(store).ensure("requests", [OLD, NEW])
    for day in (OLD, NEW):
        await add(sql, day)
    return store


@pytest.fixture
def dropper(store: Store) -> Dropper:
    return Dropper(store, at_once)


async def add(sql: SQL, day: date) -> None:
    await sql.execute(INSERT, datetime(day.year, day.month, day.day, tzinfo=UTC))


async def rows(sql: SQL) -> int:
    return await sql.fetchval("SELECT count(*) FROM requests")


async def exists(sql: SQL) -> bool:
    return await sql.fetchval("SELECT to_regclass($1) IS NOT NULL", NAME)


async def somebody_waits(sql: SQL) -> None:
    """Return when a session waits for a lock."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(20):
        while not await sql.fetchval(waiting):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.005)


async def interrupt(detaching: SQL, reader: SQL) -> None:
    """Begin to detach the old day while somebody reads, and give up; the reader is gone then."""
    async with reader.transaction():
        await rows(reader)
        await detaching.execute("SET lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await detach(detaching, "requests", NAME, finalize=False)


async def test_insert_does_not_wait_for_a_drop_that_waits_for_a_reader(
    two_days: Store, sql: SQL, other: SQL, third: SQL
) -> None:
    """
    A row is written while a reader holds the table and the partition is waiting to get out of it.
    """
    async with asyncio.TaskGroup() as group, sql.transaction():
        await rows(sql)
        detaching = group.create_task(detach(other, "requests", NAME, finalize=False))
        await somebody_waits(third)

        async with asyncio.timeout(20):
            await add(third, NEW)
            seen = await rows(third)

        assert not detaching.done()

    assert seen == 2  # the day on its way out is no longer read
    async with sql.transaction():
        assert await drop_detached(sql, "requests", NAME)
    assert not await exists(sql)


async def test_long_reader_postpones_it_before_it_begins(
    two_days: Store, dropper: Dropper, sql: SQL, other: SQL
) -> None:
    """
    While somebody reads for long the partition stays whole: its rows are seen, and it takes more.
    """
    async with sql.transaction():
        await rows(sql)

        assert not await dropper.drop("requests", NAME, "test")
        await add(other, OLD)
        assert await rows(other) == 3

    assert await dropper.drop("requests", NAME, "test")
    assert await rows(other) == 1


async def test_interrupted_detaching_is_finished(
    two_days: Store, dropper: Dropper, sql: SQL, other: SQL
) -> None:
    """
    A partition that was left half detached is dropped by whoever runs next.
    """
    await interrupt(other, sql)
    assert await exists(sql)

    await dropper.finish()

    assert not await exists(sql)
    assert await rows(sql) == 1


async def test_half_detached_partition_is_dropped_when_its_turn_comes(
    two_days: Store, dropper: Dropper, sql: SQL, other: SQL
) -> None:
    """
    A drop goes on where another left off.
    """
    await interrupt(other, sql)

    assert await dropper.drop("requests", NAME, "test")
    assert not await exists(sql)


async def test_detached_partition_that_was_left_is_dropped(
    two_days: Store, dropper: Dropper, sql: SQL
) -> None:
    """
    After a crash between detaching and dropping, the table that is left goes too.
    """
    await detach(sql, "requests", NAME, finalize=False)

    await dropper.finish()

    assert not await exists(sql)


async def test_day_that_was_being_dropped_is_made_without_its_old_rows(
    two_days: Store, dropper: Dropper, sql: SQL
) -> None:
    """
    A late row of a day whose table is about to be dropped gets a new partition, which stays.
    """
    await detach(sql, "requests", NAME, finalize=False)

    await Partitions(two_days).ensure("requests", [OLD])
    await add(sql, OLD)
    await dropper.finish()
    async with sql.transaction():
        dropped = await drop_detached(sql, "requests", NAME)

    assert not dropped
    assert await rows(sql) == 2


async def test_half_detached_day_takes_its_rows_later(
    two_days: Store, dropper: Dropper, sql: SQL, other: SQL
) -> None:
    """
    While a partition is half detached its day cannot be made: a passing failure, not a lost row.
    """
    await interrupt(other, sql)

    with pytest.raises(StoreUnreachable, match="is being dropped"):
        await Partitions(two_days).ensure("requests", [OLD])
    await dropper.finish()
    await Partitions(two_days).ensure("requests", [OLD])
    await add(sql, OLD)

    assert await rows(sql) == 2


async def test_what_a_person_has_detached_stays(
    two_days: Store, dropper: Dropper, sql: SQL
) -> None:
    """
    Only what monitord has detached itself is dropped, not what looks like it.
    """
    await sql.execute(f"ALTER TABLE requests DETACH PARTITION {NAME} CONCURRENTLY")

    await dropper.finish()
    dropped = await dropper.drop("requests", NAME, "test")

    assert not dropped
    assert await exists(sql)


async def comment(sql: SQL) -> str | None:
    return await sql.fetchval("SELECT obj_description($1::regclass, 'pg_class')", NAME)


async def test_what_a_person_has_detached_after_a_failed_drop_stays(
    two_days: Store, sql: SQL, other: SQL
) -> None:
    """
    A detaching that failed before it began leaves no mark: who then detaches the day by hand, to
    keep its rows, keeps them.
    """
    holding = other.transaction()

    async def sleep(_seconds: float) -> None:
        if not other.is_in_transaction():
            await holding.start()
            await other.execute("LOCK TABLE ONLY requests IN SHARE UPDATE EXCLUSIVE MODE")

    assert not await Dropper(two_days, sleep).drop("requests", NAME, "test")
    await holding.rollback()
    await sql.execute(f"ALTER TABLE requests DETACH PARTITION {NAME}")
    await Dropper(two_days, at_once).finish()

    assert len(await sql.fetch(f"TABLE {NAME}")) == 1


async def test_drop_that_is_cancelled_before_it_begins_leaves_no_mark(
    two_days: Store, sql: SQL, other: SQL, third: SQL
) -> None:
    """
    A daemon that stops while it waits to begin takes its mark off before it ends.
    """
    holding = other.transaction()

    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0)
        if not other.is_in_transaction():
            await holding.start()
            await other.execute("LOCK TABLE ONLY requests IN SHARE UPDATE EXCLUSIVE MODE")

    dropping = asyncio.create_task(Dropper(two_days, sleep).drop("requests", NAME, "test"))
    await somebody_waits(third)
    dropping.cancel()
    await asyncio.wait([dropping])
    await holding.rollback()

    assert await comment(sql) is None


async def test_mark_without_a_detaching_is_taken_off(
    two_days: Store, dropper: Dropper, sql: SQL
) -> None:
    """
    A crash between marking and detaching is put right at the next start; the day and its rows stay.
    """
    await sql.execute(f"COMMENT ON TABLE {NAME} IS '{DOOMED}'")

    await dropper.finish()

    assert await comment(sql) is None
    assert await rows(sql) == 2


async def test_mark_of_a_drop_that_goes_on_stays(
    two_days: Store, dropper: Dropper, sql: SQL, other: SQL
) -> None:
    """
    Who finds a mark while another daemon has just set it leaves it to that one.
    """
    await sql.execute(f"COMMENT ON TABLE {NAME} IS '{DOOMED}'")

    await queries().lock_dropping(other, parent="requests")
    await dropper.finish()
    left = await comment(sql)
    await queries().unlock_dropping(other, parent="requests")
    await dropper.finish()

    assert (left, await comment(sql)) == (DOOMED, None)


async def test_two_daemons_drop_it_once(two_days: Store, sql: SQL) -> None:
    """
    Of several that drop one partition at the same time one does, and all come to an end.
    """
    droppers = [Dropper(two_days, at_once) for _ in range(3)]

    dropped = await asyncio.gather(*(one.drop("requests", NAME, "test") for one in droppers))

    assert sum(dropped) == 1
    assert await rows(sql) == 1
