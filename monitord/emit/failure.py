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
SOURCE_CHARS = 200
CACHED_LINES = 4_096


class Failure(NamedTuple):
    """Type, message and (file, line, function) of each frame; holds no frame and no local."""

    type: str
    message: str
    frames: tuple[tuple[str, int, str], ...]


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
    return Failure(name, text(error, ERROR_CHARS), _frames(error.__traceback__, skip))


def _frames(traceback: TracebackType | None, skip: int) -> tuple[tuple[str, int, str], ...]:
    first: list[tuple[str, int, str]] = []
    last: deque[tuple[str, int, str]] = deque(maxlen=LAST_FRAMES)
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
            "frames": [self._frame(*frame) for frame in failure.frames],
        }

    def _frame(self, file: str, line: int, function: str) -> dict[str, Any]:
        path, in_app = self._files.get(file) or self._file(file)
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
            file.startswith(("<frozen", self._standard))
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
