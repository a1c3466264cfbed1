"""What the store holds of what was acknowledged: nothing may miss, nothing may be there twice."""

from __future__ import annotations

import asyncio
import contextlib

from collections import Counter
from uuid import UUID

import asyncpg

from monitord.store import tiers


PATIENCE_SECONDS = 90.0
LOOK_SECONDS = 0.1
ANSWER_SECONDS = 5.0


async def settled(dsn: str, expected: set[UUID]) -> Counter[UUID]:
    """Return how often each trace is stored, once all that are expected are, or in time."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        stored = await traces(dsn)
        if expected <= stored.keys() or asyncio.get_running_loop().time() > deadline:
            return stored
        await asyncio.sleep(0.5)


async def traces(dsn: str) -> Counter[UUID]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT trace_id, count(*) FROM requests GROUP BY trace_id")
    finally:
        await connection.close()
    return Counter({UUID(bytes=row[0].bytes): row[1] for row in rows})


async def always_rolled_up(dsn: str) -> None:
    """
    Look until cancelled, again and again, whether rollups and rows agree: whenever it answers.

    Raises AssertionError: they do not.
    """
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        with contextlib.suppress(asyncpg.PostgresError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                rows, counted = await rolled_up(dsn)
            assert rows == counted, f"{rows} rows, and the rollups say {counted}"


async def rolled_up(dsn: str) -> tuple[int, int]:
    """Return the rows of `requests` and what minutes and deltas say there are, at one instant."""
    connection = await asyncpg.connect(dsn)
    try:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM requests),"
            " (SELECT coalesce(sum(count), 0) FROM request_rollups WHERE tier = $1)"
            " + (SELECT coalesce(sum(count), 0) FROM request_rollup_deltas)",
            tiers.MINUTE,
        )
    finally:
        await connection.close()
    return int(row[0]), int(row[1])


def verdict(expected: set[UUID], stored: Counter[UUID]) -> str:
    """Return what is wrong, in one line; empty when every event is there exactly once."""
    missing = len(expected - stored.keys())
    twice = sum(1 for count in stored.values() if count > 1)
    if not missing and not twice:
        return ""
    return f"{missing} of {len(expected)} acknowledged are missing, {twice} are there twice"
