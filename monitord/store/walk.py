"""Reads backwards through time, in slices that double, for as long as there is time to."""

from __future__ import annotations

import time

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import asyncpg

from monitord.errors import StoreUnreachable
from monitord.store.connection import Connection
from monitord.store.queries import queries


# At the highest rates this much is read at once; of quiet times a few more slices are no cost.
FIRST_SLICE = timedelta(seconds=10)


async def walk_back(
    connection: Connection,
    newest: datetime,
    oldest: datetime,
    seconds: float,
    read: Callable[[datetime, datetime], Awaitable[datetime | None]],
) -> datetime | None:
    """
    Read slices of [oldest, newest), the newest first, until *read* says by None that it is enough.

    Else it returns how far back it came: to the beginning of its slice, or not quite so far, and is
    asked for the rest. Return how far back all came when the time was up, None when it did not
    matter any more.

    Raises StoreUnreachable: it came nowhere. Any root of asyncpg's errors.
    """
    deadline = time.monotonic() + seconds
    upper, width = newest, FIRST_SLICE
    while upper > oldest:
        lower = max(oldest, upper - width)
        left_ms = max(1, int(1000 * (deadline - time.monotonic())))
        try:
            async with connection.transaction(readonly=True):
                await queries().limit_statement(connection, milliseconds=str(left_ms))
                came_to = await read(lower, upper)
        except asyncpg.QueryCanceledError:
            if upper == newest:
                raise StoreUnreachable(f"store: no answer within {seconds:g} s") from None
            return upper
        if came_to is None:
            return None
        width = width * 2 if came_to == lower else width
        upper = came_to
    return None
