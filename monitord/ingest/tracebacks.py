"""A Python traceback as it was printed: text in, an exception out."""

from __future__ import annotations

import re

from collections import deque
from collections.abc import Iterable

from monitord.ingest.limits import ERROR_MESSAGE_BYTES, NAME_CHARACTERS, STACK_FRAMES
from monitord.ingest.texts import shortened
from monitord.model import ErrorInfo, StackFrame


# Three times what a stack at Python's own limit has.
LINES = 10_000
HEADER = "Traceback (most recent call last):"
GROUP_HEADER = f"+ Exception Group {HEADER}"
FRAME = re.compile(r'File "(.+)", line ([0-9]{1,9})(?:, in (.+))?')
# The exception: `ValueError: no`, `shop.errors.CardDeclined`, `f.<locals>.Odd: x`.
RAISED = re.compile(r"([^\W\d][\w.<>]*)(?:: ?(.*))?")
# What draws the branches of an exception group, on the left of each of its lines.
BRANCH = re.compile(r" *[|+] ?")
# Only matched at the beginning: a search would cost the square of a path's length.
INSTALLED = re.compile(r".*[\\/](?:site|dist)-packages[\\/]")
STANDARD = re.compile(r"<frozen |.*[\\/][Ll]ib[\\/]python[0-9.]+[\\/]")


def frames_of(text: str) -> ErrorInfo | None:
    """
    Return the exception of the traceback a text holds, None without a whole one.

    Of several, the last: the one that was raised, after its causes. Of a group, the group itself.
    The text has neither NUL nor half of a surrogate pair.
    """
    at = text.rfind(GROUP_HEADER)
    lines: Iterable[str]
    if at >= 0:
        lines = map(_unbranched, text[at:].split("\n", LINES)[1:])
    else:
        at = text.rfind(HEADER)
        if at < 0:
            return None
        lines = text[at:].split("\n", LINES)[1:]
    return _error([line.rstrip("\r") for line in lines])


def _error(lines: list[str]) -> ErrorInfo | None:
    found_frames: deque[tuple[re.Match[str], list[str]]] = deque(maxlen=STACK_FRAMES)
    for index, line in enumerate(lines):
        if found := FRAME.fullmatch(line.lstrip("> ")):
            found_frames.append((found, lines[index + 1 : index + 2]))
        elif (raised := RAISED.fullmatch(line)) and len(raised[1]) <= NAME_CHARACTERS:
            message = "\n".join([raised[2] or "", *lines[index + 1 :]]).strip()
            frames = [_frame(*each) for each in found_frames]
            return ErrorInfo(raised[1], shortened(message, ERROR_MESSAGE_BYTES), frames)
    return None


def _unbranched(line: str) -> str:
    branch = BRANCH.match(line)
    return line[branch.end() :] if branch else line


def _frame(found: re.Match[str], after: list[str]) -> StackFrame:
    """Return the frame of a `File` line; its source is the line after, where that is one."""
    path = found[1][:NAME_CHARACTERS]
    installed = INSTALLED.match(path)
    source = after[0].strip() if after and after[0].startswith("    ") else ""
    return StackFrame(
        path=path[installed.end() :] if installed else path,
        line=int(found[2]),
        function=(found[3] or "")[:NAME_CHARACTERS],
        source=source[:NAME_CHARACTERS],
        in_app=not installed and STANDARD.match(path) is None,
    )
