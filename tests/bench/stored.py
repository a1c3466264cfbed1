"""Requests that the daemon's own writer has stored: drawn, put into frames, written, merged."""

from __future__ import annotations

import asyncio
import os
import time

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np

from monitord.intake.dead_letters import DeadLetterFile
from monitord.model import Batch, ErrorInfo, Frame, Request
from monitord.settings import Store as StoreSettings
from monitord.store.pool import Store, open_pool
from monitord.store.rollups import Compactor
from monitord.store.writer import Writer
from monitord.telemetry import Telemetry
from tests.bench.load import METHOD, NAMES, SERVICE, draw_requests


FRAME_EVENTS = 5_000

# The requests lie in so much time: a million of them as thick as 50 M a day.
SPAN_S = 1_800

# A store that refuses would be asked for ever.
LONGEST_S = 1_200

# An index by block range grows when ranges are summarized, which autovacuum does a little later.
SUMMARIZE = """
SELECT sum(brin_summarize_new_values(index.oid))
FROM pg_class AS index
JOIN pg_am ON pg_am.oid = index.relam
WHERE pg_am.amname = 'brin'
  AND index.relkind = 'i'
  AND starts_with(index.relname, 'requests_')
"""


class Frames:
    """A `FrameSource` over an iterator; `finished` is set once every frame is done."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self.finished = asyncio.Event()
        self._frames = frames
        self._open: dict[int, Frame] = {}

    async def next(self, limit: int, limit_bytes: int) -> Sequence[Frame]:
        if not self._open:
            taken = islice(self._frames, max(1, limit // FRAME_EVENTS))
            self._open = {frame.seq: frame for frame in taken}
        if not self._open:
            self.finished.set()
            await asyncio.get_running_loop().create_future()
        return list(self._open.values())

    def done(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            del self._open[frame.seq]


def frames(count: int, until: float | None = None) -> Iterator[Frame]:
    """Yield frames of at least so many requests together, the last of them a minute ago or then."""
    draw = np.random.default_rng(1)
    number = -(-count // FRAME_EVENTS)
    first, step = (until or time.time() - 60) - SPAN_S, SPAN_S / number
    for seq in range(number):
        times = first + step * (seq + np.sort(draw.random(FRAME_EVENTS)))
        requests = drawn(draw, times.tolist(), every=seq == 0)
        yield Frame(1, seq + 1, Batch(time.time(), requests=requests))


def drawn(draw: np.random.Generator, times: list[float], *, every: bool) -> list[Request]:
    """Draw the requests of these moments; every other error is an exception."""
    columns = draw_requests(draw, len(times), every=every)
    traces = os.urandom(16 * len(times)).hex()
    failed = (columns.status == 500) & (draw.random(len(times)) < 0.5)
    error = ErrorInfo("ValueError")
    rows = zip(
        *(times, columns.endpoint.tolist(), columns.status.tolist()),
        *((columns.duration_us / 1000).tolist(), failed.tolist()),
        strict=True,
    )
    return [
        Request(
            time=at,
            service=SERVICE,
            method=METHOD,
            route=NAMES[endpoint][2],
            status=status,
            duration_ms=ms,
            trace_id=traces[32 * place : 32 * place + 32],
            error=error if raised else None,
        )
        for place, (at, endpoint, status, ms, raised) in enumerate(rows)
    ]


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Store]:
    """Lend a store that is up; nothing a benchmark asks of it is cut short."""
    async with open_pool(StoreSettings(timeout=600.0), dsn, "bench", Telemetry()) as store:
        await store.ready()
        yield store


async def write(store: Store, folder: Path, some: Iterator[Frame]) -> None:
    """
    Write frames as the daemon does, until each of them is committed.

    Raises TimeoutError: they were not within LONGEST_S.
    """
    source, telemetry = Frames(some), Telemetry()
    letters = DeadLetterFile(folder / "dead_letters.jsonl", telemetry)
    writing = asyncio.create_task(Writer(store, source, telemetry, letters, 0.0).run())
    try:
        async with asyncio.timeout(LONGEST_S):
            await source.finished.wait()
    finally:
        writing.cancel()
        await asyncio.wait([writing])


async def merge(store: Store) -> None:
    """Merge every delta, as the daemon does with those of minutes that are over."""
    while await Compactor(store).merge(datetime.now(UTC), all_minutes=True):
        pass
