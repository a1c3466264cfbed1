"""What is in a spool, for people: read only, without owning it, beside a daemon that uses it."""

from __future__ import annotations

import os

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from monitord.intake.spool import cursor as cursors
from monitord.intake.spool.folder import SEGMENT, FileSource, Folder
from monitord.intake.spool.ranges import Ranges
from monitord.intake.spool.segment import (
    SEGMENT_HEADER_BYTES,
    VERSION,
    Damage,
    parse_header,
    walk,
)
from monitord.intake.spool.summary import find


class SegmentSummary(Struct):
    """
    One segment. The times are the frames' arrivals, in Unix seconds.

    `problem` says why nothing was read of it. The end of the last segment may be unfinished: a
    daemon is writing it, or a crash has cut it and the next start will; that is no damage.
    `missing_frames` are those that the segment's own summary names and that are not in it.
    """

    name: str
    size_bytes: int = 0
    number: int | None = None
    writer: int | None = None
    frames: int = 0
    done_frames: int = 0
    requests: int = 0
    logs: int = 0
    others: int = 0
    first_at: float | None = None
    last_at: float | None = None
    damaged_stretches: int = 0
    damaged_bytes: int = 0
    unfinished_bytes: int = 0
    missing_frames: int = 0
    problem: str = ""


def inspect(path: Path) -> Iterator[SegmentSummary]:
    """
    Yield a summary of each segment, in the order of their names; every body is checked.

    Writes nothing. Raises SpoolError: there is no such folder, or it is another user's.
    """
    with Folder(path, create=False) as folder:
        cursor = cursors.load(folder)
        done = cursor.ranges() if cursor else {}
        names = folder.names(SEGMENT)
        for name in names:
            summary = SegmentSummary(name)
            try:
                _summarise(folder, summary, done, is_last=name == names[-1])
            except FileNotFoundError:
                continue  # it was finished meanwhile
            except OSError as error:
                summary.problem = error.strerror or str(error)
            yield summary


def _summarise(
    folder: Folder, summary: SegmentSummary, done: Mapping[int, Ranges], *, is_last: bool
) -> None:
    descriptor = folder.open(summary.name)
    try:
        source = FileSource(descriptor)
        summary.size_bytes = source.size
        header = parse_header(source.read(0, SEGMENT_HEADER_BYTES))
        if header is not None:
            summary.number, summary.writer = header.number, header.writer
            if header.version != VERSION:
                summary.problem = f"format {header.version}; this monitord reads {VERSION}"
                return
        sealed = find(source, header) if header is not None else None
        if sealed is not None:
            contents, source.size = sealed
        for found in walk(source):
            if isinstance(found, Damage):
                _note(found, summary, is_last)
                continue
            one = found.header
            summary.frames += 1
            summary.done_frames += one.seq in done.get(one.writer, ())
            summary.requests += one.requests
            summary.logs += one.logs
            summary.others += one.others
            if summary.first_at is None:
                summary.first_at = one.received_at
            summary.last_at = one.received_at
        if sealed is not None:
            summary.missing_frames = max(0, contents.frames - summary.frames)
    finally:
        os.close(descriptor)


def _note(damage: Damage, summary: SegmentSummary, is_last: bool) -> None:
    if damage.torn and is_last:
        summary.unfinished_bytes += damage.end - damage.at
    else:
        summary.damaged_stretches += 1
        summary.damaged_bytes += damage.end - damage.at
