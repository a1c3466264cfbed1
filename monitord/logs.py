"""
monitord's own log on stderr: one line a record, through structlog, the standard library's included.

What comes from outside is text: control characters, terminal escapes and bidirectional marks are
written as escapes, passwords in addresses as `***`. Identical messages are written ten times a
minute at most, and what was held back is counted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import time

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, TextIO

import structlog

from structlog.typing import Processor

from monitord.settings import LogSettings


REPEATS_PER_WINDOW = 10
REPEAT_WINDOW_S = 60.0
REPEAT_KEYS = 1_000

# C0 but tab and newline, DEL, C1, bidirectional marks, line separators, lone surrogates, BOM.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_SECRETS = (
    (re.compile(r"(://[^\s/@:]*:)[^\s/]*@"), r"\1***@"),
    (re.compile(r"(?i)\b((?:password|passwd|secret|token)=)[^\s&\"']+"), r"\1***"),
    (re.compile(r"(?i)\b(bearer\s+)[^\s\"']+"), r"\1***"),
)

EventDict = MutableMapping[str, Any]
Key = tuple[str, int, str]


def escaped(text: str) -> str:
    """Return the text with every character a terminal might obey written as an escape."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def configure(log: LogSettings, stream: TextIO | None = None) -> None:
    """Send every record of structlog and of `logging` to `stream` (stderr), from `log.level` up."""
    stream = sys.stderr if stream is None else stream
    console = log.format == "console" or (log.format == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_console(stream) if console else [_as_json]),
                _without_secrets,
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, _Handler):
            root.removeHandler(old)
            old.close()
    root.addHandler(handler)
    root.setLevel(log.level.upper())
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


class Repeats:
    """Which of many identical messages are written. Time is an argument, in seconds."""

    def __init__(self, limit: int = REPEATS_PER_WINDOW, window_s: float = REPEAT_WINDOW_S) -> None:
        self._limit = limit
        self._window_s = window_s
        self._seen: dict[Key, tuple[float, int]] = {}

    def admit(self, key: Key, now: float) -> bool:
        """Count one message; say whether it is to be written. Call `due` before."""
        started, count = self._seen.get(key, (now, 0))
        self._seen[key] = started, count + 1
        return count < self._limit

    def due(self, now: float) -> list[tuple[Key, int]]:
        """Forget the windows that are over; return each message held back, and how often."""
        over = [key for key, (started, _) in self._seen.items() if now - started >= self._window_s]
        if len(self._seen) - len(over) >= REPEAT_KEYS:
            over = list(self._seen)
        held = [(key, self._seen.pop(key)[1] - self._limit) for key in over]
        return [(key, count) for key, count in held if count > 0]


class _Handler(logging.StreamHandler[TextIO]):
    """Writes what `Repeats` lets through, and how much it did not."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._repeats = Repeats()
        self._now = now

    def emit(self, record: logging.LogRecord) -> None:
        now = self._now()
        self._tell(now)
        if self._repeats.admit(_key(record), now):
            super().emit(record)

    def close(self) -> None:
        """Tell what was held back until now; the stream stays open, for it is not ours."""
        with self.lock or contextlib.nullcontext():
            self._tell(float("inf"))
        super().close()

    def _tell(self, now: float) -> None:
        for (name, level, message), count in self._repeats.due(now):
            text = "suppressed %d more of: %s"
            super().emit(logging.LogRecord(name, level, "", 0, text, (count, message), None))


def _key(record: logging.LogRecord) -> Key:
    """Return what makes two records identical: logger, level, event and texts, not numbers."""
    if not isinstance(record.msg, dict):
        return record.name, record.levelno, record.getMessage()
    own = ("event", "time", "level", "logger")
    fields = {k: v for k, v in record.msg.items() if isinstance(v, str) and k not in own}
    texts = "".join(f" {name}={value}" for name, value in sorted(fields.items()))
    return record.name, record.levelno, f"{record.msg.get('event')}{texts}"


def _as_json(_: Any, __: str, event: EventDict) -> str:
    first = {k: event.pop(k) for k in ("time", "level", "logger", "event") if k in event}
    text = json.dumps({**first, **event}, default=repr, ensure_ascii=False)
    return escaped(text)


def _console(stream: TextIO) -> Iterator[Processor]:
    yield _escaped
    yield structlog.dev.ConsoleRenderer(
        colors=stream.isatty(),
        exception_formatter=structlog.dev.plain_traceback,
        timestamp_key="time",
    )


def _escaped(_: Any, __: str, event: EventDict) -> EventDict:
    """Escape what a terminal would obey. Only a traceback keeps its line breaks."""
    for name, value in event.items():
        if isinstance(value, str):
            text = escaped(value)
            event[name] = text if name == "exception" else text.replace("\n", "\\n")
    return event


def _without_secrets(_: Any, __: str, line: Any) -> Any:
    for pattern, replacement in _SECRETS:
        line = pattern.sub(replacement, line)
    return line
