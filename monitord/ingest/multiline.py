"""Which lines of a file are one record: a stack belongs to what it came with. No I/O here."""

from __future__ import annotations

import enum

from collections.abc import Sequence


HEADER = b"Traceback (most recent call last):"
# What stands between two exceptions of a chain.
CHAINS = (b"During handling of the above exception", b"The above exception was the direct cause")


class _Stack(enum.Enum):
    NONE = enum.auto()
    FRAMES = enum.auto()
    ENDED = enum.auto()


def starts(lines: Sequence[bytes]) -> list[int]:
    """
    Return the places of the lines that begin a record; the first line always does.

    A line goes on with the one before if it begins with a blank, is a traceback's header, the
    exception after its frames, or what leads to the next of a chain.
    """
    found = [0] if lines else []
    stack = _Stack.NONE
    for place, line in enumerate(lines):
        goes_on, stack = _judged(line, stack)
        if place and not goes_on:
            found.append(place)
    return found


def _judged(line: bytes, stack: _Stack) -> tuple[bool, _Stack]:
    """Say whether the line goes on with those before, and what the next one may be part of."""
    began = line.strip()
    # The lines of an exception group all begin with a blank.
    if began.endswith(HEADER) and not began.startswith((b"+", b"|")):
        return began == HEADER, _Stack.FRAMES
    if not line.strip() or line[:1] in (b" ", b"\t"):
        return True, stack
    if stack is _Stack.FRAMES and line[:1] != b"{":
        # loguru marks the frame that caught it with a `>`.
        return True, stack if line.startswith(b"> File") else _Stack.ENDED
    if stack is _Stack.ENDED and line.startswith(CHAINS):
        return True, stack
    return False, _Stack.NONE
