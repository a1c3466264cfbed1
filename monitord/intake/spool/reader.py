"""Frames read back from disk in order, some at a time. It blocks: one thread calls it."""

from __future__ import annotations

import os

from collections.abc import Container, Mapping, Sequence

import msgspec
import structlog

from msgspec import Struct

from monitord.intake.spool.catalogue import Readable
from monitord.intake.spool.committer import Entry
from monitord.intake.spool.folder import FileSource, Folder
from monitord.intake.spool.quarantine import Quarantine
from monitord.intake.spool.ranges import Ranges
from monitord.intake.spool.record import Header, decode
from monitord.intake.spool.segment import Damage, Place, walk
from monitord.intake.spool.summary import Contents


log = structlog.get_logger(__name__)

# A segment that cannot be read is tried so often: a process may be out of descriptors for a moment.
ATTEMPTS = 5


class Wish(Struct, frozen=True):
    """
    What to read: up to a limit, without what is done or in memory already.

    `before` is the first of this run's frames (run, number) that memory still holds.
    """

    segments: Sequence[Readable]
    done: Mapping[int, Ranges]
    held: Container[tuple[int, int]]
    before: tuple[int, int] | None
    limit: int
    limit_bytes: int


class Read(Struct):
    """
    What was read. `ended`: nothing more is on disk before `before`.

    `whole` are segments read to their end, and all that is in them; `passed` those that could not
    be. `hindered`: the next one cannot be read now, and is worth another attempt after a pause.
    """

    entries: list[tuple[str, Entry]] = []
    damaged: list[tuple[str, Header]] = []
    whole: list[tuple[str, Contents]] = []
    passed: list[str] = []
    misfits: int = 0
    ended: bool = False
    hindered: bool = False


class Reader:
    """Goes forward through the segments; where it is survives what it is asked."""

    def __init__(self, folder: Folder, quarantine: Quarantine) -> None:
        self._folder = folder
        self._quarantine = quarantine
        self._number = 0
        self._name = ""
        self._offset = 0
        self._attempts = 0
        # What was met in the segment; None once a part of it could not be read.
        self._seen: Contents | None = Contents()

    def read(self, wish: Wish) -> Read:
        """Return the next frames; damage is put aside and passed over."""
        read = Read()
        left = [wish.limit, wish.limit_bytes]
        for one in wish.segments:
            if (one.number, one.name) < (self._number, self._name):
                continue
            if (one.number, one.name) != (self._number, self._name):
                self._number, self._name, self._offset = one.number, one.name, 0
                self._attempts, self._seen = 0, Contents()
            try:
                more = self._opened(one, wish, read, left)
            except OSError as error:
                more = self._passed_over(one, error, read)
                read.hindered = not more
            else:
                self._attempts = 0
            if not more:
                return read
            if self._seen is not None and not one.grows:
                read.whole.append((one.name, self._seen))
        read.ended = True
        return read

    def _opened(self, one: Readable, wish: Wish, read: Read, left: list[int]) -> bool:
        if self._offset >= one.end:
            return True
        descriptor = self._folder.open(one.name)
        try:
            return self._segment(descriptor, one.end, wish, read, left)
        finally:
            os.close(descriptor)

    def _passed_over(self, one: Readable, error: OSError, read: Read) -> bool:
        """Leave the segment to the next start; False when it is to be tried again before."""
        gone = isinstance(error, FileNotFoundError)
        self._attempts += 1
        if self._attempts < ATTEMPTS and not gone:
            return False
        self._attempts, self._offset, self._seen = 0, one.end, None
        read.passed.append(one.name)
        log.warning(
            "spool.segment_unreadable",
            segment=one.name,
            error=error.strerror,
            next="it is passed over" if gone else "its frames are read again at the next start",
        )
        return True

    def _segment(self, descriptor: int, end: int, wish: Wish, read: Read, left: list[int]) -> bool:
        """Read on in one segment; False when that is enough for now."""
        for found in walk(FileSource(descriptor, end), self._offset):
            if isinstance(found, Damage):
                self._damage(descriptor, found.at, found.end, found.header, read)
                self._offset = found.end
                continue
            key = (found.header.writer, found.header.seq)
            if wish.before and key[0] == wish.before[0] and key[1] >= wish.before[1]:
                read.ended = True
                return False
            if left[0] <= 0 or left[1] <= 0:
                return False
            self._offset = found.at + found.header.size
            self._meet(found.header)
            if key not in wish.held and key[1] not in wish.done.get(key[0], ()):
                self._take(descriptor, found, read, left)
        return True

    def _take(self, descriptor: int, found: Place, read: Read, left: list[int]) -> None:
        header = found.header
        try:
            frame, misfits = decode(header, found.body or b"")
        except (msgspec.MsgspecError, RecursionError) as error:
            log.warning("spool.undecodable", segment=self._name, error=str(error)[:200])
            self._damage(descriptor, found.at, found.at + header.size, header, read)
            return
        if misfits:
            read.misfits += misfits
            end = found.at + header.size
            self._quarantine.keep(self._name, descriptor, found.at, end)
        read.entries.append((self._name, Entry(frame, header.size)))
        left[0] -= max(1, header.events)
        left[1] -= header.body_bytes

    def _damage(
        self, descriptor: int, at: int, end: int, header: Header | None, read: Read
    ) -> None:
        self._quarantine.keep(self._name, descriptor, at, end)
        if header is not None:
            self._meet(header)
            read.damaged.append((self._name, header))

    def _meet(self, header: Header) -> None:
        if self._seen is not None:
            key = (header.writer, header.seq)
            self._seen.note(*key, header.received_at, header.events, header.size)
