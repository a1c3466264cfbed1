"""A segment that cannot be read now is tried again for a while; what is young does not wait."""

import errno
import os

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import structlog

from monitord.intake.spool.folder import READ, SEGMENT, Folder
from monitord.intake.spool.spool import SpoolLimits, open_spool
from monitord.model import Batch, Frame


Make = Callable[..., Batch]
Drain = Callable[..., Awaitable[list[Frame]]]

COUNT = 40
MANY = 4 << 20


class Failing(Folder):
    """A folder of a process without a free descriptor, for so many opens of one segment."""

    failures = 0
    victim = ""

    def open(self, name: str, flags: int = READ) -> int:
        if name == Failing.victim and Failing.failures and name.endswith(SEGMENT):
            Failing.failures -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().open(name, flags)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    """Let spools be opened on such a folder, and be tried again at once."""
    monkeypatch.setattr("monitord.intake.spool.spool.Folder", Failing)
    monkeypatch.setattr("monitord.intake.spool.backlog.AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(Failing, "failures", 0)
    monkeypatch.setattr(Failing, "victim", "")
    return Failing


async def write(path: Path, make: Make, limits: SpoolLimits) -> str:
    """Leave a spool of small segments; return the name of the second."""
    async with open_spool(path, 5, limits) as spool:
        for number in range(1, COUNT + 1):
            spool.append(make(number))
            await spool.settled()
    return segments(path)[1]


def segments(path: Path) -> list[str]:
    return sorted(one.name for one in path.glob("*.seg"))


def seqs(frames: list[Frame]) -> list[int]:
    return [frame.seq for frame in frames]


async def test_a_passing_failure_costs_nothing(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain, failing: type[Failing]
) -> None:
    """A segment that is read at the fifth attempt gives each of its frames, in order."""
    victim = await write(tmp_path, batch, small)
    async with open_spool(tmp_path, 6, small) as spool:
        failing.victim, failing.failures = victim, 4

        assert seqs(await drained(spool)) == list(range(1, COUNT + 1))
        assert failing.failures == 0


async def test_a_failure_that_stays_costs_that_segment_until_the_next_start(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain, failing: type[Failing]
) -> None:
    """It is passed over after five attempts, said once, and waits; the next run drains it."""
    victim = await write(tmp_path, batch, small)
    with structlog.testing.capture_logs() as logs:
        async with open_spool(tmp_path, 6, small) as spool:
            failing.victim, failing.failures = victim, 1_000
            first: list[int] = []
            while not first or first[-1] != COUNT:
                frames = await spool.next(1_000, MANY)
                spool.done(frames)
                first += [frame.seq for frame in frames]
            spool.append(batch("new"))
            await spool.settled()
            spool.done(await spool.next(1_000, MANY))
            assert failing.failures == 995
            assert spool.backlog.frames == spool.pending_events == COUNT - len(first)
            assert spool.backlog.oldest_at == 1.0

    assert [one for one in logs if one["event"] == "spool.segment_unreadable"] == [
        {
            "event": "spool.segment_unreadable",
            "log_level": "warning",
            "segment": victim,
            "error": "Too many open files",
            "next": "its frames are read again at the next start",
        }
    ]
    failing.failures = 0
    async with open_spool(tmp_path, 7, small) as spool:
        second = seqs(await drained(spool))
        assert spool.backlog.oldest_at is None
    assert sorted(first + second) == list(range(1, COUNT + 1))
    assert second != []


async def test_what_is_young_does_not_wait_for_it(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain, failing: type[Failing]
) -> None:
    """While the oldest segment is tried again, live frames are handed out; then it comes too."""
    await write(tmp_path, batch, small)
    async with open_spool(tmp_path, 6, small, clock=lambda: 1_000.0) as spool:
        failing.victim = segments(tmp_path)[0]
        failing.failures = 3
        spool.append(batch("live", received_at=1_000.0))
        await spool.settled()

        live = await spool.next(10, MANY)

        assert failing.failures == 2
        assert [one.writer for one in live] == [6]
        spool.done(live)
        assert seqs(await drained(spool)) == list(range(1, COUNT + 1))


async def test_a_segment_that_is_gone_is_not_tried_again(
    tmp_path: Path, batch: Make, small: SpoolLimits, failing: type[Failing]
) -> None:
    """Where somebody removed a file, the frames behind it come at once."""
    victim = await write(tmp_path, batch, small)
    async with open_spool(tmp_path, 6, small) as spool:
        (tmp_path / victim).unlink()

        left = await spool.next(1_000, MANY)

        assert {1, COUNT} <= {frame.seq for frame in left}
        assert len(left) < COUNT
