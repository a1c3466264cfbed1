"""What can happen to the files of a spool while nobody uses it; each says which events it hit."""

from __future__ import annotations

import os
import random

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

from monitord.intake.spool import record
from monitord.intake.spool.folder import SEGMENT, FileSource
from monitord.intake.spool.segment import Place, walk


# Where the length of a record's body stands in its header.
LENGTH_AT = 40

Span = tuple[int, int]


def places(segment: Path) -> Iterator[tuple[Span, set[UUID]]]:
    """Yield where each record of a sound segment is, and the traces of its events."""
    descriptor = os.open(segment, os.O_RDONLY)
    try:
        for place in walk(FileSource(descriptor)):
            if isinstance(place, Place):
                assert place.body is not None
                frame, _ = record.decode(place.header, place.body)
                traces = {UUID(one.trace_id) for one in frame.batch.requests if one.trace_id}
                yield (place.at, place.at + place.header.size), traces
    finally:
        os.close(descriptor)


def bits_flip(segment: Path, draw: random.Random) -> Span:
    """A few bits of a stretch turn over."""
    data = bytearray(segment.read_bytes())
    at = draw.randrange(len(data))
    end = min(len(data), at + draw.choice((1, 1, 200)))
    for place in range(at, end):
        data[place] ^= 1 << draw.randrange(8)
    segment.write_bytes(data)
    return at, end


def is_truncated(segment: Path, draw: random.Random) -> Span:
    """The file ends too early."""
    size = segment.stat().st_size
    at = draw.randrange(size)
    os.truncate(segment, at)
    return at, size


def is_zeroed(segment: Path, draw: random.Random) -> Span:
    """A block reads as zeros, as after a crash of a file system."""
    data = bytearray(segment.read_bytes())
    at = draw.randrange(len(data)) // 4096 * 4096
    end = min(len(data), at + 4096)
    data[at:end] = bytes(end - at)
    segment.write_bytes(data)
    return at, end


def claims_a_huge_length(segment: Path, draw: random.Random) -> Span:
    """A record's header says that its body is four gibibytes long."""
    spans = [span for span, _ in places(segment)]
    if not spans:
        return 0, 0
    start, end = draw.choice(spans)
    data = bytearray(segment.read_bytes())
    data[start + LENGTH_AT : start + LENGTH_AT + 4] = b"\xff\xff\xff\xff"
    segment.write_bytes(data)
    return start, end


def changes_places(segment: Path, draw: random.Random) -> Span:
    """Two segments get each other's name."""
    other = draw.choice(sorted(segment.parent.glob(f"*{SEGMENT}")))
    aside = segment.with_suffix(".aside")
    segment.rename(aside)
    if other != segment:
        other.rename(segment)
    aside.rename(other)
    return 0, 0


INJURIES: dict[str, Callable[[Path, random.Random], Span]] = {
    "bits flip": bits_flip,
    "is truncated": is_truncated,
    "is zeroed": is_zeroed,
    "claims a huge length": claims_a_huge_length,
    "changes places": changes_places,
}


def injure(spool: Path, name: str, draw: random.Random) -> set[UUID]:
    """Do one injury to one segment; return the traces of the records it touched."""
    segments = sorted(spool.glob(f"*{SEGMENT}"))
    if not segments:
        return set()
    segment = draw.choice(segments)
    before = list(places(segment))
    at, end = INJURIES[name](segment, draw)
    hit = (traces for (first, last), traces in before if first < end and at < last)
    return set().union(*hit)
