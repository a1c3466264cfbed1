"""Tracebacks as Python, an exception group and loguru print them; and what only looks like one."""

from __future__ import annotations

import io
import json
import traceback

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger

from monitord.ingest.fits import error_fits
from monitord.ingest.limits import ERROR_MESSAGE_BYTES, STACK_FRAMES
from monitord.ingest.tracebacks import HEADER, frames_of


EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True, database=None)


def chained() -> None:
    try:
        json.loads("x")
    except ValueError as error:
        raise KeyError("cart\nline two") from error


def printed() -> str:
    try:
        chained()
    except KeyError:
        return traceback.format_exc()
    raise AssertionError("unreachable: it raises")


def test_the_last_of_a_chain() -> None:
    """Of a chain it is what was raised last, with its frames, outermost first."""
    error = frames_of(f"checkout failed\n{printed()}")

    assert error is not None
    assert (error.type, error.message) == ("KeyError", r"'cart\nline two'")
    assert [frame.function for frame in error.frames] == ["printed", "chained"]
    assert [frame.path for frame in error.frames] == [__file__] * 2
    assert error.frames[0].source == "chained()"
    assert all(frame.in_app for frame in error.frames)


def test_endless_stacks() -> None:
    """Of many frames the innermost are kept; more lines than a stack has are not looked at."""
    frame = '  File "a.py", line %d, in a\n    again()\n'
    stack = "".join(frame % line for line in range(3_000))
    error = frames_of(f"{HEADER}\n{stack}E: x\n" + "y\n" * 50_000)

    assert error is not None
    assert [frame.line for frame in error.frames] == [*range(2_900, 3_000)]
    assert error.message.startswith("x\ny\n")
    assert frames_of(f"{HEADER}\n{stack * 4}E: x") is None


def test_foreign_frames() -> None:
    """The standard library and what is installed are not the application's own."""
    try:
        json.loads("x")
    except ValueError:
        error = frames_of(traceback.format_exc())

    assert error is not None
    assert error.type == "json.decoder.JSONDecodeError"
    assert [frame.in_app for frame in error.frames] == [True, False, False, False]
    error = frames_of(
        f'{HEADER}\n  File "C:\\a\\Lib\\site-packages\\stripe\\api.py", line 7, in pay\nA: b'
    )
    assert error is not None
    assert (error.frames[0].path, error.frames[0].in_app) == ("stripe\\api.py", False)


def test_group() -> None:
    """Of an exception group it is the group; what it holds is in its message."""
    try:
        raise ExceptionGroup("several", [ValueError(1), TypeError(2)])
    except ExceptionGroup:
        error = frames_of(traceback.format_exc())

    assert error is not None
    assert error.type == "ExceptionGroup"
    assert error.message.startswith("several (2 sub-exceptions)\n")
    assert "ValueError: 1" in error.message
    assert [frame.function for frame in error.frames] == ["test_group"]


def test_loguru() -> None:
    """loguru's, which marks frames and shows values, gives the same."""
    stream = io.StringIO()
    sink = logger.add(stream, diagnose=True, backtrace=False)
    try:
        chained()
    except KeyError:
        logger.exception("failed")
    finally:
        logger.remove(sink)
    error = frames_of(stream.getvalue())

    assert error is not None
    assert error.type == "KeyError"
    assert [frame.function for frame in error.frames] == ["test_loguru", "chained"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ValueError: 1",
        HEADER,
        f'{HEADER}\n  File "a.py", line 1, in f\n    f()',
        f"{HEADER}\n{'x' * 1_001}: no",
    ],
)
def test_no_whole_traceback(text: str) -> None:
    """What is no traceback, or is cut off before its exception, is none."""
    assert frames_of(text) is None


def test_bounds() -> None:
    """A deep stack keeps its innermost frames, a long message its beginning."""
    frames = "".join(f'  File "a.py", line {line}, in f\n' for line in range(1, 300))
    error = frames_of(f"{HEADER}\n{frames}RecursionError: {'x' * 100_000}")

    assert error is not None
    assert [frame.line for frame in error.frames] == [*range(300 - STACK_FRAMES, 300)]
    assert len(error.message.encode()) <= ERROR_MESSAGE_BYTES


PIECES = st.sampled_from(
    [
        *(HEADER, f"  + Exception Group {HEADER}", '  File "', '", line 1', ", in f", "  | ", "> "),
        *("\n", "    ", "ValueError: x", "/site-packages/", "a" * 1_100, "9" * 12, "<frozen x>"),
    ]
)


@EXAMPLES
@given(st.lists(PIECES | st.text(max_size=5), max_size=20).map("".join))
def test_any_text(text: str) -> None:
    """Whatever the text, there is none, or one that keeps the rules of events."""
    error = frames_of(f"{HEADER}\n{text}")

    assert error is None or (0 < len(error.type) <= 1_000 and all(map(error_fits, [error])))


@pytest.mark.parametrize(
    "part", ['", line 1', "/site-packages/", "/lib/python", " ", "|", "a.", "/", 'File "', "> "]
)
@pytest.mark.parametrize("start", [HEADER, f"+ Exception Group {HEADER}"])
def test_hostile_text_is_cheap(start: str, part: str) -> None:
    """No text costs the square of its length: this would take minutes."""
    assert frames_of(f'{start}\n  File "{part * (250_000 // len(part))}') is None
    frames_of(f'{start}\n{part * (250_000 // len(part))}", line 1, in f\n')
