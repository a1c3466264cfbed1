"""Live log lines: the last ones in memory, and everyone who watches. No filter here."""

from __future__ import annotations

import asyncio

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from msgspec import Struct

from monitord.model import Frame, LogLine


HELD_LINES = 1_000
HELD_BYTES = 8 * 1024 * 1024
WATCHER_LINES = 1_000
WATCHER_BYTES = 1024 * 1024

Identity = tuple[int, int, int]


class Gap(Struct, frozen=True):
    """`dropped` lines are missing at this place: the watcher was too slow for them."""

    dropped: int


class Recent(Struct, frozen=True):
    """Lines kept in memory, oldest first; `gap`: some between the cursor and these are not here."""

    lines: list[LogLine]
    gap: bool = False


class _Ring:
    """The newest lines, bounded in lines and bytes; `dropped` counts what had to go for them."""

    def __init__(self, limit_lines: int, limit_bytes: int) -> None:
        self._limit_lines = limit_lines
        self._limit_bytes = limit_bytes
        self._weights: deque[int] = deque()
        self._bytes = 0
        self.lines: deque[LogLine] = deque()
        self.dropped = 0
        self.last_dropped: Identity | None = None

    def push(self, lines: Iterable[LogLine], weight: int) -> None:
        """Append lines of `weight` bytes each. The newest line stays, however long it is."""
        for line in lines:
            self.lines.append(line)
            self._weights.append(weight)
            self._bytes += weight
            while len(self.lines) > self._limit_lines or (
                self._bytes > self._limit_bytes and len(self.lines) > 1
            ):
                self._drop()

    def take(self) -> list[LogLine]:
        """Return all lines and hold none."""
        lines = list(self.lines)
        self.lines.clear()
        self._weights.clear()
        self._bytes = 0
        return lines

    def _drop(self) -> None:
        self.last_dropped = _identity(self.lines.popleft())
        self._bytes -= self._weights.popleft()
        self.dropped += 1


class Watcher:
    """
    An async iterator of what was published since it began: lists of lines, and gaps.

    A watcher that falls behind loses its oldest lines and is told how many, before the next ones.
    """

    def __init__(self, limit_lines: int, limit_bytes: int) -> None:
        self._ring = _Ring(limit_lines, limit_bytes)
        self._news = asyncio.Event()
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[LogLine] | Gap:
        await self._news.wait()
        if dropped := self._ring.dropped:
            self._ring.dropped = 0
            return Gap(dropped)
        lines = self._ring.take()
        if not self._closed:
            self._news.clear()
        if lines:
            return lines
        raise StopAsyncIteration

    def push(self, lines: Iterable[LogLine], weight: int) -> None:
        self._ring.push(lines, weight)
        self._news.set()

    def close(self) -> None:
        """End the iteration, after what is still here."""
        self._closed = True
        self._news.set()


class Bus:
    """
    Hands every published log record to every watcher, and keeps the last ones.

    A watcher never slows the publisher or another watcher. Bounds are lines and bytes; a line
    counts as its share of its frame's bytes.
    """

    def __init__(
        self,
        limit: int = WATCHER_LINES,
        *,
        limit_bytes: int = WATCHER_BYTES,
        held_lines: int = HELD_LINES,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._held = _Ring(held_lines, held_bytes)
        self._watchers: set[Watcher] = set()
        self._closed = False

    def publish(self, frame: Frame) -> None:
        """Make a line of each log record of the frame, once for all who watch."""
        batch = frame.batch
        if not batch.logs:
            return
        lines = [
            LogLine(frame.writer, frame.seq, index, log) for index, log in enumerate(batch.logs)
        ]
        weight = batch.size_bytes // len(batch)
        self._held.push(lines, weight)
        for watcher in self._watchers:
            watcher.push(lines, weight)

    @contextmanager
    def watch(self) -> Iterator[Watcher]:
        """
        Give a watcher of everything published from now on.

        Calling `recent` next, with no await between, gives what came before: together they hold
        each line exactly once.
        """
        watcher = Watcher(self._limit, self._limit_bytes)
        if self._closed:
            watcher.close()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def recent(self, count: int, after: str | None = None) -> Recent:
        """
        Return the last `count` lines held, of those after the cursor if one is given.

        `gap` says that lines after the cursor are missing before these: no longer held, more than
        `count`, or of another run. A cursor that is none of ours is such a one.
        """
        lines = list(self._held.lines)
        if after is None:
            return Recent(lines[-count:] if count > 0 else [])
        newer = self._after(_parse(after))
        kept = (lines if newer is None else newer)[-count:] if count > 0 else []
        return Recent(kept, gap=newer is None or len(kept) < len(newer))

    def close(self) -> None:
        """End every watcher, now and later."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()

    def _after(self, seen: Identity | None) -> list[LogLine] | None:
        """
        Return the lines that were shown after this one; None when that is not known any more.

        By their places: what waits for the disk is shown after what was numbered later.
        """
        lines = list(self._held.lines)
        for place, line in enumerate(lines):
            if _identity(line) == seen:
                return lines[place + 1 :]
        return lines if seen is not None and seen == self._held.last_dropped else None


def _identity(line: LogLine) -> Identity:
    return line.writer, line.seq, line.index


def _parse(cursor: str) -> Identity | None:
    parts = cursor.split("-")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    if len(cursor) > 60:  # three 64-bit numbers; int() of a longer text may take its time
        return None
    writer, seq, index = (int(part) for part in parts)
    return writer, seq, index
