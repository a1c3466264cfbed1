"""The reading side: the frames on disk that are not done, oldest first, with a share for live."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import structlog

from monitord.intake.spool.catalogue import Catalogue
from monitord.intake.spool.committer import Entry
from monitord.intake.spool.journal import Written
from monitord.intake.spool.quarantine import Quarantine
from monitord.intake.spool.reader import Read, Reader, Wish
from monitord.intake.spool.recovery import Found
from monitord.intake.spool.shelf import Shelf
from monitord.model import Frame


log = structlog.get_logger(__name__)

# With an oldest frame older than this, every other drain is of those that are younger.
LIVE_SECONDS = 5.0

# A segment that could not be read is tried again after this.
AGAIN_SECONDS = 0.5


class Backlog:
    """
    A `FrameSource` over the shelf in memory and the segments behind it. One reader drains it.
    """

    def __init__(
        self,
        writer: int,
        catalogue: Catalogue,
        found: Found,
        reader: Reader,
        quarantine: Quarantine,
        memory_bytes: int,
        thread: Executor,
        clock: Callable[[], float],
    ) -> None:
        self.catalogue = catalogue
        self.quarantine = quarantine
        self.found = found
        self.misfits = 0
        self.damaged_events = 0
        self.lost_frames = 0
        self._writer = writer
        self._reader = reader
        self._thread = thread
        self._clock = clock
        self._shelf = Shelf(memory_bytes)
        # What is on disk only, as far as it is known without reading it.
        self._unread = found.frames > 0
        self._frames, self._events, self._bytes = found.frames, found.events, found.bytes
        self._oldest_at = found.oldest_at
        # Since when frames wait in segments that were passed over: they are for the next run.
        self._passed_at: float | None = None
        self._left_memory = 0
        self._loading: asyncio.Task[None] | None = None
        self._hindered = False
        self._live_turn = False
        self._filled = asyncio.Event()
        self._signal()

    @property
    def frames(self) -> int:
        """Frames that are on disk and not done."""
        return self._frames + len(self._shelf)

    @property
    def events(self) -> int:
        """Their events."""
        return self._events + self._shelf.events

    @property
    def bytes(self) -> int:
        """Their bytes on disk."""
        return self._bytes + self._shelf.bytes

    @property
    def oldest_at(self) -> float | None:
        """When the oldest of them arrived; None when there is none."""
        unread_at = self._oldest_at if self._unread else None
        ages = (unread_at, self._passed_at, self._shelf.oldest_at)
        return min((one for one in ages if one is not None), default=None)

    def add(self, entries: Sequence[Entry], written: Written) -> None:
        """Take frames that are on disk now."""
        if written.sealed is not None:
            self.catalogue.sealed(*written.sealed)
        events = sum(len(frame.batch) for frame, _ in entries)
        self.catalogue.written(written.number, written.name, written.size, events)
        for frame, _ in entries:
            self.catalogue.note(written.name, frame.writer, frame.seq)
        for frame, size in self._shelf.put(entries):
            if not self._unread:
                self._unread = True
                self._oldest_at = frame.batch.received_at
            self._left_memory += 1
            self._frames += 1
            self._events += len(frame.batch)
            self._bytes += size
        self._signal()

    async def next(self, limit: int, limit_bytes: int) -> Sequence[Frame]:
        """Wait for frames; return the oldest, or in turn with them those that just arrived."""
        while True:
            await self._filled.wait()
            await self._fill(limit, limit_bytes)
            frames = self._lend(limit, limit_bytes)
            if frames:
                return frames
            self._signal()

    def done(self, frames: Sequence[Frame]) -> None:
        """Forget these frames."""
        for frame in frames:
            if self._shelf.remove((frame.writer, frame.seq)):
                self.catalogue.finish(frame.writer, frame.seq)
        self._signal()

    async def close(self) -> None:
        """Wait for the read that may be under way."""
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)

    def _lend(self, limit: int, limit_bytes: int) -> Sequence[Frame]:
        oldest = self._shelf.oldest(limit, limit_bytes)
        young = self._clock() - LIVE_SECONDS
        if oldest and oldest[0].batch.received_at >= young:
            return oldest
        self._live_turn = not oldest or not self._live_turn
        return (self._live_turn and self._shelf.lend_live(young, limit, limit_bytes)) or oldest

    async def _fill(self, limit: int, limit_bytes: int) -> None:
        """Bring what is asked for to the head of the shelf: from disk, then from memory."""
        while self._unread and min(room := self._shelf.lacks(limit, limit_bytes)) > 0:
            if self._loading is None:
                self._loading = asyncio.create_task(self._load(*room), name="spool-load")
            # A drain that is cancelled loses nothing of what is being read.
            await asyncio.shield(self._loading)
            if self._hindered:
                return  # what is young is not held up by it
        if not self._unread:
            self._shelf.fill_head(limit, limit_bytes)

    async def _load(self, limit: int, limit_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            if self._hindered:
                await asyncio.sleep(AGAIN_SECONDS)
            left_memory, wish = self._left_memory, self._wish(limit, limit_bytes)
            read = await loop.run_in_executor(self._thread, self._reader.read, wish)
        finally:
            self._loading = None
        self._hindered = read.hindered
        self._take(read)
        if read.ended and left_memory == self._left_memory:
            self._unread = False
            if self._passed_at is None:
                self._frames = self._events = self._bytes = 0

    def _wish(self, limit: int, limit_bytes: int) -> Wish:
        first = self._shelf.first_recent
        return Wish(
            self.catalogue.readable(),
            {writer: ranges.copy() for writer, ranges in self.catalogue.done.items()},
            self._shelf.lent,
            None if first is None else (self._writer, first),
            limit,
            limit_bytes,
        )

    def _take(self, read: Read) -> None:
        if self._passed_at is None and any(map(self.catalogue.waits, read.passed)):
            self._passed_at = self._oldest_at
        self.misfits += read.misfits
        self._less(read.misfits, 0, frames=0)
        for name, header in read.damaged:
            self.catalogue.note(name, header.writer, header.seq)
            if not self.catalogue.is_done(header.writer, header.seq):
                self.catalogue.finish(header.writer, header.seq)
                self.lost_frames += 1
                self.damaged_events += header.events
                self._less(header.events, header.size)
        for name, entry in read.entries:
            frame = entry.frame
            key = (frame.writer, frame.seq)
            self.catalogue.note(name, *key)
            if key not in self._shelf and not self.catalogue.is_done(*key):
                self._shelf.put_head(entry)
                self._oldest_at = frame.batch.received_at
                self._less(len(frame.batch), entry.size)
        for name, seen in read.whole:
            lost, events = self.catalogue.lose(name, seen)
            if lost:
                self.lost_frames += lost
                self.damaged_events += events
                log.warning("spool.frames_lost", segment=name, frames=lost, events=events)
                share = min(1.0, lost / max(1, self._frames))
                self._less(events, int(self._bytes * share), lost)

    def _less(self, events: int, size: int, frames: int = 1) -> None:
        self._frames = max(0, self._frames - frames)
        self._events = max(0, self._events - events)
        self._bytes = max(0, self._bytes - size)

    def _signal(self) -> None:
        if self._unread or len(self._shelf):
            self._filled.set()
        else:
            self._filled.clear()
