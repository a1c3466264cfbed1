"""What a reader of stored lines looks for, as patterns for ILIKE. The queries have the columns."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from monitord.store.text import clean


class Filter(NamedTuple):
    """
    What a page shows: a level (OpenTelemetry severity) or worse, and a text as patterns for ILIKE.

    `texts` find it in a text, `documents` in a text that is written as JSON, `trace` at the head
    of a trace id. All are None without a text.
    """

    level: int
    texts: list[str] | None = None
    documents: list[str] | None = None
    trace: str | None = None


def log_filter(level: int, text: str) -> Filter:
    """Return the filter that finds a text as it stands, in upper or lower case; all for no text."""
    if not text:
        return Filter(level)
    found = spellings(clean(text))
    texts = [escaped(spelling) for spelling in found]
    documents = [escaped(msgspec.json.encode(spelling).decode()[1:-1]) for spelling in found]
    return Filter(
        level,
        [f"%{part}%" for part in texts],
        [f"%{part}%" for part in documents],
        f"{escaped(clean(text).lower())}%",
    )


def spellings(text: str) -> list[str]:
    """
    Return the ways to write a text that ILIKE may take for different ones.

    In a database of the locale C, as our own is, it knows the two cases of A to Z only.
    """
    if text.isascii():
        return [text]
    ways = (text, text.lower(), text.upper(), text.capitalize(), text.title())
    return sorted({way for way in ways if way.lower() == text.lower()})


def escaped(text: str) -> str:
    """Return the text as a part of a pattern for LIKE that stands for itself."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
