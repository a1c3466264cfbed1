"""The summary API over a million stored requests, fifty thousand of them in the last hour."""

from __future__ import annotations

import asyncio
import random
import time

from collections.abc import Sequence
from pathlib import Path

import aiohttp

from monitord.intake.dead_letters import DeadLetterFile
from monitord.model import Batch, Frame, Request
from monitord.settings import Store as StoreSettings
from monitord.store.pool import open_pool
from monitord.store.writer import Writer
from monitord.telemetry import Telemetry
from tests.bench.daemon import Daemon, daemon
from tests.bench.table import Row


INSTANCE = "bench"
STORED = 1_000_000
RECENT = 50_000
# The answer is kept for half a second: at this pace 1 call in 25 reads anew, and p99 is of those.
CALLS = 500
EVERY_S = 0.02
FRAME_EVENTS = 5_000
OLDEST_AGE_S = 72_000
HOUR_BEFORE_S = 7_200
RECENT_AGE_S = 3_000


class History:
    """A `FrameSource` of generated requests: the daemon's own writer stores them."""

    def __init__(self) -> None:
        self.finished = asyncio.Event()
        self._draw = random.Random(1)
        self._now = time.time()
        self._seq = 0

    async def next(self, limit: int, limit_bytes: int) -> Sequence[Frame]:
        sent = self._seq * FRAME_EVENTS
        if sent >= STORED:
            self.finished.set()
            await asyncio.get_running_loop().create_future()
        self._seq += 1
        ages = stretch(sent)
        events = [self._request(self._now - self._draw.uniform(*ages)) for _ in range(FRAME_EVENTS)]
        return [Frame(1, self._seq, Batch(self._now, requests=events))]

    def done(self, frames: Sequence[Frame]) -> None:
        pass

    def _request(self, at: float) -> Request:
        draw = self._draw
        return Request(
            time=at,
            service="shop",
            method="GET",
            route=f"/resource{int(draw.expovariate(1) * 20) % 200}/{{id}}",
            status=500 if draw.random() < 0.03 else 200,
            duration_ms=draw.lognormvariate(2.5, 0.8),
            trace_id=f"{draw.getrandbits(128):032x}",
        )


def stretch(sent: int) -> tuple[float, float]:
    """Return the ages in seconds between which the next frame lies: in order, as events come."""
    old = STORED - RECENT
    if sent < old:
        share = (OLDEST_AGE_S - HOUR_BEFORE_S) / old
        return OLDEST_AGE_S - sent * share, OLDEST_AGE_S - (sent + FRAME_EVENTS) * share
    share = RECENT_AGE_S / RECENT
    return RECENT_AGE_S - (sent - old) * share, RECENT_AGE_S - (sent - old + FRAME_EVENTS) * share


async def run(folder: Path, dsn: str) -> list[Row]:
    """Fill the store, start a daemon on it, and ask for the summary over and over."""
    await fill(folder, dsn)
    settings = {
        "store": {"dsn": dsn},
        "instance": INSTANCE,
        "targets": {"host": {"enabled": False}},
    }
    async with daemon(folder, **settings) as running, aiohttp.ClientSession() as session:
        counted = await settled_count(session, running)
        durations = sorted(await timed_calls(session, running))
    p99 = durations[int(CALLS * 0.99)]
    right = counted == RECENT
    return [
        Row("summary: requests counted of the last hour", counted, "", f"{RECENT:,}", right),
        Row("summary API, 1 M stored, p50", durations[CALLS // 2], "ms", "", None),
        Row("summary API, 1 M stored, p99", p99, "ms", "< 50", p99 < 50),
    ]


async def fill(folder: Path, dsn: str) -> None:
    source, telemetry = History(), Telemetry()
    async with open_pool(StoreSettings(), dsn, INSTANCE, telemetry) as store:
        letters = DeadLetterFile(folder / "dead_letters.jsonl", telemetry)
        writing = asyncio.create_task(Writer(store, source, telemetry, letters, 0.0).run())
        await source.finished.wait()
        writing.cancel()
        await asyncio.wait([writing])


async def settled_count(session: aiohttp.ClientSession, running: Daemon) -> int:
    """Return the summary's count once it is the right one, or what it is after 30 s."""
    count = 0
    for _ in range(60):
        async with session.get(f"{running.web}/api/monitoring/advanced/summary") as reply:
            count = (await reply.json())["api"]["request_count"] or 0
        if count == RECENT:
            break
        await asyncio.sleep(0.5)
    return count


async def timed_calls(session: aiohttp.ClientSession, running: Daemon) -> list[float]:
    durations = []
    for _ in range(CALLS):
        durations.append(await timed_summary(session, running))
        await asyncio.sleep(EVERY_S)
    return durations


async def timed_summary(session: aiohttp.ClientSession, running: Daemon) -> float:
    started = time.perf_counter()
    async with session.get(f"{running.web}/api/monitoring/advanced/summary") as reply:
        await reply.read()
    return (time.perf_counter() - started) * 1000
