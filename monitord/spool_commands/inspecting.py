"""`monitord spool inspect`: the segments, what was put aside and the cursor. Reads only."""

from __future__ import annotations

import json

from collections.abc import Iterator
from pathlib import Path

import msgspec

from msgspec import Struct

from monitord.errors import SpoolError
from monitord.intake.spool import cursor as cursors
from monitord.intake.spool.folder import QUARANTINED, Folder
from monitord.intake.spool.inspect import SegmentSummary, inspect
from monitord.logs import escaped
from monitord.spool_commands.words import counted, moment, one_line, size


ROW = "{:20} {:>9} {:>9} {:>9} {:>10} {:>10} {:>10}  {:20}  {:20}  {}"
HEAD = ROW.format(
    *("segment", "size", "frames", "waiting", "requests", "logs", "others"),
    *("first arrival", "last arrival", "damage"),
)


class Report(Struct):
    """A spool as it was found. `cursor_last_writer` is None where the cursor cannot be used."""

    folder: str
    segments: list[SegmentSummary]
    quarantined_files: int
    quarantined_bytes: int
    cursor_last_writer: int | None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged, and nothing that was lies in the folder."""
        return (
            not any(map(is_damaged, self.segments))
            and not self.quarantined_files
            and self.cursor_last_writer is not None
        )


def is_damaged(one: SegmentSummary) -> bool:
    return bool(one.problem or one.damaged_stretches or one.missing_frames)


def report_of(path: Path) -> Report:
    """
    Read all of a spool, beside a daemon that uses it or without one.

    Raises SpoolError: there is none, or it is another user's.
    """
    try:
        folder = Folder(path, create=False)
    except SpoolError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise SpoolError(f"{path}: no spool is there; `run` makes it when it starts") from error
        raise
    with folder:
        bad = folder.names(QUARANTINED)
        cursor = cursors.load(folder)
        return Report(
            str(path),
            list(inspect(path)),
            len(bad),
            sum(folder.size_of(name) for name in bad),
            None if cursor is None else cursor.last_writer,
        )


def as_text(report: Report) -> Iterator[str]:
    """Yield the lines for people."""
    if report.segments:
        yield HEAD
    for one in report.segments:
        yield _row(one, one_line(one.name), _damage(one))
    damaged = sum(map(is_damaged, report.segments))
    yield _row(_total(report.segments), "total", f"{damaged} damaged" if damaged else "-")
    aside = f"{counted(report.quarantined_files, 'file')}, {size(report.quarantined_bytes)}"
    yield f"put aside: {aside if report.quarantined_files else 'nothing'}"
    yield f"cursor: {_cursor(report.cursor_last_writer)}"


def as_json(report: Report) -> str:
    """Return all of it as one JSON document in ASCII."""
    return escaped(json.dumps({**msgspec.to_builtins(report), "sound": report.is_sound}))


def _row(one: SegmentSummary, name: str, damage: str) -> str:
    counts = (one.frames, one.frames - one.done_frames, one.requests, one.logs, one.others)
    texts = [f"{count:,}" for count in counts]
    times = (moment(one.first_at), moment(one.last_at))
    return ROW.format(name, size(one.size_bytes), *texts, *times, damage)


def _damage(one: SegmentSummary) -> str:
    found = [one.problem] if one.problem else []
    if one.damaged_stretches:
        found.append(f"{size(one.damaged_bytes)} in {counted(one.damaged_stretches, 'place')}")
    if one.missing_frames:
        found.append(f"{counted(one.missing_frames, 'frame')} missing")
    if one.unfinished_bytes:
        found.append(f"none (an unfinished end of {size(one.unfinished_bytes)})")
    return "; ".join(found) or "-"


def _total(segments: list[SegmentSummary]) -> SegmentSummary:
    total = SegmentSummary("total")
    for one in segments:
        total.size_bytes += one.size_bytes
        total.frames += one.frames
        total.done_frames += one.done_frames
        total.requests += one.requests
        total.logs += one.logs
        total.others += one.others
    firsts = [one.first_at for one in segments if one.first_at is not None]
    lasts = [one.last_at for one in segments if one.last_at is not None]
    total.first_at, total.last_at = min(firsts, default=None), max(lasts, default=None)
    return total


def _cursor(last_writer: int | None) -> str:
    if last_writer is None:
        return "cannot be read; the frames come again, and the store skips those it has"
    if not last_writer:
        return "none yet"
    return f"whole; the last run began {moment(last_writer / 1000)}"
