"""
The spool: batches become frames that are safe on disk, and stay until they are stored.

In front the daemon appends and waits for `settled`; behind, the store's writer drains it.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import time

from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from msgspec import Struct

from monitord.errors import SpoolError
from monitord.intake.spool.backlog import Backlog
from monitord.intake.spool.committer import Committer, Entry, reason_of
from monitord.intake.spool.folder import Folder
from monitord.intake.spool.journal import Journal, Written
from monitord.intake.spool.quarantine import Quarantine
from monitord.intake.spool.ranges import Ranges
from monitord.intake.spool.reader import Reader
from monitord.intake.spool.record import HEADER_BYTES, LIMIT_BODY_BYTES, Unfit, encode
from monitord.intake.spool.recovery import Found, recover
from monitord.intake.spool.upkeep import Upkeep
from monitord.model import Batch, Frame


log = structlog.get_logger(__name__)

# What commits under way may write besides records: a segment's summary and the next one's header.
ROLL_BYTES = 1024

# Appended, but not on disk yet: a disk that is this far behind takes nothing more.
LIMIT_UNCOMMITTED_BYTES = 16 * 1024 * 1024


class SpoolLimits(Struct, frozen=True):
    """How large the spool, its parts and what it holds in memory may be, in bytes."""

    spool_bytes: int = 1024 * 1024 * 1024
    free_bytes: int = 256 * 1024 * 1024
    segment_bytes: int = 16 * 1024 * 1024
    memory_bytes: int = 48 * 1024 * 1024
    quarantine_bytes: int = 64 * 1024 * 1024


class Refusal(enum.StrEnum):
    """Why a batch was not taken."""

    FULL = "full"
    DISK = "disk"
    SLOW = "slow"
    UNFIT = "unfit"
    CLOSED = "closed"


class Figures(Struct):
    """
    What the spool counts of itself since it was opened; `refused_events` by reason.

    Everything offered was appended or refused. What was appended or found is pending, done, lost
    (its write failed) or damaged. Of the lost ones, the senders of `told_events` have them still.
    """

    appended_events: int = 0
    refused_events: dict[str, int] = {}
    commits: int = 0
    sync_seconds_last: float = 0.0
    sync_seconds_max: float = 0.0
    lost_frames: int = 0
    lost_events: int = 0
    told_events: int = 0


class Spool:
    """
    A `FrameSource`, and the durable half of a sink. Made by `open_spool`.

    What is refused was not taken; what was taken and is settled is never dropped. A frame whose
    commit failed is neither settled nor handed out: it is counted in `figures`.
    """

    def __init__(
        self,
        folder: Folder,
        backlog: Backlog,
        journal: Journal,
        writer: int,
        stamp: int,
        limits: SpoolLimits,
        thread: ThreadPoolExecutor,
    ) -> None:
        self.writer = writer
        self.backlog = backlog
        self.figures = Figures()
        self._journal = journal
        self._limits = limits
        self._stamp = stamp
        self._thread = thread
        self._committer = Committer(journal, thread, self._on_disk, self._failed)
        self._upkeep = Upkeep(folder, journal, backlog.catalogue, thread, limits.segment_bytes)
        self._seq = 0
        self._failed_seqs = Ranges()
        self._closed = False

    @property
    def pending_events(self) -> int:
        """Events that were appended or found and are not done, on disk yet or not."""
        return self.backlog.events + self._committer.events

    @property
    def disk_bytes(self) -> int:
        """Bytes of all segments."""
        return self._upkeep.disk_bytes

    @property
    def trouble(self) -> str:
        """Why the disk takes nothing now; empty when it does."""
        return self._upkeep.trouble

    def refusal(self, size: int) -> Refusal | None:
        """Say why a batch of so many bytes would be refused now; None when it would be taken."""
        if self._closed or self._committer.ended:
            return Refusal.CLOSED
        disk, waiting = self._upkeep, self._committer.bytes + size
        if disk.trouble or disk.free_bytes - waiting < self._limits.free_bytes:
            return Refusal.DISK
        if disk.disk_bytes + waiting + ROLL_BYTES > self._limits.spool_bytes:
            return Refusal.FULL
        if self._committer.bytes and waiting > LIMIT_UNCOMMITTED_BYTES:
            return Refusal.SLOW
        return None

    def append(self, batch: Batch) -> Frame | Refusal:
        """
        Give the batch its identity and put it in the next commit; or say why not.

        Never blocks and never raises for what the batch holds.
        """
        frame = Frame(self.writer, self._seq + 1, batch)
        # Asked before it is encoded too: a full spool is when there is least time for that.
        refusal = self.refusal(HEADER_BYTES)
        if refusal is None:
            try:
                parts = encode(frame, self._stamp)
            except Unfit as error:
                log.warning("spool.unfit_batch", error=str(error)[:200])
                refusal = Refusal.UNFIT
            else:
                size = len(parts[0]) + len(parts[1])
                fits = len(parts[1]) <= LIMIT_BODY_BYTES
                refusal = self.refusal(size) if fits else Refusal.UNFIT
        if refusal is not None:
            self._upkeep.was_full |= refusal is Refusal.FULL
            refused = self.figures.refused_events
            refused[refusal] = refused.get(refusal, 0) + len(batch)
            return refusal
        self._seq += 1
        self.figures.appended_events += len(batch)
        self._committer.add(Entry(frame, size), parts)
        return frame

    def unkept(self, batch: Batch) -> Frame:
        """Give a batch that was refused an identity to be shown under; it never is on disk."""
        self._seq += 1
        self.backlog.catalogue.finish(self.writer, self._seq)
        return Frame(self.writer, self._seq, batch)

    async def settled(self, frames: Sequence[Frame] = ()) -> None:
        """
        Return when everything appended before this call is on disk.

        Raises SpoolError when that failed: for these frames; without them, for any that waited.
        """
        error = await self._committer.settled()
        if any(one.seq in self._failed_seqs for one in frames):
            raise error or SpoolError("not on disk: an earlier write failed")
        if error is not None and not frames:
            raise error

    def told(self, frame: Frame) -> None:
        """Take note that who sent a frame knows that it is lost, and sends it again."""
        if frame.seq in self._failed_seqs:
            self.figures.told_events += len(frame.batch)

    async def next(self, limit: int, limit_bytes: int) -> Sequence[Frame]:
        """
        Wait for a frame that is on disk and not done; return the oldest.

        Where the oldest is late, every other call returns those that have just arrived.
        """
        return await self.backlog.next(limit, limit_bytes)

    def done(self, frames: Sequence[Frame]) -> None:
        """Forget these frames; one that is done already is passed over."""
        self.backlog.done(frames)

    def _on_disk(self, entries: Sequence[Entry], written: Written) -> None:
        self.figures.commits += 1
        self.figures.sync_seconds_last = written.seconds
        self.figures.sync_seconds_max = max(self.figures.sync_seconds_max, written.seconds)
        self.backlog.add(entries, written)
        self._upkeep.written(sum(one.size for one in entries))

    def _failed(self, entries: Sequence[Entry], error: Exception) -> None:
        self._upkeep.trouble = reason_of(error)
        log.error("spool.write_failed", error=self.trouble, frames=len(entries))
        for frame, _ in entries:
            self.figures.lost_frames += 1
            self.figures.lost_events += len(frame.batch)
            self._failed_seqs.add(frame.seq)
            self.backlog.catalogue.finish(frame.writer, frame.seq)

    async def _end(self, commits: asyncio.Task[None], keeps: asyncio.Task[None]) -> None:
        """Commit everything and write the cursor."""
        self._closed = True
        keeps.cancel()
        self._committer.close()
        ended = await asyncio.gather(keeps, commits, return_exceptions=True)
        await self._upkeep.look()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._journal.seal)
        for fault in ended:
            if isinstance(fault, Exception):
                raise fault


@contextlib.asynccontextmanager
async def open_spool(
    path: Path,
    writer: int,
    limits: SpoolLimits | None = None,
    clock: Callable[[], float] = time.time,
    sync: Callable[[int], None] = os.fdatasync,
) -> AsyncIterator[Spool]:
    """
    Own the folder for as long as the `with` lasts. `writer` is this run, raised where it is taken.

    Raises SpoolError: the folder is in use, or cannot be ours.
    """
    limits = SpoolLimits() if limits is None else limits
    with Folder(path) as folder, ThreadPoolExecutor(1, "spool") as thread:
        folder.lock()
        loop = asyncio.get_running_loop()
        try:
            quarantine = Quarantine(folder, limits.quarantine_bytes)
            catalogue, found = await loop.run_in_executor(thread, recover, folder, quarantine)
        except OSError as error:
            raise SpoolError(f"{path}: the spool cannot be read ({error.strerror})") from error
        _report(path, found, quarantine)
        writer = max(writer, found.last_writer + 1)
        stamp = int.from_bytes(os.urandom(8))
        journal = Journal(folder, found.last_number + 1, writer, stamp, limits.segment_bytes, sync)
        with ThreadPoolExecutor(1, "spool-reader") as reading:
            reader = Reader(folder, quarantine)
            backlog = Backlog(
                writer, catalogue, found, reader, quarantine, limits.memory_bytes, reading, clock
            )
            spool = Spool(folder, backlog, journal, writer, stamp, limits, thread)
            commits = asyncio.create_task(spool._committer.run(), name="spool-commits")
            keeps = asyncio.create_task(spool._upkeep.run(), name="spool-keeps")
            try:
                yield spool
            finally:
                await spool._end(commits, keeps)
                await backlog.close()


def _report(path: Path, found: Found, quarantine: Quarantine) -> None:
    if found.segments:
        log.info(
            "spool.found",
            folder=str(path),
            segments=found.segments,
            frames=found.frames,
            events=found.events,
            bytes=found.bytes,
            oldest_at=found.oldest_at,
            duplicates=found.duplicates,
            truncated_bytes=found.truncated_bytes,
            quarantined_bytes=quarantine.bytes,
        )
