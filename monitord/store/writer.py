"""The writer: takes frames from their source and keeps them until they are stored."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Sequence

import asyncpg
import structlog

from monitord.backoff import backoff
from monitord.errors import StoreError, StoreUnreachable
from monitord.model import LISTS, DeadLetters, Frame, FrameSource
from monitord.store.apply import AlreadyApplied, apply
from monitord.store.dictionaries import Crowd, Dictionaries
from monitord.store.drain import Drain, all_refused, prepare
from monitord.store.failures import ENCODING, describe
from monitord.store.halving import Halving, Write, at_once
from monitord.store.outcome import Outcome, events, size_of
from monitord.store.partitions import Partitions
from monitord.store.places import Identity, identity
from monitord.store.pool import WAIT_FOR_MENDING_SECONDS, Store
from monitord.telemetry import Telemetry


log = structlog.get_logger(__name__)

# What one transaction holds at most; more only makes the answer to a failure longer.
LIMIT_EVENTS = 10_000
LIMIT_BYTES = 4 * 1024 * 1024

# A transaction that took more than this part of the store's timeout is not followed by a larger.
EASY = 0.25

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 3.0

# Refused rows told one by one in the log; the others are counted alone.
REFUSALS_TOLD = 5


class Writer:
    """
    Drains a source of frames into the store, one transaction at a time.

    Frames are done once they are committed. Whatever passes is waited out with the frames kept; a
    row the database refuses is left out, counted, said and given to the dead letters; nothing
    stops the queue for good.
    """

    def __init__(
        self,
        store: Store,
        source: FrameSource,
        telemetry: Telemetry,
        dead_letters: DeadLetters,
        flush_every: float = 0.2,
    ) -> None:
        self._store = store
        self._source = source
        self._telemetry = telemetry
        self._dead_letters = dead_letters
        self._flush_every = flush_every
        self._dictionaries = Dictionaries(store)
        self._partitions = Partitions(store)
        # Events of the next transaction at most: fewer after one that failed, then more again.
        self._limit = LIMIT_EVENTS
        # The attempt whose COMMIT is being waited for.
        self._sent: Outcome | None = None
        # Frames whose last COMMIT got no answer, and what that attempt made of them.
        self._unanswered: dict[Identity, Outcome] = {}
        # Events in the dead letters already whose frames are not done.
        self._buried: dict[Identity, set[tuple[type, int]]] = {}

    def counts(self) -> dict[str, int | None]:
        """Return how many names are told apart, by the dictionary's table; None: not read yet."""
        return self._dictionaries.counts()

    def crowded(self) -> dict[str, list[Crowd]]:
        """Return what of the names is full, by the dictionary's table."""
        return self._dictionaries.crowded()

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
        Return when every event of the first of these frames is stored or refused for good.

        All of them, unless that failed: then fewer are tried, and the source gives the others
        again. What is too much for one transaction is no longer so after some halving.
        """
        waits = backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        fault: Exception | None = None
        while frames:
            await self._store.ready()
            began = time.monotonic()
            try:
                await self._store_once(frames, fault)
            except AlreadyApplied as found:
                frames = self._without(frames, found.frames)
            except StoreUnreachable:
                self._failed(frames)
                frames = self._fewer(frames)
                await asyncio.sleep(next(waits))
            except StoreError as error:
                self._failed(frames)
                self._store.report_writing(str(error))
                await asyncio.sleep(WAIT_FOR_MENDING_SECONDS)
            except Exception as error:  # noqa: BLE001 - one fault must not stop the queue for good
                if len(frames) > 1:
                    frames = self._fewer(frames)
                elif fault is None:
                    fault = error  # trying again would repeat it: put the frame down as refused
                else:
                    await self._give_up(frames, error)
                    return
            else:
                self._store.report_writing("")
                self._done(frames)
                if time.monotonic() - began < EASY * self._store.timeout:
                    self._limit = min(LIMIT_EVENTS, 2 * self._limit)
                return

    def _failed(self, frames: Sequence[Frame]) -> None:
        """Remember what nobody knows whether it was committed."""
        self._telemetry.store_failures.inc()
        if self._sent is not None:
            self._unanswered.update((identity(one), self._sent) for one in frames)
            self._sent = None

    def _fewer(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Return the first half of the frames, one at least; the next drain is as small."""
        half = frames[: (len(frames) + 1) // 2]
        self._limit = max(1, size_of(half))
        return half

    def _done(self, frames: Sequence[Frame]) -> None:
        for one in frames:
            self._unanswered.pop(identity(one), None)
            self._buried.pop(identity(one), None)
        self._source.done(frames)

    async def _store_once(self, frames: Sequence[Frame], fault: Exception | None) -> None:
        """Store the frames; after a fault of our own, only that their events are refused."""
        if fault is None:
            drain = await prepare(frames, self._dictionaries, self._store.host_id)
        else:
            drain = all_refused(frames, describe(fault))
        try:
            outcome = await self._write(drain, at_once)
        except (asyncpg.PostgresError, *ENCODING):
            # Only errors of a row come through. A partition may also have been dropped meanwhile.
            self._partitions.forget()
            outcome = await self._write(drain)
        self._count(frames, outcome)
        self._say(frames, outcome, fault)

    async def _write(self, drain: Drain, write: Write | None = None) -> Outcome:
        """Write a drain in one transaction; rows are left out when no `write` is given."""
        self._sent = None
        for table, periods in drain.periods().items():
            await self._partitions.ensure(table, periods)
        store = self._store
        async with store.transaction() as connection:
            halving = Halving(connection)
            kept = store.retention.metrics
            written = await apply(connection, drain, store.host_id, kept, write or halving)
            outcome = Outcome(written, [*written.refusals, *halving.refusals])
            await self._bury(outcome)
            self._sent = outcome
        self._sent = None
        return outcome

    async def _bury(self, outcome: Outcome) -> None:
        """
        Give refused events to the dead letters, once while their frame is not done.

        Before the commit: after it a crash would lose them, before it they only come again.
        """
        letters = []
        for one in outcome.letters:
            buried = self._buried.setdefault((one.writer, one.seq), set())
            if (type(one.event), one.index) not in buried:
                buried.add((type(one.event), one.index))
                letters.append(one)
        if letters:
            await self._dead_letters.keep(letters)

    def _without(self, frames: Sequence[Frame], applied: frozenset[Identity]) -> Sequence[Frame]:
        """Return the frames that are not in the store yet, counting the others: they are done."""
        there = [one for one in frames if identity(one) in applied]
        again = []
        for one in there:
            outcome = self._unanswered.get(identity(one))
            if outcome is None:
                again.append(one)
            else:
                self._count([one], outcome)  # that attempt was committed after all
        self._telemetry.duplicates.inc(size_of(again))
        self._done(there)
        return [one for one in frames if identity(one) not in applied]

    def _count(self, frames: Sequence[Frame], outcome: Outcome) -> None:
        totals = outcome.totals(frames)
        for counter, counts in (
            (self._telemetry.stored, totals.stored),
            (self._telemetry.refused, totals.refused),
        ):
            for kind in LISTS:
                counter.labels(kind).inc(counts[kind])
        self._telemetry.duplicates.inc(totals.duplicates.total())

    def _say(self, frames: Sequence[Frame], outcome: Outcome, fault: Exception | None) -> None:
        if fault is not None:
            log.error(
                "store.frames_refused", reason=describe(fault), exc_info=fault, **events(frames)
            )
            return
        for one in outcome.refusals[:REFUSALS_TOLD]:
            log.warning("store.row_refused", type=one.place[0], reason=one.reason, row=one.row)
        if len(outcome.refusals) > REFUSALS_TOLD:
            told = REFUSALS_TOLD
            log.warning("store.rows_refused", count=len(outcome.refusals), told=told)

    async def _give_up(self, frames: Sequence[Frame], error: Exception) -> None:
        """Be done with a frame that cannot even be put down as refused."""
        drain = all_refused(frames, describe(error))
        outcome = Outcome(drain, drain.refusals)
        await self._bury(outcome)
        self._count(frames, outcome)
        self._say(frames, outcome, error)
        self._done(frames)
