"""An exception as what the wire says of it. Captured where it happened, written out elsewhere."""

from __future__ import annotations

import linecache
import os
import sys

from collections import deque
from types import TracebackType
from typing import Any, NamedTuple

from monitord.emit.plain import ERROR_CHARS, text


FIRST_FRAMES = 10
LAST_FRAMES = 30
# Callers looked at, and how many of the application's own among them are told.
MOST_CALLERS = 200
OWN_CALLERS = 20
SOURCE_CHARS = 200
CACHED_LINES = 4_096


# Where this package lies: its frames are nobody's own.
OURS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")

# (file, line, function)
Place = tuple[str, int, str]


class Failure(NamedTuple):
    """
    Type, message and the place of each frame; holds no frame and no local.

    `callers` are the places around the frame that caught it: an exception is the same one wherever
    on its way it was caught, by a span deep within or by the middleware around all.
    """

    type: str
    message: str
    frames: tuple[Place, ...]
    callers: tuple[Place, ...] = ()


def capture(error: BaseException, skip: int = 0) -> Failure:
    """
    Copy what is told of the exception, without its `skip` outermost frames.

    Reads no file: source lines are looked up when it is written out. A group of one is shown as
    the one. Long tracebacks keep their FIRST_FRAMES and LAST_FRAMES.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error, skip = error.exceptions[0], 0
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    traceback = error.__traceback__
    return Failure(
        name, text(error, ERROR_CHARS), _frames(traceback, skip), tuple(_callers(traceback))
    )


def _callers(traceback: TracebackType | None) -> deque[Place]:
    """Return who called the frame a traceback begins in, outermost first."""
    found: deque[Place] = deque()
    frame = traceback.tb_frame.f_back if traceback is not None else None
    while frame is not None and len(found) < MOST_CALLERS:
        code = frame.f_code
        found.appendleft((code.co_filename, frame.f_lineno, code.co_qualname))
        frame = frame.f_back
    return found


def _frames(traceback: TracebackType | None, skip: int) -> tuple[Place, ...]:
    first: list[Place] = []
    last: deque[Place] = deque(maxlen=LAST_FRAMES)
    while traceback is not None:
        if skip > 0:
            skip -= 1
        else:
            code = traceback.tb_frame.f_code
            frame = (code.co_filename, traceback.tb_lineno, code.co_qualname)
            (first if len(first) < FIRST_FRAMES else last).append(frame)
        traceback = traceback.tb_next
    return (*first, *last)


class Sources:
    """Writes failures out, remembering the files and lines it has looked up."""

    def __init__(self) -> None:
        self._roots = sorted({os.path.join(path, "") for path in sys.path if path}, key=len)
        self._standard = os.path.join(os.path.dirname(os.__file__), "")
        self._files: dict[str, tuple[str, bool]] = {}
        self._lines: dict[tuple[str, int], str] = {}

    def written(self, failure: Failure) -> dict[str, Any]:
        """Return the wire's `error` object; frames outermost first."""
        return {
            "type": text(failure.type, SOURCE_CHARS),
            "message": failure.message,
            "frames": [self._frame(*frame) for frame in (*self._own(failure), *failure.frames)],
        }

    def _own(self, failure: Failure) -> list[Place]:
        """
        Return the callers in the application's own functions.

        A server's and a loop's say nothing, nor does the script that began it all.
        """
        own = [
            one
            for one in failure.callers
            if one[2] != "<module>" and not one[0].startswith("<") and self._known(one[0])[1]
        ]
        return own[-OWN_CALLERS:]

    def _known(self, file: str) -> tuple[str, bool]:
        return self._files.get(file) or self._file(file)

    def _frame(self, file: str, line: int, function: str) -> dict[str, Any]:
        path, in_app = self._known(file)
        return {
            "path": path,
            "line": line,
            "function": text(function, SOURCE_CHARS),
            "source": self._source(file, line),
            "in_app": in_app,
        }

    def _file(self, file: str) -> tuple[str, bool]:
        """Return the path as it is imported (`shop/orders.py`) and whether it is the user's own."""
        root = next((root for root in reversed(self._roots) if file.startswith(root)), "")
        foreign = (
            file.startswith(("<frozen", self._standard, OURS))
            or f"{os.sep}site-packages{os.sep}" in file
            or f"{os.sep}dist-packages{os.sep}" in file
        )
        if len(self._files) >= CACHED_LINES:
            self._files.clear()
        known = self._files[file] = (text(file[len(root) :], SOURCE_CHARS * 2), not foreign)
        return known

    def _source(self, file: str, line: int) -> str:
        source = self._lines.get((file, line))
        if source is None:
            if len(self._lines) >= CACHED_LINES:
                self._lines.clear()
            source = self._lines[file, line] = text(_read(file, line).strip(), SOURCE_CHARS)
        return source


def _read(file: str, line: int) -> str:
    try:
        return linecache.getline(file, line)
    except Exception:  # noqa: BLE001 - an odd file or loader costs the line it would have shown
        return ""
