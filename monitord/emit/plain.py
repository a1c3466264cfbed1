"""
Any Python value as bounded, plain JSON values. Pure; asks objects for nothing but their text.

The bounds keep every event within what `docs/ingest.md` allows.
"""

from __future__ import annotations

import math

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from itertools import islice
from typing import Any, TypeVar


T = TypeVar("T")

MESSAGE_CHARS = 65_536
ERROR_CHARS = 8_192
NAME_CHARS = 1_000
KEY_CHARS = 200
VALUE_CHARS = 8_192
# Of one mapping: its own entries, and everything in it at any depth.
ENTRIES = 64
VALUES = 800
CHARS = 65_536
DEPTH = 8

ELLIPSIS = "…"
SCALARS = frozenset({str, int, float, bool, type(None)})

# What JavaScript's BigInt, PostgreSQL and msgspec all read as an integer.
INTEGERS = range(-(2**63), 2**63)


def text(value: object, limit: int) -> str:
    """Return the value as text of at most `limit` characters without NUL, which no store keeps."""
    written = value if type(value) is str else _written(value)
    if len(written) > limit:
        written = written[: limit - 1] + ELLIPSIS
    return written.replace("\0", "\ufffd") if "\0" in written else written


def fields(values: Mapping[Any, Any] | None) -> dict[str, Any]:
    """Return the mapping as a JSON object of its own: nothing in it changes after this call."""
    if values is None:
        return {}
    try:
        return _Copy().mapping(values, 0)
    except Exception:  # noqa: BLE001 - a foreign mapping may do anything
        return {"fields": _unshown(values)}


def labels(values: Mapping[Any, Any] | None) -> dict[str, str]:
    """Return the mapping as text to text, of its own."""
    if values is None:
        return {}
    try:
        items = list(values.items())[:ENTRIES]
    except Exception:  # noqa: BLE001 - as above
        return {"attributes": _unshown(values)}
    return {text(key, KEY_CHARS): text(value, NAME_CHARS) for key, value in items}


def scalars(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what `fields` does, sooner where all is short text and numbers, as spans have it."""
    try:
        for key, value in values.items():
            kind = type(value)
            if kind is str:
                if len(value) > VALUE_CHARS:
                    return fields(values)
            elif kind not in SCALARS or type(key) is not str:
                return fields(values)
        return dict(values) if len(values) <= ENTRIES else fields(values)
    except Exception:  # noqa: BLE001 - as above
        return fields(values)


class _Copy:
    """Copies one mapping, until its bounds are reached."""

    def __init__(self) -> None:
        self._chars = CHARS
        self._values = VALUES

    def mapping(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        entries = self._bounded(values.items())
        return {text(key, KEY_CHARS): self._plain(value, depth) for key, value in entries}

    def _plain(self, value: object, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if value in INTEGERS else self._text(value)
        if isinstance(value, float) and kind is float:
            return value if math.isfinite(value) else str(value)
        if isinstance(value, Mapping):
            return self.mapping(value, depth + 1) if depth < DEPTH else ELLIPSIS
        if isinstance(value, list | tuple | set | frozenset):
            items = self._bounded(value if depth < DEPTH else ())
            return [self._plain(item, depth + 1) for item in items]
        return self._text(_shown(value))

    def _bounded(self, items: Iterable[T]) -> Iterator[T]:
        try:
            for item in islice(items, ENTRIES):
                if self._values <= 0:
                    return
                self._values -= 1
                yield item
        except RuntimeError:  # another thread changed what it has logged: the beginning will do
            return

    def _text(self, value: object) -> str:
        short = text(value, min(VALUE_CHARS, max(1, self._chars)))
        self._chars -= len(short)
        return short


def _shown(value: object) -> str:
    """Return what a developer would want to read: text for text-like things, else the repr."""
    if isinstance(value, str | int | float):
        return _written(value)
    try:
        return value.isoformat() if isinstance(value, date | time) else repr(value)
    except Exception:  # noqa: BLE001 - a foreign __repr__ may do anything
        return _unshown(value)


def _written(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a foreign __str__ may do anything
        return _unshown(value)


def _unshown(value: object) -> str:
    return f"<{type(value).__name__} that cannot be shown>"
