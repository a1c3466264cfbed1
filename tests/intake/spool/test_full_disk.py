"""A disk that takes nothing: refused in time, nothing half, nothing claimed, and back by itself."""

import asyncio
import errno
import os
import resource
import subprocess
import sys
import threading

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from monitord.errors import SpoolError
from monitord.intake.spool.spool import Refusal, Spool, SpoolLimits, open_spool
from monitord.model import Batch, Frame


Make = Callable[..., Batch]
Drain = Callable[..., Awaitable[list[Frame]]]

LIMITS = SpoolLimits(segment_bytes=100_000, free_bytes=0)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    point = tmp_path / "disk"
    point.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(point)]
    try:
        done = subprocess.run(mounting, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"mount cannot be run: {error.strerror}")
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()[:80]}")
    yield point
    subprocess.run(["umount", str(point)], check=True)


async def works_again(spool: Spool) -> None:
    async with asyncio.timeout(20):
        while spool.refusal(1_000):  # noqa: ASYNC110 - it says nothing when it takes again
            await asyncio.sleep(0.05)


async def append_until_refused(
    spool: Spool, make: Make
) -> tuple[list[Frame], list[Frame], Refusal | None]:
    """Return the frames that were acknowledged, those that were not, and the refusal."""
    taken: list[Frame] = []
    while isinstance(frame := spool.append(make("x" * 20_000)), Frame):
        try:
            await spool.settled([frame])
        except SpoolError:
            return taken, [frame], None
        taken.append(frame)
    return taken, [], frame


async def test_a_disk_that_is_really_full(tiny_disk: Path, batch: Make, drained: Drain) -> None:
    """The commit that meets it fails its waiters; all before it is kept; with room it goes on."""
    path, other = tiny_disk / "spool", tiny_disk / "of somebody else"
    async with open_spool(path, 5, LIMITS) as spool:
        other.write_bytes(bytes(700_000))
        taken, failed, _ = await append_until_refused(spool, batch)
        assert taken
        assert len(failed) == spool.figures.lost_frames == spool.figures.lost_events == 1
        assert spool.append(batch("y")) is Refusal.DISK
        assert "No space left" in spool.trouble

        other.unlink()
        await works_again(spool)
        later = spool.append(batch("later"))
        assert isinstance(later, Frame)
        await spool.settled([later])
        assert spool.trouble == ""
    async with open_spool(path, 6, LIMITS) as spool:
        expected = [one.seq for one in [*taken, later]]
        assert [one.seq for one in await drained(spool)] == expected
        assert spool.backlog.found.truncated_bytes == spool.backlog.quarantine.bytes == 0


async def test_draining_makes_room(tiny_disk: Path, batch: Make, drained: Drain) -> None:
    """A disk the spool has filled itself takes again once its frames are stored."""
    async with open_spool(tiny_disk / "spool", 5, LIMITS) as spool:
        taken, _, _ = await append_until_refused(spool, batch)
        assert [one.seq for one in await drained(spool)] == [one.seq for one in taken]

        await works_again(spool)

        later = spool.append(batch("later"))
        assert isinstance(later, Frame)
        await spool.settled([later])


async def test_the_floor_comes_before_the_end(tiny_disk: Path, batch: Make) -> None:
    """With a floor, the refusal comes while there is room, and no commit ever fails."""
    limits = SpoolLimits(segment_bytes=100_000, free_bytes=300_000)
    async with open_spool(tiny_disk / "spool", 5, limits) as spool:
        taken, failed, refusal = await append_until_refused(spool, batch)

        assert taken
        assert not failed
        assert refusal is Refusal.DISK
        found = os.statvfs(tiny_disk)
        assert found.f_bavail * found.f_frsize >= 250_000


WRITING_WITH_A_LIMIT = """
import asyncio, resource, signal, sys
from pathlib import Path
from monitord.errors import SpoolError
from monitord.intake.spool.spool import SpoolLimits, open_spool
from monitord.model import Batch, Log

async def main():
    async with open_spool(Path(sys.argv[1]), 5, SpoolLimits(free_bytes=0)) as spool:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
        while True:
            line = Log(time=1.0, service="shop", level="INFO", message="x" * 900)
            frame = spool.append(Batch(1.0, logs=[line]))
            try:
                await spool.settled([frame])
            except SpoolError:
                break
            print(frame.seq)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

asyncio.run(main())
"""


async def test_a_write_cut_short_leaves_no_half_record(tmp_path: Path, drained: Drain) -> None:
    """Where the kernel takes half a record and refuses the rest, the half is taken back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if hard != resource.RLIM_INFINITY:
        pytest.skip(f"the size of files is limited here already: {soft}, {hard}")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", WRITING_WITH_A_LIMIT, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    acknowledged = [int(line) for line in done.stdout.split() if line.isdigit()]

    async with open_spool(tmp_path, 6) as spool:
        assert spool.backlog.found.truncated_bytes == spool.backlog.quarantine.bytes == 0
        assert [one.seq for one in await drained(spool)] == acknowledged != []


class FailingSync:
    """The system call at its border: the next syncs answer EIO, the others are real."""

    def __init__(self) -> None:
        self.failures = 0
        self.refused: list[int] = []
        self.entered = threading.Event()
        self.let_go = threading.Event()
        self.let_go.set()

    def __call__(self, descriptor: int) -> None:
        self.entered.set()
        assert self.let_go.wait(10)
        if self.failures:
            self.failures -= 1
            self.refused.append(os.fstat(descriptor).st_ino)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fdatasync(descriptor)


async def test_a_failed_sync_is_not_tried_again_on_the_file(
    tmp_path: Path, batch: Make, drained: Drain
) -> None:
    """The records go to a new segment, are acknowledged after its own sync, and come once."""
    sync = FailingSync()
    async with open_spool(tmp_path, 5, LIMITS, sync=sync) as spool:
        for number in range(3):
            sync.failures = int(number == 1)
            spool.append(batch(number))
            await spool.settled()
        assert spool.figures.lost_frames == 0
        assert len(list_segments(tmp_path)) == 2
        assert sync.refused == [list_segments(tmp_path)[0].stat().st_ino]
    async with open_spool(tmp_path, 6, LIMITS) as spool:
        assert [one.seq for one in await drained(spool)] == [1, 2, 3]
        assert spool.backlog.found.duplicates == 0


async def test_a_disk_that_cannot_sync_acknowledges_nothing(
    tmp_path: Path, batch: Make, drained: Drain
) -> None:
    """Each waiter of the commit, and of the one behind it, is told; none of it comes later."""
    sync = FailingSync()
    async with open_spool(tmp_path, 5, LIMITS, sync=sync) as spool:
        kept = spool.append(batch("kept"))
        await spool.settled()
        sync.failures = 2
        sync.entered.clear()
        sync.let_go.clear()
        taken = [spool.append(batch(number)) for number in range(5)]
        frames = [one for one in taken if isinstance(one, Frame)]
        first = asyncio.create_task(spool.settled(frames))
        assert await asyncio.to_thread(sync.entered.wait, 10)
        behind = spool.append(batch("behind"))
        sync.let_go.set()
        answers = await asyncio.gather(first, spool.settled(), return_exceptions=True)

        assert [type(one) for one in answers] == [SpoolError, SpoolError]
        with pytest.raises(SpoolError):
            await spool.settled(frames)
        assert spool.figures.lost_frames == 6
        assert isinstance(behind, Frame)
        await works_again(spool)
        later = spool.append(batch("later"))
        await spool.settled()
        assert isinstance(kept, Frame)
        assert isinstance(later, Frame)
        await spool.settled([kept, later])
        expected = [kept.seq, later.seq]
        assert [one.seq for one in await spool.next(100, 4 << 20)] == expected
    async with open_spool(tmp_path, 6, LIMITS) as spool:
        assert [one.seq for one in await drained(spool)] == expected


async def test_a_start_without_room_for_a_summary(
    tmp_path: Path,
    batch: Make,
    drained: Drain,
    unsealed: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a killed run left is found all the same, and nothing is left half written."""
    async with open_spool(tmp_path, 5, LIMITS) as spool:
        for number in range(3):
            spool.append(batch(number))
            await spool.settled()
    last = list_segments(tmp_path)[-1]
    unsealed(last)
    before = last.read_bytes()
    sync = FailingSync()
    sync.failures = 1

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", sync)
        async with open_spool(tmp_path, 6, LIMITS) as spool:
            assert sync.failures == 0
            assert last.read_bytes() == before
            assert [one.seq for one in await drained(spool)] == [1, 2, 3]


def list_segments(path: Path) -> list[Path]:
    return sorted(path.glob("*.seg"))
