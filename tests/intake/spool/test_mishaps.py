"""Mishaps that are no error of the disk: each costs what it met, and nothing after it."""

import asyncio
import os

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from monitord.errors import SpoolError
from monitord.intake.spool.spool import SpoolLimits, open_spool
from monitord.model import Batch, Frame


Make = Callable[..., Batch]
Drain = Callable[..., Awaitable[list[Frame]]]

MISHAPS = [MemoryError(), ValueError("read of closed file"), RuntimeError("no thread any more")]


class Failing:
    """A system call at its border: the next calls raise, the others are real."""

    def __init__(self, call: Callable[[int], object], error: Exception) -> None:
        self.call = call
        self.error = error
        self.failures = 0

    def __call__(self, descriptor: int) -> Any:
        if self.failures:
            self.failures -= 1
            raise self.error
        return self.call(descriptor)


async def until(fact: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not fact():  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("error", MISHAPS, ids=repr)
async def test_a_commit_that_meets_anything_is_said_and_the_next_is_taken(
    tmp_path: Path, batch: Make, drained: Drain, error: Exception
) -> None:
    """Whoever waits is told, the loss is counted, none of it comes later, and the spool goes on."""
    sync = Failing(os.fdatasync, error)
    async with open_spool(tmp_path, 5, SpoolLimits(free_bytes=0), sync=sync) as spool:
        spool.append(batch("kept"))
        await spool.settled()
        sync.failures = 1
        failed = spool.append(batch("failed", events=3))
        assert isinstance(failed, Frame)
        with pytest.raises(SpoolError, match="not on disk"):
            await spool.settled([failed])
        assert (spool.figures.lost_frames, spool.figures.lost_events) == (1, 3)
        assert spool.pending_events == 1

        await until(lambda: not spool.refusal(1_000))
        spool.append(batch("later"))
        await spool.settled()
        assert said(await spool.next(10, 4 << 20)) == ["kept", "later"]

    async with open_spool(tmp_path, 6) as spool:
        assert said(await drained(spool)) == ["kept", "later"]
        assert spool.backlog.quarantine.records == 0


async def test_a_mishap_outside_the_disk_ends_no_upkeep(
    tmp_path: Path, batch: Make, small: SpoolLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished segments are removed after it as before."""
    monkeypatch.setattr("monitord.intake.spool.upkeep.LOOK_EVERY_SECONDS", 0.01)
    look = Failing(os.statvfs, MemoryError())
    async with open_spool(tmp_path, 5, small) as spool:
        monkeypatch.setattr(os, "statvfs", look)
        look.failures = 3
        await until(lambda: not look.failures)
        for number in range(40):
            spool.append(batch(number))
            await spool.settled()
        before = segments(tmp_path)
        spool.done(await spool.next(100, 4 << 20))

        await until(lambda: len(segments(tmp_path)) < len(before))


def said(frames: object) -> list[str]:
    assert isinstance(frames, list)
    return [frame.batch.logs[0].message for frame in frames]


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("*.seg"))
