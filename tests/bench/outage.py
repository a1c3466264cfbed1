"""The store stands still while events go on arriving: nothing lost or twice, and soon caught up."""

from __future__ import annotations

import asyncio
import time

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import aiohttp
import asyncpg

from tests.acceptance.faults import frozen
from tests.acceptance.house import House, house
from tests.acceptance.oracle import settled
from tests.acceptance.producer import EVENTS, Producer, event
from tests.bench.exactly_once import lost_or_twice
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

# A backlog that is not gone by then will not go.
LONGEST_S = 300


class Caught(NamedTuple):
    """How it caught up: rows stored a second, if that shows, and how late each live event was."""

    rows_per_s: float | None
    behind_s: list[float]


async def run(folder: Path, _: str) -> list[Row]:
    """Freeze the store under load, let it go on, and watch how the backlog goes."""
    async with house(folder / "house", small_disks=False) as built:
        producer = Producer(built.ingest, RATE_PER_S / EVENTS)
        posting = asyncio.create_task(producer.run())
        try:
            await asyncio.sleep(WARM_SECONDS)
            before = await asyncio.to_thread(forget_peak, built)
            waiting, caught = await outage(built)
            producer.finish()
            await posting
        finally:
            posting.cancel()  # nothing else is measured beside it
        stored = await settled(built.web, built.dsn, producer.acknowledged)
        grown = (built.most_rss_bytes() - before) / 2**20
    name = f"Outage of {SECONDS} s at {RATE_PER_S:,}/s"
    return [
        Row(f"{name}: events waiting at its end", waiting, "events", "", None),
        lost_or_twice(name, producer.acknowledged, stored),
        *caught_up(name, caught),
        Row(f"{name}: peak RSS above that before", grown, "MiB", f"<= {RSS_MIB}", grown <= RSS_MIB),
    ]


def caught_up(name: str, caught: Caught) -> list[Row]:
    """Return the rows of how it caught up; what could not be seen is missed."""
    rate, late = caught.rows_per_s, max(caught.behind_s, default=None)
    fast, soon = rate is not None and rate >= DRAIN_PER_S, late is not None and late < BEHIND_S
    unit = f"s (of {len(caught.behind_s)} since its end)"
    return [
        Row(f"{name}: stored while it drained", rate, "rows/s", f">= {DRAIN_PER_S:,}", fast),
        Row(f"{name}: live events behind, worst", late, unit, f"< {BEHIND_S}", soon),
    ]


def forget_peak(built: House) -> int:
    """Let the kernel count monitord's peak memory from now on; return what it has now, in bytes."""
    Path(f"/proc/{built.pid}/clear_refs").write_text("5")
    return built.rss_bytes()


async def outage(built: House) -> tuple[float, Caught]:
    """
    Return how many events waited at the end of the outage, and how they went.

    Raises TimeoutError: they had not gone after LONGEST_S.
    """
    # Sessions opened before it: opening one is no part of what is measured at its end.
    async with asyncpg.create_pool(built.dsn, min_size=2, max_size=2) as pool:
        with frozen(built):
            await asyncio.sleep(SECONDS)
            waiting = await pending(built)
        async with asyncio.timeout(LONGEST_S), asyncio.TaskGroup() as group:
            draining = group.create_task(drain_rate(built, pool, waiting))
            behind = group.create_task(behind_s(built, pool, draining))
    return waiting, Caught(draining.result(), behind.result())


async def pending(built: House) -> float:
    return (await self_metrics(built.web))["monitord_spool_pending_events"]


async def drain_rate(built: House, pool: asyncpg.Pool, waiting: float) -> float | None:
    """
    Return the rows a second that PostgreSQL got while nine tenths of the backlog went.

    Live events are among them. None: the backlog went between two looks.
    """
    await until_pending(built, waiting * 0.95)
    rows, began = await count(pool)
    await until_pending(built, waiting * 0.05)
    more, ended = await count(pool)
    return (more - rows) / (ended - began) if more > rows else None


async def until_pending(built: House, most: float) -> None:
    while await pending(built) > most:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.05)


async def count(pool: asyncpg.Pool) -> tuple[int, float]:
    """Return how many rows there are, and of which second that is, by PostgreSQL's clock."""
    [row] = await pool.fetch(
        "SELECT count(*), extract(epoch FROM statement_timestamp())::float8 FROM requests"
    )
    return row[0], row[1]


async def behind_s(
    built: House, pool: asyncpg.Pool, draining: asyncio.Task[float | None]
) -> list[float]:
    """
    Return how long events took until they were stored, in seconds: one after another, at once.

    The first is sent at the end of the outage, the last while the backlog still drains.
    """
    found: list[float] = []
    async with aiohttp.ClientSession() as session:
        while not found or not draining.done():
            trace, sent, began = uuid4(), time.time(), time.perf_counter()
            while not await is_taken(session, built, trace):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            while not await is_stored(pool, trace, sent):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            found.append(time.perf_counter() - began)
    return found


async def is_taken(session: aiohttp.ClientSession, built: House, trace: UUID) -> bool:
    """Post one event of this moment; one that is refused for now waits to be sent again."""
    with suppress(aiohttp.ClientError):
        async with session.post(f"{built.ingest}/v1/ingest", json=[event(trace)]) as reply:
            return reply.status == 202
    return False


async def is_stored(pool: asyncpg.Pool, trace: UUID, since: float) -> bool:
    return bool(
        await pool.fetchval(
            "SELECT count(*) FROM requests WHERE trace_id = $1 AND at >= to_timestamp($2)",
            *(trace, since - 1),
        )
    )
