"""Log lines on their way out: which ones a reader wants, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import chain, islice
from math import inf, isfinite
from typing import Any

import msgspec

from msgspec import Struct

from monitord.http.answers import LogEntry
from monitord.http.respond import to_line
from monitord.model import LEVELS, Log, LogLine


KEPT_BYTES = 4 * 1024 * 1024
KEPT_EVENT_BYTES = 16 * 1024


class LineFilter(Struct, frozen=True):
    """
    What a reader wants: lines of a level (OpenTelemetry severity) or worse that hold a text.

    The text is looked for as the store does: in upper or lower case, in message, logger, service,
    error and fields (keys and values), and at the head of the trace id. A line of a level that is
    not known is kept, whatever the level asked for.
    """

    level: int = 0
    text: str = ""

    def keeps(self, line: LogLine) -> bool:
        log = line.log
        if LEVELS.get(log.level, self.level) < self.level:
            return False
        if not self.text or (log.trace_id or "").startswith(self.text):
            return True
        return any(self.text in part.lower() for part in chain(_texts(log), _parts(log.fields)))


def line_filter(level: int | None, text: str) -> LineFilter:
    return LineFilter(level or 0, text.lower())


class Page(Struct, frozen=True):
    """Which of the lines in memory a page is made of: older than a cursor, of a stretch of time."""

    wanted: LineFilter
    limit: int
    before: str | None = None
    since: float | None = None
    until: float | None = None

    def of(self, lines: Sequence[LogLine]) -> list[LogLine]:
        """Return the newest lines of the page, newest first; `lines` are oldest first."""
        cursor = tuple(int(part) for part in self.before.split("-")) if self.before else (inf,)
        since, until = self.since or 0.0, self.until or inf
        kept = (
            line
            for line in reversed(lines)
            if (line.writer, line.seq, line.index) < cursor
            and since <= line.log.time < until
            and self.wanted.keeps(line)
        )
        return list(islice(kept, self.limit))


def _texts(log: Log) -> Iterator[str]:
    yield from (log.message, log.logger, log.service)
    if log.error is not None:
        yield from (log.error.type, log.error.message)


def _parts(value: Any) -> Iterator[str]:
    """Yield every key and value of a JSON value, at any depth, as the store writes it."""
    match value:
        case dict():
            for key, each in value.items():
                yield key
                yield from _parts(each)
        case list():
            for each in value:
                yield from _parts(each)
        case str():
            yield value
        case bool():
            yield "true" if value else "false"
        case int():
            yield str(value)
        case float() if isfinite(value):
            # All digits, no exponent; zero has no sign.
            yield f"{Decimal(repr(value or 0.0)):f}"


def entry(line: LogLine) -> LogEntry:
    """Return the line as the API writes it."""
    log = line.log
    return LogEntry(
        id=line.cursor,
        time=log.time,
        level=log.level,
        service=log.service,
        logger=log.logger,
        message=log.message,
        trace_id=log.trace_id,
        fields=log.fields,
        error=None if log.error is None else msgspec.to_builtins(log.error),
    )


class Encoder:
    """
    Writes each line as a server-sent event once, however many clients get it.

    What it keeps is bounded in events and in bytes; a very long event is written for each client.
    """

    def __init__(self, limit: int = 1_024, limit_bytes: int = KEPT_BYTES) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._events: dict[tuple[int, int, int], bytes] = {}
        self._bytes = 0

    def event(self, line: LogLine) -> bytes:
        """Return `id:` and `data:` of the line; JSON in ASCII, so that no text ends the event."""
        key = (line.writer, line.seq, line.index)
        event = self._events.get(key)
        if event is None:
            event = f"id: {line.cursor}\r\ndata: {to_line(entry(line))}\r\n\r\n".encode("ascii")
            if len(event) <= KEPT_EVENT_BYTES:
                self._keep(key, event)
        return event

    def _keep(self, key: tuple[int, int, int], event: bytes) -> None:
        self._events[key] = event
        self._bytes += len(event)
        while len(self._events) > self._limit or self._bytes > self._limit_bytes:
            self._bytes -= len(self._events.pop(next(iter(self._events))))
