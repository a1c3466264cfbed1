"""
The writing end: one segment that grows, made durable after each append, rolled when it is full.

It blocks: one thread calls it. After an error, whichever, nothing of that append is there any more.
"""

from __future__ import annotations

import contextlib
import os
import time

from collections.abc import Callable, Sequence

from msgspec import Struct

from monitord.intake.spool import summary
from monitord.intake.spool.folder import SEGMENT, Folder, append_all, write_all
from monitord.intake.spool.segment import SEGMENT_HEADER_BYTES, pack_header
from monitord.intake.spool.summary import Contents
from monitord.model import Frame


PROBE = "probe"
PROBE_BYTES = 64 * 1024


class SyncFailed(OSError):
    """The kernel could not say that what was written is on disk; the file is not trusted again."""


class Written(Struct, frozen=True):
    """
    Where an append went; `size` is the segment's up to its end, `seconds` the sync's.

    `sealed` is the segment that was ended since the append before, and its length.
    """

    number: int
    name: str
    size: int
    seconds: float
    sealed: tuple[str, int] | None = None


def segment_name(number: int) -> str:
    """Return a segment's file name; names sort as their numbers do."""
    return f"{number:016}{SEGMENT}"


class Journal:
    """
    Appends to segments numbered on from `number`. Only its own run ever appends to a segment.
    """

    def __init__(
        self,
        folder: Folder,
        number: int,
        writer: int,
        stamp: int,
        segment_bytes: int,
        sync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        self._folder = folder
        self._number = number - 1
        self.writer = writer
        self.stamp = stamp
        self._segment_bytes = segment_bytes
        self._sync = sync
        self._descriptor = -1
        self._size = 0
        self._contents = Contents()
        self._sealed: tuple[str, int] | None = None

    @property
    def number(self) -> int:
        """The number of the newest segment."""
        return self._number

    @property
    def size(self) -> int:
        """The durable length of the segment that grows."""
        return self._size

    @property
    def active(self) -> str:
        """The name of the segment that grows; empty when the next append begins one."""
        return segment_name(self._number) if self._descriptor >= 0 else ""

    def append(self, parts: list[bytes], entries: Sequence[tuple[Frame, int]]) -> Written:
        """
        Write the parts behind one another and make them durable. Raises OSError.

        The entries are the frames the parts are of, and the bytes of each.

        When only the sync failed, they are written anew to a new segment: a second sync of the
        same file could claim what the kernel has dropped already.
        """
        data = b"".join(parts)
        try:
            return self._append(data, entries)
        except SyncFailed:
            return self._append(data, entries)

    def seal(self) -> None:
        """End the growing segment with its summary; the next append begins another."""
        if self._descriptor >= 0 and self._contents.frames:
            # Without it the segment is as good: the next start walks it.
            with contextlib.suppress(Exception):
                data = summary.pack(self._contents, self, self._size)
                append_all(self._descriptor, self._size, data, self._sync)
                self._sealed = (self.active, self._size + len(data))
        self.leave()

    def leave(self) -> None:
        """End the growing segment as it is; the next append begins another."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def probe(self) -> None:
        """Raise OSError unless the folder takes a durable file again."""
        self._folder.remove(PROBE)
        descriptor = self._folder.create(PROBE)
        try:
            write_all(descriptor, bytes(PROBE_BYTES))
            self._sync(descriptor)
        finally:
            os.close(descriptor)
            self._folder.remove(PROBE)

    def _append(self, data: bytes, entries: Sequence[tuple[Frame, int]]) -> Written:
        if self._size > SEGMENT_HEADER_BYTES and self._size + len(data) > self._segment_bytes:
            self.seal()
        if self._descriptor < 0:
            self._begin()
        try:
            write_all(self._descriptor, data)
            began = time.perf_counter()
            self._made_durable()
            seconds = time.perf_counter() - began
            self._note(entries)
        except Exception as error:
            trusted = isinstance(error, OSError) and not isinstance(error, SyncFailed)
            self._take_back(trusted)
            raise
        self._size += len(data)
        sealed, self._sealed = self._sealed, None
        return Written(self._number, segment_name(self._number), self._size, seconds, sealed)

    def _note(self, entries: Sequence[tuple[Frame, int]]) -> None:
        for frame, size in entries:
            received_at, events = frame.batch.received_at, len(frame.batch)
            self._contents.note(frame.writer, frame.seq, received_at, events, size)

    def _made_durable(self) -> None:
        try:
            self._sync(self._descriptor)
        except OSError as error:
            raise SyncFailed(error.errno, error.strerror) from error

    def _begin(self) -> None:
        self._number += 1
        name = segment_name(self._number)
        descriptor = self._folder.create(name)
        try:
            write_all(descriptor, pack_header(self._number, self.writer, self.stamp, time.time()))
            os.fsync(descriptor)
            self._folder.sync()
        except Exception:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                self._folder.remove(name)
            raise
        self._descriptor = descriptor
        self._size = SEGMENT_HEADER_BYTES
        self._contents = Contents()

    def _take_back(self, trusted: bool) -> None:
        """Cut off what was not made durable, and leave the file for good."""
        name = self.active
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._size)
        if trusted:
            self.seal()
        else:
            self.leave()
        if self._size == SEGMENT_HEADER_BYTES:
            with contextlib.suppress(OSError):
                self._folder.remove(name)
