"""
One segment's bytes: its header, and a walk over its records that no damage stops.

The bytes come from anything that reads at an offset; nothing is written or kept here.
"""

from __future__ import annotations

import struct
import zlib

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from monitord.intake.spool import summary
from monitord.intake.spool.record import CRC, HEADER_BYTES, MARK, Header, header_at, is_sound
from monitord.intake.spool.summary import Source


MAGIC = b"\xc1MNTSPL\xc1"
VERSION = 1
FIELDS = struct.Struct("<8sHHIQQQd")
SEGMENT_HEADER_BYTES = FIELDS.size + CRC.size

# How much of a file is looked through at once for the next mark.
STRETCH_BYTES = 1024 * 1024


class SegmentHeader(NamedTuple):
    """Where a segment belongs, and whose it is."""

    magic: bytes
    version: int
    header_bytes: int
    reserved: int
    number: int
    writer: int
    stamp: int
    created_at: float


class Place(Struct, frozen=True, gc=False):
    """A record; `body` is None where bodies are skipped."""

    at: int
    header: Header
    body: bytes | None


class Damage(Struct, frozen=True, gc=False):
    """
    A stretch of bytes that is no record.

    `header` is that of a record whose body is not what was written; `torn` says that the file
    ends inside of what may have been a record.
    """

    at: int
    end: int
    header: Header | None = None
    torn: bool = False


def pack_header(number: int, writer: int, stamp: int, created_at: float) -> bytes:
    """Return the header a segment file starts with."""
    fields = FIELDS.pack(MAGIC, VERSION, SEGMENT_HEADER_BYTES, 0, number, writer, stamp, created_at)
    return fields + CRC.pack(zlib.crc32(fields))


def parse_header(data: bytes) -> SegmentHeader | None:
    """Return a segment's header; None when it is not whole and sound."""
    if len(data) < SEGMENT_HEADER_BYTES or not data.startswith(MAGIC):
        return None
    if CRC.unpack_from(data, FIELDS.size)[0] != zlib.crc32(data[: FIELDS.size]):
        return None
    return SegmentHeader._make(FIELDS.unpack_from(data))


def walk(source: Source, at: int = 0, bodies: bool = True) -> Iterator[Place | Damage]:
    """
    Yield what a segment holds from an offset on, in order: records, and damage between them.

    With `bodies` each body is read and checked; without, only that of a record nothing sound
    follows, and a damaged body goes by as a record. It ends: every step moves on. Raises OSError.
    """
    return _Walk(source, bodies).run(at)


class _Walk:
    def __init__(self, source: Source, bodies: bool) -> None:
        self._source = source
        self._bodies = bodies
        found = parse_header(source.read(0, SEGMENT_HEADER_BYTES))
        self._headed = found is not None
        # Without a sound segment header the first record says which stamp is the segment's.
        self._stamp = found.stamp if found else None

    def run(self, at: int) -> Iterator[Place | Damage]:
        if at < SEGMENT_HEADER_BYTES and self._headed:
            at = SEGMENT_HEADER_BYTES
        header = self._header(at)
        while at < self._source.size:
            if header is None:
                end, header = self._next(at + 1)
                yield Damage(at, end, torn=self._is_torn(at, end))
            else:
                end = at + header.size
                following = self._header(end)
                body = self._sound_body(at, header, following)
                if body is not None:
                    yield Place(at, header, body if self._bodies else None)
                    header = following
                else:
                    # Where bytes are missing, the length reaches into the records behind it.
                    torn = end > self._source.size
                    end, after = self._next(at + HEADER_BYTES)
                    yield Damage(at, end, header, torn and after is None)
                    header = after
            at = end

    def _header(self, at: int) -> Header | None:
        header = header_at(self._source.read(at, HEADER_BYTES))
        if header is None or (self._stamp is not None and header.stamp != self._stamp):
            return None
        self._stamp = header.stamp
        return header

    def _sound_body(self, at: int, header: Header, following: Header | None) -> bytes | None:
        """Return the body; empty when it was not asked for and need not be doubted; else None."""
        if not self._bodies and following is not None:
            return b""
        if at + header.size > self._source.size:
            return None
        body = self._source.read(at + HEADER_BYTES, header.body_bytes)
        return body if is_sound(header, body) else None

    def _next(self, at: int) -> tuple[int, Header | None]:
        """Return where the next sound header of this segment is, and it; else the end of all."""
        size = self._source.size
        while at < size:
            stretch = self._source.read(at, STRETCH_BYTES + len(MARK) - 1)
            found = stretch.find(MARK)
            while found >= 0:
                header = self._header(at + found)
                if header is not None:
                    return at + found, header
                found = stretch.find(MARK, found + 1)
            at += STRETCH_BYTES
        return size, None

    def _is_torn(self, at: int, end: int) -> bool:
        """Say whether an unfinished write leaves such an end of a file: a start, or zeros."""
        if end < self._source.size:
            return False
        mark = self._source.read(at, len(MARK))
        # A summary holds no frames: one that is not sound is an end like any other.
        if mark == summary.MARK or (end - at < HEADER_BYTES and MARK.startswith(mark)):
            return True
        return not any(
            self._source.read(one, STRETCH_BYTES).strip(b"\0")
            for one in range(at, end, STRETCH_BYTES)
        )
