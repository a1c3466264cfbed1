"""What an ended segment holds, said at its end, so that a start need not walk it. No I/O here."""

from __future__ import annotations

import struct
import zlib

from typing import Protocol

import msgspec

from msgspec import Struct

from monitord.intake.spool.ranges import Ranges
from monitord.intake.spool.record import HEADER_BYTES


MARK = b"\xc1MNT\xc1SU\xc1"
# Behind the body: bytes of the whole summary, and the checksum of all of it before.
LENGTH = struct.Struct("<I")
CRC = struct.Struct("<I")
TAIL_BYTES = LENGTH.size + CRC.size


class Bound(Protocol):
    """What ties a summary to its segment; the stamp is drawn by each run."""

    @property
    def number(self) -> int: ...
    @property
    def writer(self) -> int: ...
    @property
    def stamp(self) -> int: ...


class Source(Protocol):
    """Bytes that can be read anywhere; fewer come at the end. Raises OSError."""

    size: int

    def read(self, at: int, length: int) -> bytes: ...


class Contents(Struct):
    """The frames of one segment: their numbers by run, and what they come to."""

    seqs: dict[int, Ranges] = {}
    events: int = 0
    bytes: int = 0
    first_at: float | None = None

    @property
    def frames(self) -> int:
        return sum(one.count for one in self.seqs.values())

    def note(self, writer: int, seq: int, received_at: float, events: int, size: int) -> bool:
        """Take note of a frame; False when it was noted before."""
        seqs = self.seqs.get(writer)
        if seqs is None:
            seqs = self.seqs[writer] = Ranges()
        elif seq in seqs:
            return False
        seqs.add(seq)
        self.events += events
        self.bytes += size
        if self.first_at is None:
            self.first_at = received_at
        return True


class _Body(Struct):
    """The summary as it is written; `at` is the offset it was written for."""

    number: int
    writer: int
    stamp: int
    at: int
    events: int
    bytes: int
    first_at: float | None
    seqs: dict[int, list[tuple[int, int]]]


def pack(contents: Contents, segment: Bound, at: int) -> bytes:
    """Return the bytes to write at this offset, behind the segment's last record."""
    seqs = {writer: list(ranges) for writer, ranges in contents.seqs.items()}
    body = _Body(
        segment.number,
        segment.writer,
        segment.stamp,
        at,
        contents.events,
        contents.bytes,
        contents.first_at,
        seqs,
    )
    data = MARK + msgspec.msgpack.encode(body)
    data += LENGTH.pack(len(data) + TAIL_BYTES)
    return data + CRC.pack(zlib.crc32(data))


def find(source: Source, segment: Bound) -> tuple[Contents, int] | None:
    """
    Return what the segment's summary says, and the offset where its records end.

    None where there is none, or none that is sound and was written for this segment as long as
    it is now. Raises OSError.
    """
    tail = source.read(source.size - TAIL_BYTES, TAIL_BYTES)
    if len(tail) < TAIL_BYTES:
        return None
    length = LENGTH.unpack_from(tail)[0]
    at = source.size - length
    if at < 0 or source.read(at, len(MARK)) != MARK:
        return None
    data = source.read(at, length)
    if CRC.unpack_from(tail, LENGTH.size)[0] != zlib.crc32(data[: -CRC.size]):
        return None
    try:
        body = msgspec.msgpack.decode(data[len(MARK) : -TAIL_BYTES], type=_Body)
    except msgspec.MsgspecError:
        return None
    meant = (body.number, body.writer, body.stamp, body.at)
    if meant != (segment.number, segment.writer, segment.stamp, at):
        return None
    contents = _contents(body)
    return None if contents is None else (contents, at)


def _contents(body: _Body) -> Contents | None:
    """Return what it says; None where that cannot be true of any segment of its length."""
    if any(first > last for ranges in body.seqs.values() for first, last in ranges):
        return None
    seqs = {writer: Ranges(ranges) for writer, ranges in body.seqs.items()}
    contents = Contents(seqs, body.events, body.bytes, body.first_at)
    if not contents.frames * HEADER_BYTES <= body.bytes <= body.at or body.events < 0:
        return None
    return contents
