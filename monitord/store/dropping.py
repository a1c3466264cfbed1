"""
Takes a partition out of the store while everybody goes on writing. Which one, others decide.

`DROP TABLE` of a partition needs its whole table for itself, and while it waits behind a reader
every insert waits behind it. `DETACH PARTITION … CONCURRENTLY` waits without standing in anyone's
way; what it leaves is a table of its own, which nobody else asks for.
"""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from monitord.errors import MonitordError, StoreUnreachable
from monitord.store.connection import Connection
from monitord.store.partitions import (
    CLOSED,
    CLOSED_HOURS,
    DOOMED,
    TABLES,
    day_in,
    partition_state,
    period_in,
)
from monitord.store.pool import Store
from monitord.store.queries import queries


log = structlog.get_logger(__name__)

ATTEMPTS = 10
BETWEEN_ATTEMPTS_SECONDS = 2.0

# Who holds a table for longer than this is somebody a half-detached partition would wait for.
BRIEFLY_SECONDS = 1.0

# What is waited for at a time. A detaching that gives up is finished at the next attempt.
LOCK_TIMEOUT = "lock_timeout = '1s'"

# A closed day or hour is no partition that could be detached first: who reads waits behind its
# drop.
CLOSED_LOCK_TIMEOUT = "lock_timeout = '100ms'"


class Dropper:
    """
    Drops partitions one by one, and finishes what was interrupted, by whichever daemon. A day that
    is closed to be packed is dropped as they are, and an hour that is closed to be thinned.

    A partition is marked before it is detached. So one that was left detached is known to be
    rubbish, and one that a person has detached is not. A mark on one that nobody is detaching is
    taken off: a person may detach it later, to keep its rows.
    """

    def __init__(
        self, store: Store, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._store = store
        self._sleep = sleep

    async def drop(self, table: str, name: str, why: str) -> bool:
        """
        Drop one partition; say whether this call did. `why` is for the log.

        False: it was gone already, or somebody kept reading the table all the time.
        """
        reason = ""
        for _ in range(ATTEMPTS):
            try:
                dropped = await self._take_out(table, name)
            except MonitordError as error:
                reason = str(error)
                await self._sleep(BETWEEN_ATTEMPTS_SECONDS)
            else:
                if dropped:
                    log.info("retention.dropped", table=table, partition=name, why=why)
                return dropped
        log.info("retention.postponed", table=table, partition=name, reason=reason)
        return False

    async def finish(self) -> None:
        """
        Drop what is marked and out of its table, or on its way out of it; unmark the others.

        Raises StoreUnreachable, StoreError.
        """
        async with self._store.connection() as connection:
            rows = queries().marked_partitions(connection, parents=TABLES, mark=DOOMED)
            left = [(row["name"], row["leaving"]) async for row in rows]
        for name, leaving in left:
            table = name.rpartition("_")[0]
            if leaving:
                await self.drop(table, name, "its dropping was interrupted")
            else:
                await self._spare(table, name)

    async def _take_out(self, table: str, name: str) -> bool:
        if table in (CLOSED, CLOSED_HOURS):
            async with self._store.transaction() as connection:
                await connection.execute(f"SET LOCAL {CLOSED_LOCK_TIMEOUT}")
                drop = drop_closed if table == CLOSED else drop_closed_hour
                return await drop(connection, name)
        async with self._store.connection() as connection:
            state = await partition_state(connection, table, name)
        if state.attached and not state.detaching:
            await self._let_readers_end(table)
        if state.attached:
            await self._detach(table, name, finalize=state.detaching)
        async with self._store.transaction() as connection:
            await connection.execute(f"SET LOCAL {LOCK_TIMEOUT}")
            return await drop_detached(connection, table, name)

    async def _detach(self, table: str, name: str, *, finalize: bool) -> None:
        try:
            # Not in a transaction: PostgreSQL makes two of its own.
            async with self._store.connection() as connection, alone(connection, table):
                await detach(connection, table, name, finalize=finalize)
        except BaseException:
            await self._spare(table, name)
            raise

    async def _spare(self, table: str, name: str) -> None:
        """Take the mark off a partition that stays; where that fails, `finish` does it later."""
        with contextlib.suppress(MonitordError):
            async with self._store.transaction() as connection:
                await connection.execute(f"SET LOCAL {LOCK_TIMEOUT}")
                await spare(connection, table, name)

    async def _let_readers_end(self, table: str) -> None:
        """
        Raises StoreUnreachable: somebody has been at the table for long.

        A backup may be for hours. All that time a partition would be half detached, and a write
        that brings a row of its day would have to wait.
        """
        before = await self._holders(table)
        await self._sleep(BRIEFLY_SECONDS)
        if before & await self._holders(table):
            raise StoreUnreachable(f"store: somebody has been reading {table} for long")

    async def _holders(self, table: str) -> set[str]:
        async with self._store.connection() as connection:
            rows = queries().holders_of(connection, parent=table)
            return {row["holder"] async for row in rows}


@contextlib.asynccontextmanager
async def alone(connection: Connection, table: str) -> AsyncIterator[None]:
    """
    Keep others from taking partitions out of a table. An error ends the session, and so the lock.

    Raises: any of asyncpg's errors.
    """
    try:
        await connection.execute(f"SET {LOCK_TIMEOUT}")
        await queries().lock_dropping(connection, parent=table)
        yield
        await queries().unlock_dropping(connection, parent=table)
        await connection.execute("RESET lock_timeout")
    except BaseException:
        connection.terminate()
        raise


async def detach(connection: Connection, table: str, name: str, *, finalize: bool) -> None:
    """
    Mark a partition and make it a table of its own; `finalize` goes on where another left off.

    Waits for the transactions that read its table; no write waits for it meanwhile.

    Raises: any of asyncpg's errors.
    """
    if not finalize:
        await connection.execute(f"COMMENT ON TABLE {name} IS '{DOOMED}'")
    how = "FINALIZE" if finalize else "CONCURRENTLY"
    await connection.execute(f"ALTER TABLE {table} DETACH PARTITION {name} {how}")


async def spare(connection: Connection, table: str, name: str) -> None:
    """Take the mark off a partition unless it is being detached, in the caller's transaction."""
    await queries().wait_for_dropping(connection, parent=table)
    state = await partition_state(connection, table, name)
    if state.marked and state.attached and not state.detaching:
        await connection.execute(f"COMMENT ON TABLE {name} IS NULL")


async def drop_detached(connection: Connection, table: str, name: str) -> bool:
    """
    Drop the table that was a partition, in the caller's transaction; say whether it was there.

    Another daemon may have dropped it meanwhile and made a new partition of this name.
    """
    await queries().lock_partitions(connection, parent=table)
    state = await partition_state(connection, table, name)
    if state.doomed:
        await connection.execute(f"DROP TABLE {name}")
    return state.doomed


async def drop_closed(connection: Connection, name: str) -> bool:
    """
    Drop a closed day and its mark, in the caller's transaction; say whether it was there.

    Who packs it finds that its mark is gone. What is packed of it is in the archive and stays.
    """
    if not await queries().forget_archive_mark(connection, day=day_in(name)):
        return False
    await connection.execute(f"DROP TABLE {name}")
    return True


async def drop_closed_hour(connection: Connection, name: str) -> bool:
    """
    Drop a closed hour, its mark and flags, in the caller's transaction; say whether it was there.

    Who thins it finds that its mark is gone. What is kept of it is in `spans` and stays.
    """
    if not await queries().forget_thinning_mark(connection, hour=period_in(name)):
        return False
    await queries().forget_flags(connection)
    await connection.execute(f"DROP TABLE {name}")
    return True
