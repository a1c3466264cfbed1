"""Opening a folder with a past: what was safe comes back in order and once, whatever happened."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.intake.spool.record import HEADER_BYTES, MARK
from monitord.intake.spool.segment import SEGMENT_HEADER_BYTES, pack_header
from monitord.intake.spool.spool import Spool, SpoolLimits, open_spool
from monitord.model import Batch, Frame


Make = Callable[..., Batch]
Drain = Callable[..., Awaitable[list[Frame]]]
Unseal = Callable[[Path], None]

ROOT = Path(__file__).parents[3]

NEVER = HealthCheck.function_scoped_fixture


async def write(path: Path, make: Make, limits: SpoolLimits, count: int = 40) -> None:
    """Leave a spool of small segments whose frames say their numbers."""
    async with open_spool(path, 5, limits) as spool:
        for number in range(1, count + 1):
            spool.append(make(number))
            await spool.settled()


def said(frames: list[Frame]) -> list[int]:
    return [int(frame.batch.logs[0].message) for frame in frames]


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("*.seg"))


def damaged(path: Path) -> list[Path]:
    return sorted(path.glob("*.bad"))


def length_of_record(path: Path) -> int:
    body_length = int.from_bytes(path.read_bytes()[SEGMENT_HEADER_BYTES + 40 :][:4], "little")
    return HEADER_BYTES + body_length


async def test_everything_settled_comes_back(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain
) -> None:
    """After a restart the same frames come, under their old identity, and are reported before."""
    await write(tmp_path, batch, small)
    assert len(segments(tmp_path)) > 2

    async with open_spool(tmp_path, 6, small) as spool:
        found = spool.backlog.found
        assert (found.frames, found.events, found.oldest_at) == (40, 40, 1.0)
        frames = await drained(spool)

    assert [(frame.writer, frame.seq) for frame in frames] == [(5, seq) for seq in range(1, 41)]
    assert said(frames) == list(range(1, 41))
    async with open_spool(tmp_path, 7, small) as spool:
        assert spool.backlog.frames == 0


async def test_a_run_never_takes_a_number_that_was_used(tmp_path: Path, batch: Make) -> None:
    """With a clock set back, identities still never repeat: the store would skip the new frames."""
    async with open_spool(tmp_path, 900) as spool:
        assert spool.writer == 900
        spool.done([await anext_frame(spool, batch)])
    async with open_spool(tmp_path, 5) as spool:
        assert spool.writer == 901
        await anext_frame(spool, batch)
    (tmp_path / "cursor").unlink()
    async with open_spool(tmp_path, 5) as spool:
        assert spool.writer == 902
    for one in segments(tmp_path):
        one.unlink()
    async with open_spool(tmp_path, 5) as spool:
        assert spool.writer == 903


async def test_a_new_spool_outlives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder that was made has its name synced in the one above it, and only those."""
    synced = set[int]()

    def sync(descriptor: int, real: Callable[[int], None] = os.fsync) -> None:
        real(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", sync)
    folder = tmp_path / "state" / "monitord" / "spool"
    async with open_spool(folder, 5):
        pass
    assert {one.stat().st_ino for one in (tmp_path, *folder.parents[:2])} <= synced

    synced.clear()
    async with open_spool(folder, 6):
        pass
    assert folder.parent.stat().st_ino not in synced


async def test_a_file_that_cannot_be_opened_keeps_its_number(
    tmp_path: Path, batch: Make, small: SpoolLimits
) -> None:
    """The first segment of a run never takes the name of one that was passed over."""
    (tmp_path / f"{1:016}.seg").symlink_to(tmp_path / "elsewhere")

    async with open_spool(tmp_path, 5, small) as spool:
        spool.append(batch("x"))
        await spool.settled()
        assert spool.figures.lost_frames == 0


OPENING_WITH_FEW_DESCRIPTORS = """
import asyncio, resource, sys
from pathlib import Path
from monitord.intake.spool.spool import open_spool

async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (30, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    async with open_spool(Path(sys.argv[1]), 6) as spool:
        drained = 0
        while spool.backlog.frames:
            frames = await spool.next(1_000, 1 << 20)
            spool.done(frames)
            drained += len(frames)
    print(drained)

asyncio.run(main())
"""


async def test_more_segments_than_a_process_may_open(tmp_path: Path, batch: Make) -> None:
    """A large spool is found whole with few descriptors."""
    await write(tmp_path, batch, SpoolLimits(segment_bytes=300, free_bytes=0))
    assert len(segments(tmp_path)) == 40

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", OPENING_WITH_FEW_DESCRIPTORS, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "40"


async def anext_frame(spool: Spool, make: Make) -> Frame:
    spool.append(make("x"))
    await spool.settled()
    return (await spool.next(1, 1))[0]


@pytest.mark.parametrize("cut", [1, 20, 100])
async def test_a_torn_tail_is_cut_and_counted_once(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain, unsealed: Unseal, cut: int
) -> None:
    """The half-written last record goes; what stands before it stays; the next start is silent."""
    await write(tmp_path, batch, small)
    last = segments(tmp_path)[-1]
    unsealed(last)
    size = last.stat().st_size
    os.truncate(last, size - cut)

    async with open_spool(tmp_path, 6, small) as spool:
        torn = spool.backlog.found.truncated_bytes
        assert said(await drained(spool, done=False)) == list(range(1, 40))
        assert torn == length_of_record(last) - cut
        assert spool.backlog.quarantine.bytes == 0
    async with open_spool(tmp_path, 7, small) as spool:
        assert spool.backlog.found.truncated_bytes == 0


async def test_damage_in_the_middle_is_put_aside_once(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain
) -> None:
    """The damaged bytes are kept in a file of their own and counted at one start only."""
    await write(tmp_path, batch, small)
    first = segments(tmp_path)[0]
    data = bytearray(first.read_bytes())
    size = length_of_record(first)
    start = SEGMENT_HEADER_BYTES + size
    data[start + 3] ^= 0x10
    first.write_bytes(data)

    async with open_spool(tmp_path, 6, small) as spool:
        assert said(await drained(spool, done=False)) == [1, *range(3, 41)]
        assert (spool.backlog.quarantine.records, spool.backlog.quarantine.bytes) == (1, size)
    kept = damaged(tmp_path)
    assert [one.read_bytes() for one in kept] == [bytes(data[start : start + size])]
    async with open_spool(tmp_path, 7, small) as spool:
        assert spool.backlog.quarantine.records == 0


async def test_a_damaged_body_is_seen_when_it_is_read(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain
) -> None:
    """A start reads no bodies; the frame whose body changed is put aside when its turn comes."""
    await write(tmp_path, batch, small)
    first = segments(tmp_path)[0]
    data = bytearray(first.read_bytes())
    data[SEGMENT_HEADER_BYTES + HEADER_BYTES + 5] ^= 0x10
    first.write_bytes(data)

    async with open_spool(tmp_path, 6, small) as spool:
        assert spool.backlog.frames == 40
        assert said(await drained(spool)) == list(range(2, 41))
        assert spool.backlog.quarantine.records == 1
        assert spool.backlog.frames == 0


async def test_the_quarantine_is_bounded(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain
) -> None:
    """The oldest damage makes room for the newest."""
    await write(tmp_path, batch, small)
    for one in segments(tmp_path):
        data = bytearray(one.read_bytes())
        data[SEGMENT_HEADER_BYTES + 3] ^= 1
        one.write_bytes(data)
    tight = SpoolLimits(segment_bytes=4_000, free_bytes=0, quarantine_bytes=400)

    async with open_spool(tmp_path, 6, tight) as spool:
        count = len(segments(tmp_path))
        await drained(spool)
        assert spool.backlog.quarantine.records == count

    kept = damaged(tmp_path)
    assert 0 < sum(one.stat().st_size for one in kept) <= 400


async def test_misnamed_swapped_and_copied_segments(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain
) -> None:
    """The order is that of the headers, not of the names; a copy's frames come once."""
    await write(tmp_path, batch, small)
    first, second, *_, last = segments(tmp_path)
    shutil.copy(first, tmp_path / "0000000000009999.seg")
    shutil.copy(last, tmp_path / "copy of it.seg")
    first.rename(tmp_path / "away")
    second.rename(first)
    (tmp_path / "away").rename(second)

    async with open_spool(tmp_path, 6, small) as spool:
        assert said(await drained(spool)) == list(range(1, 41))
        assert spool.backlog.found.duplicates > 0
        spool.append(batch(41))
        await spool.settled()
        assert said(await drained(spool)) == [41]


async def test_a_record_that_is_there_twice_counts_once(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain, unsealed: Unseal
) -> None:
    """Neither the walk nor the summary it leaves says more frames or events than there are."""
    await write(tmp_path, batch, small)
    last = segments(tmp_path)[-1]
    unsealed(last)
    raw = last.read_bytes()
    start, end = spans(raw)[1]
    last.write_bytes(raw[:end] + raw[start:end] + raw[end:])

    for writer, duplicates in ((6, 1), (7, 0)):
        async with open_spool(tmp_path, writer, small) as spool:
            found = spool.backlog.found
            assert (found.frames, found.events, found.duplicates) == (40, 40, duplicates)
    async with open_spool(tmp_path, 8, small) as spool:
        assert said(await drained(spool)) == list(range(1, 41))
    assert not segments(tmp_path)


@pytest.mark.parametrize("how", ["emptied", "zeroed", "noise", "headless", "gone", "cut"])
async def test_a_ruined_segment_costs_its_own_frames_only(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain, how: str
) -> None:
    """Whatever happened to one file, the frames of the others come."""
    await write(tmp_path, batch, small)
    victim = segments(tmp_path)[1]
    data = victim.read_bytes()
    ruined = {
        "emptied": b"",
        "zeroed": bytes(len(data)),
        "noise": os.urandom(len(data)),
        "headless": data[SEGMENT_HEADER_BYTES:],
        "gone": b"",
        "cut": data[: len(data) // 2],
    }[how]
    victim.write_bytes(ruined)
    if how == "gone":
        victim.unlink()

    async with open_spool(tmp_path, 6, small) as spool:
        numbers = said(await drained(spool))

    assert numbers == sorted(set(numbers))
    assert {1, 2, 39, 40} <= set(numbers)
    assert (len(numbers) == 40) is (how == "headless")


async def test_a_segment_of_a_later_format_is_left_alone(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another version wrote is neither read nor removed nor written over."""
    with monkeypatch.context() as patch:
        patch.setattr("monitord.intake.spool.segment.VERSION", 2)
        foreign = pack_header(77, 5, 1, 1.0) + b"what it holds"
    (tmp_path / f"{77:016}.seg").write_bytes(foreign)

    async with open_spool(tmp_path, 6, small) as spool:
        assert spool.backlog.frames == 0
        spool.append(batch(1))
        await spool.settled()
        assert said(await drained(spool)) == [1]

    assert (tmp_path / f"{77:016}.seg").read_bytes() == foreign
    assert not damaged(tmp_path)


@pytest.mark.parametrize("cursor", [None, b"", b"noise" * 30, b"\xc1MNTCUR\xc1" + bytes(60)])
async def test_a_lost_cursor_costs_repeats_only(
    tmp_path: Path, batch: Make, small: SpoolLimits, drained: Drain, cursor: bytes | None
) -> None:
    """Without the cursor, frames that were done may come again; those that were not do come."""
    await write(tmp_path, batch, small)
    async with open_spool(tmp_path, 6, small) as spool:
        some = await spool.next(30, 4 << 20)
        spool.done(some)
    if cursor is None:
        (tmp_path / "cursor").unlink()
    else:
        (tmp_path / "cursor").write_bytes(cursor)

    async with open_spool(tmp_path, 7, small) as spool:
        again = said(await drained(spool))

    assert again == sorted(set(again))
    assert set(range(31, 41)) <= set(again)


@pytest.mark.parametrize("done", [0, 25])
@pytest.mark.parametrize("how", ["flipped", "shorter", "header"])
async def test_the_sum_closes_over_damage_of_a_killed_run(
    tmp_path: Path,
    batch: Make,
    small: SpoolLimits,
    drained: Drain,
    unsealed: Unseal,
    how: str,
    done: int,
) -> None:
    """
    Without a summary, what a sound header still tells of a damaged record is found and damaged.

    Where the header is damaged too, nobody knows how many events it had: it is in neither number.
    """
    await write(tmp_path, batch, small)
    victim = segments(tmp_path)[1]
    async with open_spool(tmp_path, 6, small) as spool:
        spool.done((await spool.next(40, 4 << 20))[:done])
    unsealed(victim)
    raw = bytearray(victim.read_bytes())
    start, end = spans(bytes(raw))[-1]
    if how == "shorter":
        del raw[end - 10 :]
    else:
        raw[end - 10 if how == "flipped" else start + 20] ^= 1
    victim.write_bytes(raw)

    for writer in (7, 8):
        async with open_spool(tmp_path, writer, small) as spool:
            assert spool.backlog.found.events == (39 if how == "header" else 40) - done
    async with open_spool(tmp_path, 9, small) as spool:
        assert len(await drained(spool)) == 39 - done
        assert spool.backlog.damaged_events == (0 if how == "header" else 1)
        assert spool.pending_events == 0
    assert not segments(tmp_path)
    assert len(damaged(tmp_path)) == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[NEVER])
@given(data=st.data())
async def test_any_damage_to_the_files(
    data: st.DataObject, batch: Make, small: SpoolLimits, drained: Drain, unsealed: Unseal
) -> None:
    """Any stretch of any file changed, cut out or cut off: it opens, drains in order, and ends."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        await write(path, batch, small)
        expected = set(range(1, 41))
        first = 1
        for one in segments(path):
            raw = one.read_bytes()
            count = len(spans(raw))
            if data.draw(st.booleans()):
                unsealed(one)
                raw = one.read_bytes()
            if data.draw(st.booleans()):
                start = data.draw(st.integers(0, len(raw)))
                end = data.draw(st.integers(start, len(raw)))
                put = data.draw(st.sampled_from([b"", bytes(end - start), os.urandom(end - start)]))
                one.write_bytes(raw[:start] + put + raw[end:])
                expected -= touched(raw, first, start, end)
            first += count

        async with open_spool(path, 6, small) as spool:
            numbers = said(await drained(spool))
            assert spool.backlog.found.events == len(numbers) + spool.backlog.damaged_events

        assert numbers == sorted(set(numbers))
        assert expected <= set(numbers)
        async with open_spool(path, 7, small) as spool:
            assert spool.backlog.frames == 0


def spans(raw: bytes) -> list[tuple[int, int]]:
    """Return where the records of a sound segment are."""
    found, at = [], SEGMENT_HEADER_BYTES
    while raw.startswith(MARK, at):
        body_length = int.from_bytes(raw[at + 40 : at + 44], "little")
        found.append((at, at + HEADER_BYTES + body_length))
        at = found[-1][1]
    return found


def touched(raw: bytes, first: int, start: int, end: int) -> set[int]:
    """Return the numbers of the records that a change of these bytes may concern."""
    return {
        number for number, (at, last) in enumerate(spans(raw), first) if at < end and last > start
    }
