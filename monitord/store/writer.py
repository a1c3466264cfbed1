"""The writer: takes frames from the queue, oldest first, and keeps them until they are stored."""

from __future__ import annotations

import asyncio
import time

from collections import Counter
from collections.abc import Sequence

import asyncpg
import structlog

from monitord.backoff import backoff
from monitord.errors import StoreError, StoreUnreachable
from monitord.model import Frame, FrameSource
from monitord.store.apply import AlreadyApplied, apply
from monitord.store.dictionaries import Dictionaries
from monitord.store.drain import Drain, Refusal, prepare
from monitord.store.failures import ENCODING, describe
from monitord.store.halving import Halving, Write, at_once
from monitord.store.partitions import Partitions
from monitord.store.pool import WAIT_FOR_MENDING, Store
from monitord.telemetry import Telemetry


log = structlog.get_logger(__name__)

# What one transaction holds at most; more only makes the answer to a failure longer.
LIMIT = 20_000
LIMIT_BYTES = 4 * 1024 * 1024

# A transaction that took more than this part of the store's timeout is not followed by a larger.
EASY = 0.25

FIRST_WAIT = 0.2
LONGEST_WAIT = 3.0

# Refused rows told one by one in the log; the others are counted alone.
REFUSALS_TOLD = 5


class Writer:
    """
    Drains a source of frames into the store, one transaction at a time.

    Frames are done once they are committed. Whatever passes is waited out with the frames kept; a
    row the database refuses is left out, counted and said; nothing stops the queue for good.
    """

    def __init__(
        self, store: Store, source: FrameSource, telemetry: Telemetry, flush_every: float = 0.2
    ) -> None:
        self._store = store
        self._source = source
        self._telemetry = telemetry
        self._flush_every = flush_every
        self._dictionaries = Dictionaries(store)
        self._partitions = Partitions(store)
        # Events of the next transaction at most: fewer after one that failed, then more again.
        self._limit = LIMIT
        # The last frame of each run that was tried and neither seen stored nor refused.
        self._tried: dict[int, int] = {}

    async def run(self) -> None:
        """Write until cancelled: what comes first at once, then what gathers in `flush_every`."""
        while True:
            frames = await self._source.next(self._limit, LIMIT_BYTES)
            began = time.monotonic()
            await self._settle(frames)
            if not self._much(frames):
                await asyncio.sleep(max(0.0, began + self._flush_every - time.monotonic()))

    def _much(self, frames: Sequence[Frame]) -> bool:
        """Say whether more frames probably wait already."""
        size_bytes = sum(frame.batch.size_bytes for frame in frames)
        return size_of(frames) >= self._limit // 2 or size_bytes >= LIMIT_BYTES // 2

    async def _settle(self, frames: Sequence[Frame]) -> None:
        """
        Return when every event of the oldest of these frames is stored or refused for good.

        All of them, unless that failed: then fewer are tried, and the source gives the others
        again. What is too much for one transaction is no longer so after some halving.
        """
        waits = backoff(FIRST_WAIT, LONGEST_WAIT)
        while frames:
            await self._store.ready()
            began = time.monotonic()
            try:
                await self._store_once(frames)
            except AlreadyApplied as found:
                frames = self._without(frames, found)
            except StoreUnreachable:
                self._failed(frames)
                frames = self._fewer(frames)
                await asyncio.sleep(next(waits))
            except StoreError as error:
                self._failed(frames)
                self._store.report_writing(str(error))
                await asyncio.sleep(WAIT_FOR_MENDING)
            except Exception as error:  # noqa: BLE001 - one fault must not stop the queue for good
                if len(frames) == 1:
                    self._give_up(frames, error)
                    self._done(frames)
                    return
                frames = self._fewer(frames)
            else:
                self._store.report_writing("")
                self._done(frames)
                if time.monotonic() - began < EASY * self._store.timeout:
                    self._limit = min(LIMIT, 2 * self._limit)
                return

    def _failed(self, frames: Sequence[Frame]) -> None:
        """Remember that nobody knows whether these were committed."""
        self._telemetry.store_failures.inc()
        for one in frames:
            self._tried[one.writer] = max(one.seq, self._tried.get(one.writer, one.seq))

    def _fewer(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Return the first half of the frames, one at least; the next drain is as small."""
        half = frames[: (len(frames) + 1) // 2]
        self._limit = max(1, size_of(half))
        return half

    def _done(self, frames: Sequence[Frame]) -> None:
        for one in frames:
            if self._tried.get(one.writer) == one.seq:
                del self._tried[one.writer]
        self._source.done(frames)

    async def _store_once(self, frames: Sequence[Frame]) -> None:
        drain = await prepare(frames, self._dictionaries, self._store.host_id)
        try:
            await self._write(drain, at_once)
            refused = drain.refusals
        except (asyncpg.PostgresError, *ENCODING):
            # Only errors of a row come through. A partition may also have been dropped meanwhile.
            self._partitions.forget()
            refused = [*drain.refusals, *await self._write(drain)]
        self._count(frames, refused)

    async def _write(self, drain: Drain, write: Write | None = None) -> Sequence[Refusal]:
        """Write a drain in one transaction; return the rows left out, when no `write` is given."""
        for table, days in drain.days().items():
            await self._partitions.ensure(table, days)
        store = self._store
        async with store.transaction() as connection:
            halving = Halving(connection)
            kept = store.retention.metrics
            await apply(connection, drain, store.host_id, kept, write or halving)
        return halving.refusals

    def _without(self, frames: Sequence[Frame], found: AlreadyApplied) -> Sequence[Frame]:
        """Return the frames that are not in the store yet, counting the others: they are done."""
        stored: list[Frame] = []
        again: list[Frame] = []
        new: list[Frame] = []
        for one in frames:
            if one.writer != found.writer or one.seq > found.last_seq:
                new.append(one)
            elif one.seq <= self._tried.get(one.writer, -1):
                stored.append(one)  # an attempt of ours was committed after all
            else:
                again.append(one)
        self._count(stored, ())
        self._telemetry.duplicates.inc(size_of(again))
        self._done([*stored, *again])
        return new

    def _count(self, frames: Sequence[Frame], refused: Sequence[Refusal]) -> None:
        left_out = Counter(one.type for one in refused)
        for kind, total in events(frames).items():
            self._telemetry.stored.labels(kind).inc(total - left_out[kind])
            self._telemetry.refused.labels(kind).inc(left_out[kind])
        for one in refused[:REFUSALS_TOLD]:
            log.warning("store.row_refused", type=one.type, reason=one.reason, row=one.row)
        if len(refused) > REFUSALS_TOLD:
            log.warning("store.rows_refused", count=len(refused), told=REFUSALS_TOLD)

    def _give_up(self, frames: Sequence[Frame], error: Exception) -> None:
        """Refuse everything: it has failed in a way that trying again would repeat."""
        totals = events(frames)
        for kind, total in totals.items():
            self._telemetry.refused.labels(kind).inc(total)
        log.error("store.frames_refused", reason=describe(error), exc_info=error, **totals)


def size_of(frames: Sequence[Frame]) -> int:
    """Return how many events the frames hold together."""
    return sum(len(frame.batch) for frame in frames)


def events(frames: Sequence[Frame]) -> dict[str, int]:
    """Return how many events of each type the frames hold."""
    return {
        "request": sum(len(frame.batch.requests) for frame in frames),
        "log": sum(len(frame.batch.logs) for frame in frames),
        "metric": sum(len(frame.batch.metrics) for frame in frames),
    }
