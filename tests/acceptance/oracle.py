"""What the store holds of what was acknowledged: nothing may miss, nothing may be there twice."""

from __future__ import annotations

import asyncio
import contextlib

from collections import Counter
from uuid import UUID

import aiohttp
import asyncpg

from monitord.store import tiers
from monitord.store.failures import ROOTS


PATIENCE_SECONDS = 90.0
LOOK_SECONDS = 0.1
ANSWER_SECONDS = 5.0


async def settled(web: str, dsn: str, expected: set[UUID]) -> Counter[UUID]:
    """
    Return how often each trace is stored, once all that are expected are, or in time.

    Nothing waits any more by then: what was to come twice has come. Raises AssertionError: monitord
    still has events waiting, or its own sums do not add up.
    """
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    async with aiohttp.ClientSession() as session:
        while True:
            waiting = await accounted_for(session, web)
            stored = await traces(dsn)
            late = asyncio.get_running_loop().time() > deadline
            if late or (not waiting and expected <= stored.keys()):
                assert not waiting, f"{waiting} events still wait in the spool"
                return stored
            await asyncio.sleep(0.2)


async def accounted_for(session: aiohttp.ClientSession, web: str) -> int:
    """
    Return how many events wait in the spool.

    Raises AssertionError: what was taken is not what is stored, waiting, and known to be lost.
    """
    async with session.get(f"{web}/api/v1/self") as reply:
        told = await reply.json()
    sums = {one["id"]: one for one in told["ledgers"]}
    for name in ("decoded", "kept"):
        assert sums[name]["adds_up"], f"{name}: {sums[name]}"
    [waiting] = (
        term["value"]
        for term in sums["kept"]["right"]["terms"]
        if term["metric"] == "monitord_spool_pending_events"
    )
    return int(waiting)


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
        with contextlib.suppress(*ROOTS):
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
