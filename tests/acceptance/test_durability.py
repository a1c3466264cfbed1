"""What a 202 promises, seen from outside: the kernel said that it is on disk before it was sent."""

from __future__ import annotations

import asyncio
import re
import shutil

from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from tests.acceptance.house import house
from tests.acceptance.producer import event


TRACE = ("strace", "-f", "-q", "-ttt", "-e", "trace=fdatasync,write,writev,sendto,sendmsg", "-o")
ATTACH_SECONDS = 1.0

# 1234 1795459200.123456 fdatasync(7) = 0
# 1234 1795459200.123456 <... fdatasync resumed>) = 0
SYNCED = re.compile(r"^\d+\s+[\d.]+ (?:fdatasync\(\d+|<\.\.\. fdatasync resumed>).*= 0$")
ANSWERED = re.compile(r"^\d+\s+[\d.]+ (?:write|writev|sendto|sendmsg)\(.*HTTP/1\.1 202")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
async def test_answered_after_fdatasync_returned(tmp_path: Path) -> None:
    """
    Between two answers of 202 there is an fdatasync that has returned, every time.
    """
    calls = tmp_path / "calls"
    async with house(tmp_path / "house", small_disks=False) as built:
        strace = await asyncio.create_subprocess_exec(*TRACE, str(calls), "-p", str(built.pid))
        await asyncio.sleep(ATTACH_SECONDS)
        if strace.returncode is not None:
            pytest.skip("strace may not attach to a process here")
        async with aiohttp.ClientSession() as session:
            for _ in range(20):
                body = [event(uuid4())]
                async with session.post(f"{built.ingest}/v1/ingest", json=body) as reply:
                    assert reply.status == 202
        strace.terminate()
        await strace.wait()

    steps = "".join(step(line) for line in calls.read_text(errors="replace").splitlines())
    assert steps.count("A") == 20
    assert "AA" not in steps
    assert steps.startswith("S")


def step(line: str) -> str:
    """Return what a line of strace's is: S for synced, A for an answer of 202."""
    if SYNCED.match(line):
        return "S"
    return "A" if ANSWERED.match(line) else ""
