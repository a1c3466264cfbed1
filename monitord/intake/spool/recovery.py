"""What is in the folder at start: segments counted, torn tails cut, damage put aside."""

from __future__ import annotations

import contextlib
import os

from collections.abc import Iterator, Mapping, Sequence

import structlog

from msgspec import Struct, structs

from monitord.intake.spool import cursor as cursors
from monitord.intake.spool import summary
from monitord.intake.spool.catalogue import Catalogue, Kept
from monitord.intake.spool.folder import SEGMENT, FileSource, Folder, append_all
from monitord.intake.spool.quarantine import Quarantine
from monitord.intake.spool.ranges import Ranges
from monitord.intake.spool.record import Header
from monitord.intake.spool.segment import (
    SEGMENT_HEADER_BYTES,
    VERSION,
    Damage,
    SegmentHeader,
    parse_header,
    walk,
)
from monitord.intake.spool.summary import Contents


log = structlog.get_logger(__name__)

# So much is walked besides, for the events of segments of which only some frames wait.
LIMIT_RECOUNTED_BYTES = 32 * 1024 * 1024


class Found(Struct):
    """
    The frames that wait in a spool that was opened, and what its bytes were worth.

    Events, bytes and age are estimates where a segment is partly done and was not counted anew.
    """

    segments: int = 0
    frames: int = 0
    events: int = 0
    bytes: int = 0
    oldest_at: float | None = None
    duplicates: int = 0
    truncated_bytes: int = 0
    last_writer: int = 0
    last_number: int = 0


class Opened(Struct, frozen=True):
    """A segment file, and its header where that is sound. `descriptor` while it is open."""

    name: str
    header: SegmentHeader | None = None
    descriptor: int = -1

    @property
    def number(self) -> int:
        """The number in the header, which no renaming changes; else that of the name."""
        if self.header is not None:
            return self.header.number
        stem = self.name.removesuffix(SEGMENT)
        return int(stem) if stem.isascii() and stem.isdigit() and len(stem) < 20 else 0


def recover(folder: Folder, quarantine: Quarantine) -> tuple[Catalogue, Found]:
    """
    Return what the folder holds. Damage is never an error; raises OSError from the folder alone.
    """
    cursor = cursors.load(folder)
    if cursor is None:
        log.warning("spool.cursor_unusable", folder=str(folder.path))
        cursor = cursors.Cursor()
    names = folder.names(SEGMENT)
    headed = _headed(folder, names)
    census = _Census(quarantine, cursor)
    kept = []
    for one in headed:
        with _passed_over(one.name), _opened(folder, one) as opened:
            kept.append(census.take(opened, one is headed[-1]))
    found = census.found
    found.segments = len(kept)
    # Those that could not be opened too: no file is made in their place.
    everything = [*headed, *map(Opened, names)]
    found.last_number = max((one.number for one in everything), default=0)
    return Catalogue(kept, census.done), found


def _headed(folder: Folder, names: Sequence[str]) -> list[Opened]:
    """Return the segments in their order: closed, for there may be more than can be open."""
    headed = []
    for name in names:
        with _passed_over(name), _opened(folder, Opened(name)) as one:
            head = FileSource(one.descriptor).read(0, SEGMENT_HEADER_BYTES)
            headed.append(Opened(name, parse_header(head)))
    return sorted(headed, key=lambda one: (one.number, one.name))


@contextlib.contextmanager
def _opened(folder: Folder, one: Opened) -> Iterator[Opened]:
    descriptor = folder.open(one.name, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield structs.replace(one, descriptor=descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _passed_over(name: str) -> Iterator[None]:
    """Leave a segment that cannot be read to the next start."""
    try:
        yield
    except OSError as error:
        log.warning("spool.segment_unreadable", segment=name, error=error.strerror)


class _Census:
    """Counts what waits, segment by segment in their order."""

    def __init__(self, quarantine: Quarantine, cursor: cursors.Cursor) -> None:
        self.found = Found(last_writer=cursor.last_writer)
        self.done = cursor.ranges()
        self._quarantine = quarantine
        self._seen: dict[int, Ranges] = {}
        self._recountable_bytes = LIMIT_RECOUNTED_BYTES

    def take(self, one: Opened, is_last: bool) -> Kept:
        """
        Count a segment's frames: by its summary, or by a walk that leaves it with one.
        """
        source = FileSource(one.descriptor)
        kept = Kept(one.number, one.name, source.size, source.size, {})
        sealed = None
        if one.header is not None:
            self.found.last_writer = max(self.found.last_writer, one.header.writer)
            if one.header.version != VERSION:
                log.warning("spool.foreign_segment", segment=one.name, version=one.header.version)
                kept.foreign = True
                return kept
            sealed = summary.find(source, one.header)
        if sealed is not None:
            contents, kept.end = sealed
        else:
            contents, kept.end = self._walked(one, source, is_last)
            kept.size = _seal(one, contents, kept.end)
        kept.seqs, kept.events = contents.seqs, contents.events
        self.found.last_writer = max(self.found.last_writer, *kept.seqs, 0)
        self._count(one, contents, kept.end)
        return kept

    def _walked(self, one: Opened, source: FileSource, is_last: bool) -> tuple[Contents, int]:
        """Return what is in a segment, and where that ends: damage put aside, a torn end cut."""
        contents = Contents()
        for place in walk(source, bodies=False):
            if not isinstance(place, Damage):
                self._note(contents, place.header, place.header.size)
            elif place.torn and is_last:
                self._truncate(one, place)
                return contents, place.at
            else:
                if place.header is not None:
                    # It waits like any other until it is read, and is counted as damaged then.
                    self._note(contents, place.header, place.end - place.at)
                self._quarantine.keep(one.name, one.descriptor, place.at, place.end)
        return contents, source.size

    def _note(self, contents: Contents, header: Header, size: int) -> None:
        key = (header.writer, header.seq)
        if not contents.note(*key, header.received_at, header.events, size):
            self.found.duplicates += 1

    def _truncate(self, one: Opened, damage: Damage) -> None:
        os.ftruncate(one.descriptor, damage.at)
        os.fsync(one.descriptor)
        self.found.truncated_bytes += damage.end - damage.at
        log.warning("spool.tail_truncated", segment=one.name, bytes=damage.end - damage.at)

    def _count(self, one: Opened, contents: Contents, end: int) -> None:
        waiting = {}
        for writer, seqs in contents.seqs.items():
            known = self._seen.setdefault(writer, Ranges())
            fresh = seqs.without(known)
            self.found.duplicates += seqs.count - fresh.count
            for first, last in fresh:
                known.add_range(first, last)
            waiting[writer] = fresh.without(self.done.get(writer, Ranges()))
        frames = sum(ranges.count for ranges in waiting.values())
        if not frames:
            return
        if frames < contents.frames:
            contents = self._part(one, contents, end, waiting, frames / contents.frames)
        self.found.frames += frames
        self.found.events += contents.events
        self.found.bytes += contents.bytes
        if self.found.oldest_at is None:
            self.found.oldest_at = contents.first_at

    def _part(
        self,
        one: Opened,
        contents: Contents,
        end: int,
        waiting: Mapping[int, Ranges],
        share: float,
    ) -> Contents:
        """Return what the waiting frames of a segment come to: walked, or in proportion."""
        part = Contents()
        if end > self._recountable_bytes:
            part.events, part.bytes = int(contents.events * share), int(contents.bytes * share)
            part.first_at = contents.first_at
            return part
        self._recountable_bytes -= end
        for place in walk(FileSource(one.descriptor, end), bodies=False):
            header = place.header
            if header is not None and header.seq in waiting.get(header.writer, ()):
                key = (header.writer, header.seq)
                part.note(*key, header.received_at, header.events, header.size)
        return part


def _seal(one: Opened, contents: Contents, end: int) -> int:
    """Give a segment its summary; return its length. Without one, the next start walks it too."""
    if one.header is None or not contents.frames:
        return end
    data = summary.pack(contents, one.header, end)
    try:
        append_all(one.descriptor, end, data, os.fdatasync)
    except OSError:
        return end
    return end + len(data)
