"""The store stands still while events go on arriving: nothing lost or twice, and soon caught up."""

from __future__ import annotations

import asyncio
import time

from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import asyncpg

from tests.acceptance.faults import frozen
from tests.acceptance.house import House, house
from tests.acceptance.oracle import settled, verdict
from tests.acceptance.producer import EVENTS, Producer, event
from tests.bench.sizes import size
from tests.bench.table import Row
from tests.bench.udp import self_metrics


SECONDS = size("OUTAGE_SECONDS", 60)
RATE_PER_S = 5_000
DRAIN_PER_S = 30_000
BEHIND_S = 5
RSS_MIB = 64

# Before the outage, so that memory has settled.
WARM_SECONDS = 10


async def run(folder: Path, _: str) -> list[Row]:
    """Freeze the store under load, let it go on, and watch how the backlog goes."""
    async with house(folder / "house", small_disks=False) as built:
        producer = Producer(built.ingest, RATE_PER_S / EVENTS)
        posting = asyncio.create_task(producer.run())
        await asyncio.sleep(WARM_SECONDS)
        before = built.rss_bytes()
        with frozen(built):
            await asyncio.sleep(SECONDS)
            waiting = await pending(built)
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(drain_rate(built, waiting))
            behind = group.create_task(behind_s(built, draining))
        most = built.most_rss_bytes()
        producer.finish()
        await posting
        stored = await settled(built.dsn, producer.acknowledged)
    wrong = verdict(producer.acknowledged, stored)
    grown = (most - before) / 2**20
    name = f"Outage of {SECONDS} s at {RATE_PER_S:,}/s"
    drained, late = draining.result(), behind.result()
    return [
        Row(f"{name}: events waiting at its end", waiting, "events", "", None),
        Row(f"{name}: lost or twice", int(bool(wrong)), wrong or "events", "0", not wrong),
        Row(f"{name}: drained", drained, "events/s", f">= {DRAIN_PER_S:,}", drained >= DRAIN_PER_S),
        Row(f"{name}: live events behind, worst", late, "s", f"< {BEHIND_S}", late < BEHIND_S),
        Row(f"{name}: RSS grown by at most", grown, "MiB", f"<= {RSS_MIB}", grown <= RSS_MIB),
    ]


async def pending(built: House) -> float:
    return (await self_metrics(built.web))["monitord_spool_pending_events"]


async def drain_rate(built: House, waiting: float) -> float:
    """Return the events a second with which nine tenths of the backlog went."""
    begun = 0.0
    while (left := await pending(built)) > waiting * 0.05:
        if not begun and left < waiting * 0.95:
            begun, there = time.perf_counter(), left
        await asyncio.sleep(0.05)
    return (there - left) / (time.perf_counter() - begun) + RATE_PER_S


async def behind_s(built: House, draining: asyncio.Task[float]) -> float:
    """Return the longest that an event sent meanwhile took until it was stored, in seconds."""
    worst = 0.0
    connection = await asyncpg.connect(built.dsn)
    try:
        await until_written(connection)
        async with aiohttp.ClientSession() as session:
            while not draining.done():
                trace, began = uuid4(), time.perf_counter()
                async with session.post(f"{built.ingest}/v1/ingest", json=[event(trace)]) as reply:
                    assert reply.status == 202
                while not await is_stored(connection, trace):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                worst = max(worst, time.perf_counter() - began)
    finally:
        await connection.close()
    return worst


async def until_written(connection: asyncpg.Connection) -> None:
    """Return when monitord has noticed that the store is back: the outage itself is over then."""
    count = "SELECT count(*) FROM requests"
    there = await connection.fetchval(count)
    while await connection.fetchval(count) == there:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def is_stored(connection: asyncpg.Connection, trace: UUID) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT count(*) FROM requests"
            " WHERE trace_id = $1 AND at > now() - interval '1 minute'",
            trace,
        )
    )
