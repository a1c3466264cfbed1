"""Text and nested values within their limits, and without what PostgreSQL refuses."""

from __future__ import annotations

import re

from typing import Any

from monitord.ingest.decoded import Code, Refused
from monitord.ingest.limits import (
    ATTRIBUTES,
    DEPTH,
    FIELD_BYTES,
    FIELD_VALUES,
    KEY_CHARACTERS,
)


# PostgreSQL stores neither NUL nor half of a surrogate pair, in text or in jsonb.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def cleaned(value: Any) -> Any:
    """Return the value with U+FFFD for every character that cannot be stored. Any depth is fine."""
    if isinstance(value, str):
        return UNSTORABLE.sub(REPLACEMENT, value)
    if isinstance(value, dict):
        return {cleaned(key): cleaned(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [cleaned(inner) for inner in value]
    return value


def shortened(text: str, limit_bytes: int) -> str:
    """Return the text, or its beginning and how long it was; the same object when it fits."""
    if len(text) * 4 <= limit_bytes:
        return text
    raw = text.encode()
    if len(raw) <= limit_bytes:
        return text
    mark = f" … [truncated, was {len(raw)} bytes]"
    return raw[: limit_bytes - len(mark.encode())].decode("utf-8", "ignore") + mark


def fields_fit(fields: dict[str, Any]) -> bool:
    """Say whether `fields` is flat, few and short; False only says that it needs a closer look."""
    if len(fields) > ATTRIBUTES or max(map(len, fields)) > KEY_CHARACTERS:
        return False
    for value in fields.values():
        kind = type(value)
        if kind is str:
            if len(value) > FIELD_BYTES // 4:
                return False
        elif kind is dict or kind is list:
            return False
    return True


def bounded_fields(fields: dict[str, Any], name: str = "fields") -> dict[str, Any]:
    """
    Return `fields` with long texts shortened; `name` is what the event calls them.

    Raises Refused: too deep, too many fields or values, a key too long.
    """
    if too_deep(fields, DEPTH - 1):  # the event itself is the first level
        raise Refused(Code.TOO_DEEP, f"{name}: expected at most {DEPTH} levels in all")
    if len(fields) > ATTRIBUTES:
        raise Refused(
            Code.TOO_MANY_ATTRIBUTES, f"{name}: expected at most {ATTRIBUTES}, got {len(fields)}"
        )
    result: dict[str, Any] = _Bounded(name).value(fields)
    return result


class _Bounded:
    """Copies nested values, counting them as it goes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._values = 0

    def value(self, value: Any) -> Any:
        self._values += 1
        if self._values > FIELD_VALUES:
            raise Refused(
                Code.TOO_MANY_ATTRIBUTES,
                f"{self._name}: expected at most {FIELD_VALUES} values in all",
            )
        if isinstance(value, str):
            return shortened(value, FIELD_BYTES)
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        if isinstance(value, dict):
            return {self._key(key): self.value(inner) for key, inner in value.items()}
        return value

    def _key(self, key: str) -> str:
        if len(key) > KEY_CHARACTERS:
            raise Refused(
                Code.TOO_LONG,
                f"a key of {self._name}: expected at most {KEY_CHARACTERS} characters,"
                f" got {len(key)}",
            )
        return key


def too_deep(value: Any, limit: int = DEPTH) -> bool:
    """Say whether objects and arrays are nested in more than *limit* levels."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
