"""
Takes a partition out of its table with its rows, to be worked on where nothing is added any more.

It becomes a child by inheritance of another table, so that one view has its rows at every moment.
"""

from __future__ import annotations

import asyncio

from collections.abc import Awaitable, Callable

from monitord.errors import StoreUnreachable
from monitord.store.connection import Connection
from monitord.store.partitions import Period, name_of, partition_state
from monitord.store.pool import Store
from monitord.store.queries import queries


# Such a change waits for readers of the table, and every write waits behind it: so it waits
# shortly, and often.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '100ms'"
ATTEMPTS = 10
BETWEEN_ATTEMPTS_SECONDS = 2.0

Change = Callable[[Connection], Awaitable[bool]]


async def closable(connection: Connection, table: str, period: Period) -> bool:
    """Say whether a partition is there to be closed, by nobody else until the transaction ends."""
    await queries().lock_partitions(connection, parent=table)
    state = await partition_state(connection, table, name_of(table, period))
    return state.attached and not state.detaching


async def close(connection: Connection, table: str, parent: str, period: Period) -> None:
    """Make a partition of a table a child of another, in the caller's transaction."""
    name, closed = name_of(table, period), name_of(parent, period)
    await connection.execute(f"ALTER TABLE {table} DETACH PARTITION {name}")
    await connection.execute(f"ALTER TABLE {name} RENAME TO {closed}")
    await connection.execute(f"ALTER TABLE {closed} INHERIT {parent}")


async def make_known(store: Store, closed: str) -> None:
    """
    Let the planner know a table that was just closed, and its indexes all of its pages.

    It may be read for long before it is dropped, and autovacuum need not have come by.

    Raises StoreUnreachable, StoreError.
    """
    async with store.connection() as connection:
        await queries().summarize(connection, table=closed)
        await connection.execute(f"ANALYZE {closed}")


async def shortly(
    store: Store, change: Change, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> bool:
    """
    Make a change that holds up others, once they let it; return what it says.

    Raises StoreUnreachable: they never did.
    """
    attempt = 1
    while True:
        try:
            async with store.transaction() as connection:
                await connection.execute(LOCK_TIMEOUT)
                return await change(connection)
        except StoreUnreachable:
            if attempt == ATTEMPTS:
                raise
        attempt += 1
        await sleep(BETWEEN_ATTEMPTS_SECONDS)
