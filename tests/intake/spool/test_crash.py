"""What is acknowledged survives kill -9, and is on disk before anybody says so."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from monitord.intake.spool.spool import Spool, open_spool
from monitord.model import Frame


Drain = Callable[..., Awaitable[list[Frame]]]

ROOT = Path(__file__).parents[3]

# Appends as fast as the disk takes it, and says each number once it is settled.
APPENDING = """
import asyncio, os, sys
from pathlib import Path
from monitord.intake.spool.spool import SpoolLimits, open_spool
from monitord.model import Batch, Log

async def body(spool, number):
    line = Log(time=1.0, service="shop", level="INFO", message="x" * (number % 3000))
    frame = spool.append(Batch(1.0, logs=[line]))
    await spool.settled([frame])
    os.write(1, b"acknowledged %d\\n" % frame.seq)

async def main():
    limits = SpoolLimits(segment_bytes=100_000, free_bytes=0)
    async with open_spool(Path(sys.argv[1]), int(sys.argv[2]), limits) as spool:
        number = 0
        while number < int(sys.argv[3]):
            await asyncio.gather(*(body(spool, number + one) for one in range(7)))
            number += 7

asyncio.run(main())
"""


def command(folder: Path, writer: int, count: int) -> list[str]:
    return [sys.executable, "-c", APPENDING, str(folder), str(writer), str(count)]


def killed(folder: Path, writer: int, after: int) -> set[int]:
    """Kill the daemon's stand-in after so many lines; return every number it had acknowledged."""
    child = subprocess.Popen(command(folder, writer, 10**9), stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    try:
        lines = [child.stdout.readline() for _ in range(after)]
    finally:
        child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    said = (re.fullmatch(rb"acknowledged (\d+)\n", line) for line in lines)
    return {int(found[1]) for found in said if found}


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("*.seg"))


async def test_kill_at_any_moment_loses_nothing_acknowledged(
    tmp_path: Path, drained: Drain, summary_of: Callable[[Path], object]
) -> None:
    """Run after run is killed on one folder; each acknowledged frame is there, once, in order."""
    chance = random.Random(7)
    acknowledged = {}
    for writer in range(101, 107):
        acknowledged[writer] = killed(tmp_path, writer, chance.randrange(1, 800))
        # However many runs were killed, the next start walks what the last of them left.
        files = segments(tmp_path)
        assert len(files) > 1
        assert all(summary_of(one) for one in files[:-1])

    async with open_spool(tmp_path, 200) as spool:
        frames = await drained(spool)
        assert spool.backlog.quarantine.bytes == 0

    keys = [(frame.writer, frame.seq) for frame in frames]
    assert keys == sorted(set(keys))
    for writer, seqs in acknowledged.items():
        assert seqs
        assert seqs <= {seq for run, seq in keys if run == writer}


async def test_kill_while_frames_are_done(tmp_path: Path, drained: Drain) -> None:
    """Frames that were not done when the process died come again, from the right segment on."""
    killed(tmp_path, 101, 300)
    async with open_spool(tmp_path, 102) as spool:
        frames = list(await spool.next(100, 4 << 20))
        spool.done(frames)
        rest = await undone(spool)
    async with open_spool(tmp_path, 103) as spool:
        again = await drained(spool)

    assert [frame.seq for frame in again] == rest
    assert not {frame.seq for frame in frames} & set(rest)


async def undone(spool: Spool) -> list[int]:
    return [frame.seq for frame in await spool.next(10**6, 1 << 30)]


def test_the_sync_returns_before_the_acknowledgement(tmp_path: Path) -> None:
    """In the order of system calls: the record written, the sync returned, then the answer."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    traced = ["strace", "-f", "-y", "-s", "64", "-e", "trace=write,fdatasync", "-o", str(trace)]
    done = subprocess.run(
        [*traced, *command(tmp_path / "spool", 1, 7)], cwd=ROOT, capture_output=True, text=True
    )
    if "ptrace" in done.stderr.lower() or not trace.exists():
        pytest.skip(f"strace cannot trace here: {done.stderr[:80]}")
    assert done.returncode == 0, done.stderr
    calls = trace.read_text().splitlines()

    answers = [at for at, call in enumerate(calls) if "acknowledged " in call]
    records = [at for at, call in enumerate(calls) if r".seg>" in call and "MNT\\301FR" in call]
    synced = [at for at, call in enumerate(calls) if re.search(r"fdatasync.*= 0$", call)]

    assert len(answers) == 7
    assert records
    for at in answers:
        written = [one for one in records if one < at]
        assert written
        assert any(written[-1] < one < at for one in synced)


def test_a_sigkill_leaves_the_lock_free(tmp_path: Path) -> None:
    """A daemon that was killed holds its folder no longer: the next one starts at once."""
    killed(tmp_path, 1, 5)

    done = subprocess.run(command(tmp_path, 2, 7), cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path)
