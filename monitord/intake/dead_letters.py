"""The file of the events the store has refused for good. Bounded; it never stops the writer."""

from __future__ import annotations

import asyncio
import json
import os
import time

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import structlog

from monitord.model import DeadLetter
from monitord.telemetry import Telemetry


log = structlog.get_logger(__name__)

LIMIT_BYTES = 16 * 1024 * 1024

# For its owner alone (0600): events may hold what is nobody else's business.
MADE = os.O_CREAT | os.O_CLOEXEC


class DeadLetterFile:
    """
    One line of JSON a refused event: why, when, which one of which frame, and the event itself.

    `event` is as the native protocol has it, so that once mended it can be sent again. When the
    file is full its older half is let go. What is not in the file is counted. The spool forgets an
    event whose letter was kept; by then file and name are on disk.
    """

    def __init__(
        self,
        path: Path,
        telemetry: Telemetry,
        limit_bytes: int = LIMIT_BYTES,
        now: Callable[[], float] = time.time,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self._path = path
        self._telemetry = telemetry
        self._limit_bytes = limit_bytes
        self._now = now
        self._sync = sync

    async def keep(self, letters: Sequence[DeadLetter]) -> None:
        """Append the letters; a disk that refuses them is said and costs the letters alone."""
        at = self._now()
        try:
            lost = await asyncio.to_thread(self._append, letters, at)
        except Exception as error:  # noqa: BLE001 - a refused event must not stop those to come
            log.error("dead_letters.failed", reason=repr(error), events=len(letters))
            self._telemetry.dead_letters_lost.inc(len(letters))
        else:
            self._telemetry.dead_letters.inc(len(letters))
            self._telemetry.dead_letters_lost.inc(lost)

    def _append(self, letters: Sequence[DeadLetter], at: float) -> int:
        """Write the letters at the end; return how many, old or new, found no room."""
        lines = [line(letter, at) for letter in letters]
        data = b"".join(lines)
        with os.fdopen(os.open(self._path, os.O_RDWR | MADE, 0o600), "r+b") as file:
            held = file.seek(0, os.SEEK_END)
            if held and not ends_a_line(file):
                data = b"\n" + data  # a crash has cut the last one
            if held + len(data) <= self._limit_bytes:
                file.seek(0, os.SEEK_END)
                file.write(data)
                self._made_durable(file)
                self._named()
                return 0
            file.seek(0)
            lines = [*(one + b"\n" for one in file.read().splitlines()), *lines]
        return self._halve(lines)

    def _halve(self, lines: Sequence[bytes]) -> int:
        newest = newest_of(lines, self._limit_bytes // 2)
        draft = self._path.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_TRUNC | MADE, 0o600), "wb") as file:
            file.writelines(newest)
            self._made_durable(file)
        draft.replace(self._path)
        self._named()
        return len(lines) - len(newest)

    def _made_durable(self, file: BinaryIO) -> None:
        file.flush()
        self._sync(file.fileno())

    def _named(self) -> None:
        """Make the file's name durable, whether this or a write that failed has made it."""
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)


def ends_a_line(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def newest_of(lines: Sequence[bytes], limit_bytes: int) -> Sequence[bytes]:
    """Return as many of the last lines as are within the limit together."""
    size_bytes = 0
    for kept, one in enumerate(reversed(lines)):
        size_bytes += len(one)
        if size_bytes > limit_bytes:
            return lines[len(lines) - kept :]
    return lines


def line(letter: DeadLetter, at: float) -> bytes:
    """Return a letter as one line of JSON; an event JSON cannot hold is put down as text."""
    head = {
        "at": at,
        "reason": letter.reason,
        "writer": letter.writer,
        "seq": letter.seq,
        "index": letter.index,
    }
    try:
        return msgspec.json.encode({**head, "event": letter.event}) + b"\n"
    except (ValueError, TypeError, RecursionError, OverflowError):
        return written(head, letter)


def written(head: dict[str, Any], letter: DeadLetter) -> bytes:
    """Return a line in plain ASCII, which holds lone surrogates too."""
    try:
        event = msgspec.to_builtins(letter.event, str_keys=True)
        return json.dumps({**head, "event": event}).encode() + b"\n"
    except (ValueError, TypeError, RecursionError, OverflowError):
        return json.dumps({**head, "event": repr(letter.event)}).encode() + b"\n"
