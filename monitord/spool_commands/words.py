"""Sizes, moments and foreign text as a terminal may show them. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime

from monitord.logs import escaped


def one_line(text: str, characters: int = 1_000) -> str:
    """Return the beginning of a text on one line, with nothing in it that a terminal obeys."""
    short = text if len(text) <= characters else f"{text[: characters - 1]}…"
    return escaped(short).replace("\n", "\\n").replace("\t", "\\t")


def moment(at: float | None) -> str:
    """Return Unix seconds as UTC; what is no moment, such as NaN, as it is."""
    if at is None:
        return "-"
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return str(at)


def size(count: float) -> str:
    """Return a number of bytes in the unit in which it is short."""
    if count < 1024:
        return f"{count} B"
    for unit in ("KiB", "MiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} GiB"


def counted(count: int, noun: str) -> str:
    """Return a number of things, with the noun's plural where it is due."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
