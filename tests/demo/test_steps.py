"""The progress display of long steps."""

import asyncio
import io

import pytest

from monitord.demo.steps import Steps


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


async def test_a_step_is_one_line_in_a_log():
    """
    Where the output is no terminal a step writes one line, when it is done, with its time.
    """
    out = io.StringIO()

    async with Steps(out).step("Starting PostgreSQL"):
        assert out.getvalue() == ""

    assert out.getvalue().startswith("Starting PostgreSQL  ")
    assert out.getvalue().endswith(" s\n")
    assert " done in " in out.getvalue()


async def test_a_step_is_alive_on_a_terminal():
    """
    On a terminal the running step is shown at once and overwritten when it is done.
    """
    out = Terminal()

    async with Steps(out).step("Starting PostgreSQL"):
        await asyncio.sleep(0)
        assert " running " in out.getvalue()

    assert out.getvalue().count("\n") == 1
    assert out.getvalue().rpartition("\r")[2].startswith("Starting PostgreSQL")


async def test_a_failed_step_says_so():
    """
    A step that raises is not called done.
    """
    out = io.StringIO()

    with pytest.raises(ValueError, match="broken"):
        async with Steps(out).step("Starting PostgreSQL"):
            raise ValueError("broken")

    assert " failed after " in out.getvalue()
