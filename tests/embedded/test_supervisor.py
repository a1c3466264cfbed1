"""How a server that dies is started again."""

import asyncio
import signal

from pathlib import Path

import psutil
import pytest

from monitord.embedded.child import Child
from monitord.embedded.supervisor import Supervisor
from monitord.errors import EmbeddedError


STEPS = ((signal.SIGTERM, 5.0),)


async def test_a_server_that_ends_at_once_is_not_started_in_a_circle(tmp_path: Path):
    """
    Each short life makes the wait before the next start longer.
    """
    starts = 0

    async def start() -> Child:
        nonlocal starts
        starts += 1
        return Child.start(["/bin/true"], log=tmp_path / "log")

    async with Supervisor("true", start, STEPS):
        await asyncio.sleep(1.0)

    # The waits are at least 0.05, 0.1, 0.2, 0.4 and 0.8 s.
    assert 2 <= starts <= 6


async def test_a_start_that_fails_is_tried_again(tmp_path: Path):
    """
    A server that cannot be started for a while is there afterwards, and is ended with the block.
    """
    failures = iter([EmbeddedError("no room"), OSError(28, "No space left on device")])
    started = asyncio.Event()
    children: list[Child] = []

    async def start() -> Child:
        if children and (failure := next(failures, None)):
            raise failure
        children.append(Child.start(["/bin/sleep", "600"], log=tmp_path / "log"))
        if len(children) == 2:
            started.set()
        return children[-1]

    async with asyncio.timeout(30.0), Supervisor("sleep", start, STEPS):
        psutil.Process(children[0].pid).kill()
        await started.wait()
        assert children[1].returncode is None

    assert children[1].returncode == -signal.SIGTERM


async def test_the_first_start_is_not_tried_again(tmp_path: Path):
    """
    A server that cannot be started at all is the caller's to know.
    """

    async def start() -> Child:
        raise EmbeddedError("no room")

    with pytest.raises(EmbeddedError, match="no room"):
        await Supervisor("none", start, STEPS).__aenter__()
