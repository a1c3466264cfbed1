"""The spool's two sides: appended, settled, drained, done; bounded, owned by one, private."""

import asyncio
import contextlib
import shutil
import stat
import subprocess
import sys

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from monitord.errors import SpoolError
from monitord.intake.spool.inspect import inspect
from monitord.intake.spool.spool import Refusal, Spool, SpoolLimits, open_spool
from monitord.model import Batch, Frame, Log


Make = Callable[..., Batch]
Drain = Callable[..., Awaitable[list[Frame]]]

MANY = 4 << 20


def seqs(frames: object) -> list[int]:
    assert isinstance(frames, list)
    return [frame.seq for frame in frames]


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("*.seg"))


def contents(path: Path) -> dict[Path, bytes]:
    return {one: one.read_bytes() for one in path.iterdir()}


async def fill(spool: Spool, make: Make, count: int, received_at: float = 1.0) -> None:
    for number in range(count):
        assert isinstance(spool.append(make(number, received_at=received_at)), Frame)
    await spool.settled()


async def test_oldest_first_and_kept_until_done(tmp_path: Path, batch: Make) -> None:
    """What was read stays pending until it is done: a writer that failed gets it again."""
    async with open_spool(tmp_path, 5, clock=lambda: 1.0) as spool:
        for _ in range(3):
            spool.append(batch("x", events=10))
        await spool.settled()

        first = await spool.next(20, MANY)
        again = await spool.next(20, MANY)

        assert seqs(first) == seqs(again) == [1, 2]
        assert (spool.backlog.frames, spool.backlog.events) == (3, 30)
        spool.done(first)
        assert seqs(await spool.next(20, MANY)) == [3]
        assert (spool.backlog.frames, spool.backlog.events) == (1, 10)


async def test_a_drain_is_bounded_in_events_and_bytes(tmp_path: Path, batch: Make) -> None:
    """A frame above the limits comes alone; one within them does not wait for it."""
    async with open_spool(tmp_path, 5, clock=lambda: 1.0) as spool:
        for events in (500, 1, 1, 1):
            spool.append(batch("x", events=events))
        await spool.settled()

        assert seqs(await spool.next(10, MANY)) == [1]
        spool.done(await spool.next(10, MANY))
        assert seqs(await spool.next(2, MANY)) == [2, 3]
        assert seqs(await spool.next(100, 340)) == [2, 3]
        assert seqs(await spool.next(100, 1)) == [2]


async def test_next_waits_for_a_frame_on_disk(tmp_path: Path, batch: Make) -> None:
    """An empty spool keeps its reader waiting; a frame nobody waits for comes all the same."""
    async with open_spool(tmp_path, 5, clock=lambda: 1.0) as spool:
        waiting = asyncio.create_task(spool.next(10, MANY))
        await asyncio.sleep(0)
        spool.append(batch("x"))
        assert not waiting.done()

        assert seqs(await waiting) == [1]
        assert spool.figures.commits == 1


async def test_done_out_of_order_and_twice(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain
) -> None:
    """Frames may be done in any order; after a restart exactly the others come."""
    async with open_spool(tmp_path, 5, small) as spool:
        await fill(spool, batch, 40)
        frames = await spool.next(40, MANY)
        spool.done([frames[1], *frames[10:20]])
        spool.done([frames[1]])
        assert spool.backlog.frames == 29

    async with open_spool(tmp_path, 6, small) as spool:
        left = seqs(await drained(spool))
    assert left == [1, *range(3, 11), *range(21, 41)]


async def test_a_finished_segment_is_removed(
    tmp_path: Path, batch: Make, small: SpoolLimits
) -> None:
    """A file goes when each of its frames is done, and not before."""
    async with open_spool(tmp_path, 5, small) as spool:
        for number in range(40):
            spool.append(batch(number))
            await spool.settled()
        files = segments(tmp_path)
        assert len(files) > 2
        frames = await spool.next(40, MANY)
        spool.done(frames[1:])
    assert segments(tmp_path)[0] == files[0]

    async with open_spool(tmp_path, 6, small) as spool:
        assert seqs(await spool.next(40, MANY)) == [1]
        spool.done(await spool.next(40, MANY))
    assert not segments(tmp_path)


async def test_no_segment_is_removed_under_a_commit(
    tmp_path: Path, batch: Make, drained: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often finished segments are looked for, frames that are not done stay on disk."""
    monkeypatch.setattr("monitord.intake.spool.upkeep.LOOK_EVERY_SECONDS", 0)
    limits = SpoolLimits(segment_bytes=1_000, free_bytes=0)
    undone = set[int]()
    async with open_spool(tmp_path, 5, limits, clock=lambda: 1.0) as spool:
        for number in range(600):
            await fill(spool, batch, 1)
            undone |= {number + 1}
            if number % 3:
                frames = await spool.next(100, MANY)
                spool.done(frames)
                undone -= {one.seq for one in frames}
            if number % 50 == 49:
                copy = tmp_path / f"{number}.copy"
                copied(segments(tmp_path), copy)
                assert undone <= await on_disk(copy)
        last = spool.append(batch("last"))
        assert isinstance(last, Frame)

    async with open_spool(tmp_path, 6, limits) as spool:
        assert set(seqs(await drained(spool))) == undone | {last.seq}


def copied(files: list[Path], folder: Path) -> None:
    folder.mkdir()
    for one in files:
        with contextlib.suppress(FileNotFoundError):  # removed just now
            shutil.copy(one, folder)


async def on_disk(folder: Path) -> set[int]:
    async with open_spool(folder, 9) as spool:
        if not spool.backlog.frames:
            return set()
        return {one.seq for one in await spool.next(10**6, 1 << 30)}


async def test_what_left_memory_is_read_back_in_order(
    tmp_path: Path, batch: Make, drained: Drain
) -> None:
    """Memory holds a little; everything older comes from disk, then the rest, all in order."""
    limits = SpoolLimits(segment_bytes=20_000, memory_bytes=20_000, free_bytes=0)
    async with open_spool(tmp_path, 5, limits, clock=lambda: 1.0) as spool:
        frames: list[Frame] = []
        for turn in range(5):
            await fill(spool, batch, 200)
            some = await spool.next(50, MANY)
            spool.done(some)
            frames += some
            assert spool.backlog.frames == 200 * (turn + 1) - len(frames)
            assert spool.backlog.events == spool.backlog.frames
        frames += await drained(spool)

        assert seqs(frames) == list(range(1, 1_001))
        assert [frame.batch.logs[0].message for frame in frames[:200]] == [
            str(number) for number in range(200)
        ]
        assert (spool.backlog.events, spool.backlog.bytes) == (0, 0)


@pytest.mark.parametrize("memory_bytes", [32 << 20, 400_000])
async def test_live_data_has_its_share(tmp_path: Path, batch: Make, memory_bytes: int) -> None:
    """While an old backlog drains, every other drain is of what has just arrived."""
    now = 1_000.0
    limits = SpoolLimits(memory_bytes=memory_bytes, free_bytes=0)
    async with open_spool(tmp_path, 5, limits, clock=lambda: now) as spool:
        await fill(spool, batch, 2_000, received_at=900.0)
        seen: list[Frame] = []
        delays = []
        while spool.backlog.frames:
            if len(seen) < 2_000:
                await fill(spool, batch, 20, received_at=now)
            frames = await spool.next(100, MANY)
            spool.done(frames)
            seen += frames
            delays += [now - one.batch.received_at for one in frames if one.seq > 2_000]
            now += 1.0

        assert sorted(seqs(seen)) == list(range(1, len(seen) + 1))
        assert max(delays) <= 5.0
        old = [frame.seq for frame in seen if frame.seq <= 2_000]
        assert old == sorted(old)


async def test_a_cancelled_drain_loses_nothing(
    tmp_path: Path, batch: Make, drained: Drain, small: SpoolLimits
) -> None:
    """A reader that gives up while frames are read from disk finds them the next time."""
    async with open_spool(tmp_path, 5, small) as spool:
        await fill(spool, batch, 40)
    async with open_spool(tmp_path, 6, small) as spool:
        for _ in range(3):
            waiting = asyncio.create_task(spool.next(10, MANY))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

        assert seqs(await drained(spool)) == list(range(1, 41))


async def test_many_waiters_share_commits(tmp_path: Path, batch: Make) -> None:
    """A hundred bodies that arrive together are a few writes, not a hundred."""
    async with open_spool(tmp_path, 5) as spool:

        async def body() -> None:
            frame = spool.append(batch("x"))
            assert isinstance(frame, Frame)
            await spool.settled([frame])

        await asyncio.gather(*(body() for _ in range(100)))

        assert spool.backlog.frames == 100
        assert spool.figures.commits < 10


async def test_a_full_spool_refuses_and_recovers(
    tmp_path: Path, batch: Make, drained: Drain
) -> None:
    """Over its size it takes nothing and drops nothing; when it was drained it takes again."""
    limits = SpoolLimits(spool_bytes=50_000, segment_bytes=10_000, free_bytes=0)
    async with open_spool(tmp_path, 5, limits) as spool:
        taken = 0
        while isinstance(answer := spool.append(batch(taken)), Frame):
            taken += 1
            await spool.settled()
        assert answer is Refusal.FULL
        assert spool.refusal(1_000) is Refusal.FULL
        assert spool.figures.refused_events == {"full": len(batch("x"))}
        assert sum(one.stat().st_size for one in segments(tmp_path)) <= 50_000

        assert len(await drained(spool)) == taken
        async with asyncio.timeout(10):
            while spool.refusal(1_000):  # noqa: ASYNC110 - it says nothing when it has room again
                await asyncio.sleep(0.05)
        assert isinstance(spool.append(batch("again")), Frame)
        await spool.settled()


async def test_the_floor_of_free_space(tmp_path: Path, batch: Make) -> None:
    """With less free space than the floor nothing is taken, before the disk is really full."""
    async with open_spool(tmp_path, 5, SpoolLimits(free_bytes=1 << 60)) as spool:
        assert spool.append(batch("x")) is Refusal.DISK


async def test_an_unfit_batch_is_refused_alone(tmp_path: Path, batch: Make) -> None:
    """What has no form on disk is refused and counted; nothing is raised, the next is taken."""
    bad = Batch(1.0, logs=[Log(time=1.0, service="s", level="INFO", message="\ud800")])
    async with open_spool(tmp_path, 5) as spool:
        assert spool.append(bad) is Refusal.UNFIT
        frame = spool.append(batch("x"))
        assert isinstance(frame, Frame)
        assert frame.seq == 1


async def test_what_is_refused_may_still_be_shown(
    tmp_path: Path, batch: Make, drained: Drain
) -> None:
    """A refused batch can have an identity of its own, which no frame on disk ever has."""
    async with open_spool(tmp_path, 5) as spool:
        await fill(spool, batch, 1)
        shown = spool.unkept(batch("shown"))
        await fill(spool, batch, 1)

        assert (shown.writer, shown.seq) == (5, 2)
        assert seqs(await drained(spool)) == [1, 3]


async def test_closing_commits_what_nobody_waited_for(
    tmp_path: Path, batch: Make, drained: Drain
) -> None:
    """The end of the daemon costs no datagram; after it nothing is taken."""
    async with open_spool(tmp_path, 5) as spool:
        spool.append(batch("x"))

    assert spool.append(batch("y")) is Refusal.CLOSED
    async with open_spool(tmp_path, 6) as spool:
        assert seqs(await drained(spool)) == [1]


async def test_one_owner(tmp_path: Path) -> None:
    """A second daemon is refused in one line that names the first."""
    program = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from monitord.errors import SpoolError\n"
        "from monitord.intake.spool.spool import open_spool\n"
        "async def main():\n"
        "    async with open_spool(Path(sys.argv[1]), 1): pass\n"
        "try:\n    asyncio.run(main())\n"
        "except SpoolError as error:\n    print(error); sys.exit(3)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    async with open_spool(tmp_path, 5):
        second = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    third = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)

    assert second.returncode == 3
    assert second.stdout.count("\n") == 1
    assert "another monitord (process " in second.stdout
    assert third.returncode == 0, third.stderr


async def test_private_to_its_owner(tmp_path: Path, batch: Make) -> None:
    """Folder and files are for one user, also where the folder was open before."""
    folder = tmp_path / "state" / "spool"
    folder.mkdir(parents=True, mode=0o755)
    async with open_spool(folder, 5) as spool:
        await fill(spool, batch, 3)
    async with open_spool(folder, 6):
        pass

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()} == {0o600}
    assert {one.name for one in folder.iterdir()} >= {"cursor", "lock"}


async def test_a_link_or_a_file_is_refused(tmp_path: Path) -> None:
    """A symbolic link in the folder's place, or a file, is one line and not followed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_text("")

    for name, reason in [("link", "symbolic link"), ("file", "cannot be the spool's folder")]:
        with pytest.raises(SpoolError, match=reason) as caught:
            async with open_spool(tmp_path / name, 5):
                pass
        assert "\n" not in str(caught.value)
    assert not list((tmp_path / "real").iterdir())


async def test_links_inside_are_not_followed(tmp_path: Path, batch: Make, drained: Drain) -> None:
    """A link among the files is passed over; what it points at is as it was."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    folder = tmp_path / "spool"
    folder.mkdir()
    for name in ("cursor", "cursor.new", "0000000000000009.seg", "probe"):
        (folder / name).symlink_to(precious)

    async with open_spool(folder, 5) as spool:
        await fill(spool, batch, 3)
        assert seqs(await drained(spool)) == [1, 2, 3]

    assert precious.read_text() == "precious"


async def test_inspect_beside_a_running_daemon(
    tmp_path: Path, batch: Make, small: SpoolLimits
) -> None:
    """Anyone of the same user may look, without the lock and without changing a byte."""
    async with open_spool(tmp_path, 5, small) as spool:
        await fill(spool, batch, 40)
        before = contents(tmp_path)

        found = list(inspect(tmp_path))

        assert contents(tmp_path) == before
    assert sum(one.frames for one in found) == sum(one.logs for one in found) == 40
    assert {one.writer for one in found} == {5}
    assert {(one.first_at, one.damaged_bytes, one.problem) for one in found} == {(1.0, 0, "")}
    with pytest.raises(SpoolError, match="no-such"):
        list(inspect(tmp_path / "no-such"))
