"""Starting on segments that have their summary: not walked, and nothing in them goes unnoticed."""

import os
import shutil

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from monitord.intake.spool.inspect import inspect
from monitord.intake.spool.record import HEADER_BYTES
from monitord.intake.spool.segment import SEGMENT_HEADER_BYTES
from monitord.intake.spool.spool import Spool, SpoolLimits, open_spool
from monitord.intake.spool.summary import Contents
from monitord.model import Batch, Frame


Make = Callable[..., Batch]
Drain = Callable[..., Awaitable[list[Frame]]]
Unseal = Callable[[Path], None]
SummaryOf = Callable[[Path], tuple[Contents, int] | None]

COUNT = 40


async def write(path: Path, make: Make, limits: SpoolLimits) -> None:
    """Leave a spool of sealed segments; frame n holds n events, which say n."""
    async with open_spool(path, 5, limits) as spool:
        for number in range(1, COUNT + 1):
            spool.append(make(number, events=number, received_at=float(number)))
            await spool.settled()


@pytest.fixture
def limits() -> SpoolLimits:
    """Limits under which a handful of frames fill a segment."""
    return SpoolLimits(segment_bytes=12_000, free_bytes=0)


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("*.seg"))


def seqs(frames: list[Frame]) -> list[int]:
    return [one.seq for one in frames]


def record_at(raw: bytes, index: int) -> tuple[int, int]:
    """Return where a segment's record of this index starts and ends."""
    end = start = SEGMENT_HEADER_BYTES
    for _ in range(index + 1):
        start = end
        end += HEADER_BYTES + int.from_bytes(raw[start + 40 : start + 44], "little")
    return start, end


def changed(path: Path, at: int, put: bytes) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:at] + put + raw[at + len(put) :])


def waiting(spool: Spool) -> tuple[int, int, float | None]:
    return spool.backlog.frames, spool.backlog.events, spool.backlog.oldest_at


async def test_each_ended_segment_has_its_summary(
    tmp_path: Path, batch: Make, limits: SpoolLimits, summary_of: SummaryOf
) -> None:
    """Rolled or closed, each file says the frames it holds."""
    await write(tmp_path, batch, limits)

    stretches = []
    for one in segments(tmp_path):
        found = summary_of(one)
        assert found is not None
        stretches += found[0].seqs[5]

    assert len(stretches) == len(segments(tmp_path)) > 2
    assert [first for first, _ in stretches] == [1, *(last + 1 for _, last in stretches[:-1])]
    assert stretches[-1][1] == COUNT


@pytest.mark.parametrize("how", [["header"], ["body"], ["header", "header"], ["body", "header"]])
async def test_damage_is_met_when_it_is_read(
    tmp_path: Path, batch: Make, limits: SpoolLimits, drained: Drain, how: list[str]
) -> None:
    """A start reads no records; each frame that is lost is counted when its turn comes, once."""
    await write(tmp_path, batch, limits)
    victim = segments(tmp_path)[1]
    raw = victim.read_bytes()
    first = int.from_bytes(raw[SEGMENT_HEADER_BYTES + 24 :][:8], "little")
    lost, size = set[int](), 0
    for index, part in enumerate(how):
        start, end = record_at(raw, index)
        changed(victim, start + {"header": 30, "body": HEADER_BYTES + 3}[part], b"\xff\xfe")
        lost.add(first + index)
        size += end - start
    events = COUNT * (COUNT + 1) // 2

    async with open_spool(tmp_path, 6, limits) as spool:
        assert waiting(spool) == (COUNT, events, 1.0)
        assert spool.backlog.quarantine.bytes == 0
        for limit in range(20, events // 2, 20):
            if spool.backlog.lost_frames < len(lost):
                await spool.next(limit, 1 << 30)
        for _ in range(2):
            assert waiting(spool)[:2] == (COUNT - len(lost), events - sum(lost))
            assert spool.backlog.lost_frames == len(lost)
            assert spool.backlog.damaged_events == sum(lost)
            assert spool.backlog.quarantine.bytes == size
            frames = await spool.next(10**6, 1 << 30)
        assert set(seqs(list(frames))) == set(range(1, COUNT + 1)) - lost
    async with open_spool(tmp_path, 7, limits) as spool:
        assert len(await drained(spool)) == COUNT - len(lost)
        assert spool.backlog.lost_frames == 0
    # What is lost keeps no segment for ever.
    assert not segments(tmp_path)


async def test_a_zeroed_segment_is_lost_and_said(
    tmp_path: Path, batch: Make, limits: SpoolLimits, drained: Drain, summary_of: SummaryOf
) -> None:
    """With every record zeros and the summary whole, its frames are counted as lost."""
    await write(tmp_path, batch, limits)
    victim = segments(tmp_path)[-1]
    found = summary_of(victim)
    assert found is not None
    size = victim.stat().st_size
    changed(victim, SEGMENT_HEADER_BYTES, bytes(found[1] - SEGMENT_HEADER_BYTES))

    async with open_spool(tmp_path, 6, limits) as spool:
        assert victim.stat().st_size == size
        frames = await drained(spool)
        assert spool.backlog.lost_frames == found[0].frames
        assert len(frames) == COUNT - found[0].frames
        assert spool.backlog.found.truncated_bytes == 0
        assert spool.backlog.quarantine.bytes == found[1] - SEGMENT_HEADER_BYTES


@pytest.mark.parametrize("cut", [1, 8, 30, -8, -1])
async def test_half_a_summary_is_cut_off(
    tmp_path: Path,
    batch: Make,
    limits: SpoolLimits,
    drained: Drain,
    summary_of: SummaryOf,
    cut: int,
) -> None:
    """A kill while the summary is written: the end goes, the frames are found by a walk."""
    await write(tmp_path, batch, limits)
    last = segments(tmp_path)[-1]
    found = summary_of(last)
    assert found is not None
    size = last.stat().st_size
    os.truncate(last, found[1] + cut if cut > 0 else size + cut)

    async with open_spool(tmp_path, 6, limits) as spool:
        assert waiting(spool) == (COUNT, COUNT * (COUNT + 1) // 2, 1.0)
        assert spool.backlog.found.truncated_bytes == (cut if cut > 0 else size + cut - found[1])
        assert spool.backlog.quarantine.bytes == 0
        assert last.stat().st_size == size
        assert seqs(await drained(spool)) == list(range(1, COUNT + 1))


@pytest.mark.parametrize("how", ["flipped", "zeroed", "of another", "followed"])
async def test_a_summary_that_is_not_its_own_is_not_used(
    tmp_path: Path,
    batch: Make,
    limits: SpoolLimits,
    drained: Drain,
    summary_of: SummaryOf,
    how: str,
) -> None:
    """The segment is walked, has a new summary then, and every frame comes."""
    await write(tmp_path, batch, limits)
    first, second = segments(tmp_path)[:2]
    own, foreign = summary_of(first), summary_of(second)
    assert own is not None
    assert foreign is not None
    raw, other = first.read_bytes(), second.read_bytes()[foreign[1] :]
    put = {
        "flipped": raw[own[1] : -9] + bytes([raw[-9] ^ 1]) + raw[-8:],
        "zeroed": bytes(len(raw) - own[1]),
        "of another": other,
        "followed": raw[own[1] :] + b"!",
    }[how]
    first.write_bytes(raw[: own[1]] + put)

    for writer in (6, 7):
        async with open_spool(tmp_path, writer, limits) as spool:
            assert waiting(spool) == (COUNT, COUNT * (COUNT + 1) // 2, 1.0)
            again = summary_of(first)
            assert again is not None
            assert again[0].frames == own[0].frames
            assert again[1] == own[1] + len(put)
            # What is no record is put aside once.
            assert spool.backlog.quarantine.bytes == (len(put) if writer == 6 else 0)
            if writer == 7:
                assert seqs(await drained(spool)) == list(range(1, COUNT + 1))
                assert spool.backlog.lost_frames == 0


async def test_bytes_that_were_cut_out(
    tmp_path: Path, batch: Make, limits: SpoolLimits, drained: Drain
) -> None:
    """Where a record is gone and all behind it moved, the summary speaks for nothing: walked."""
    await write(tmp_path, batch, limits)
    first = segments(tmp_path)[0]
    raw = first.read_bytes()
    start, end = record_at(raw, 1)
    first.write_bytes(raw[:start] + raw[end:])

    async with open_spool(tmp_path, 6, limits) as spool:
        assert spool.backlog.frames == COUNT - 1
        assert seqs(await drained(spool)) == [1, *range(3, COUNT + 1)]


async def test_partly_done_segments_are_counted_anew(
    tmp_path: Path,
    batch: Make,
    limits: SpoolLimits,
    drained: Drain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is left of them is exact; beyond a limit, the events are in proportion to the frames."""
    await write(tmp_path, batch, limits)
    async with open_spool(tmp_path, 6, limits) as spool:
        frames = list(await spool.next(10**6, 1 << 30))
        done = [one for one in frames if one.seq == 1 or one.seq % 3 == 0]
        spool.done(done)
        left = [one for one in frames if one not in done]
    events = sum(len(one.batch) for one in left)

    async with open_spool(tmp_path, 7, limits) as spool:
        assert waiting(spool) == (len(left), events, 2.0)
    monkeypatch.setattr("monitord.intake.spool.recovery.LIMIT_RECOUNTED_BYTES", 13_000)
    async with open_spool(tmp_path, 8, limits) as spool:
        assert waiting(spool) == (len(left), pytest.approx(events, rel=0.1), 2.0)
        assert waiting(spool)[1] != events
    monkeypatch.setattr("monitord.intake.spool.recovery.LIMIT_RECOUNTED_BYTES", 0)
    async with open_spool(tmp_path, 9, limits) as spool:
        assert waiting(spool) == (len(left), pytest.approx(events, rel=0.1), 1.0)
        assert seqs(await drained(spool)) == seqs(left)
        assert (spool.backlog.events, spool.backlog.bytes) == (0, 0)


async def test_a_copy_counts_once(
    tmp_path: Path, batch: Make, limits: SpoolLimits, drained: Drain
) -> None:
    """A segment that is there twice waits once; damage in one of the two costs nothing."""
    await write(tmp_path, batch, limits)
    first = segments(tmp_path)[0]
    shutil.copy(first, tmp_path / "copy.seg")
    raw = first.read_bytes()
    changed(first, record_at(raw, 1)[0] + 30, b"\xff\xfe")

    async with open_spool(tmp_path, 6, limits) as spool:
        assert waiting(spool) == (COUNT, COUNT * (COUNT + 1) // 2, 1.0)
        assert spool.backlog.found.duplicates > 2
        assert sorted(seqs(await drained(spool))) == list(range(1, COUNT + 1))
        assert spool.backlog.lost_frames == 0
    assert not segments(tmp_path)


async def test_a_segment_without_summary_is_read_and_given_one(
    tmp_path: Path, batch: Make, limits: SpoolLimits, drained: Drain, unsealed: Unseal
) -> None:
    """As a kill leaves it, or as one was written before there were summaries."""
    await write(tmp_path, batch, limits)
    before = [one.read_bytes() for one in segments(tmp_path)]
    for one in segments(tmp_path):
        unsealed(one)

    async with open_spool(tmp_path, 6, limits) as spool:
        assert waiting(spool) == (COUNT, COUNT * (COUNT + 1) // 2, 1.0)
        assert [one.read_bytes() for one in segments(tmp_path)] == before
        assert spool.disk_bytes == sum(map(len, before))
        assert seqs(await drained(spool)) == list(range(1, COUNT + 1))


async def test_a_segment_that_cannot_be_read_is_not_lost(
    tmp_path: Path, batch: Make, limits: SpoolLimits, drained: Drain
) -> None:
    """Its frames are not given up: they come once the file can be read again."""
    await write(tmp_path, batch, limits)
    second = segments(tmp_path)[1]
    async with open_spool(tmp_path, 6, limits) as spool:
        second.rename(tmp_path / "away")
        came = seqs(list(await spool.next(10**6, 1 << 30)))
        spool.done(await spool.next(10**6, 1 << 30))
        assert spool.backlog.lost_frames == 0
        (tmp_path / "away").rename(second)

    async with open_spool(tmp_path, 7, limits) as spool:
        assert sorted(came + seqs(await drained(spool))) == list(range(1, COUNT + 1))
        assert len(came) < COUNT


async def test_damage_while_the_daemon_runs(tmp_path: Path, batch: Make, drained: Drain) -> None:
    """A segment of this run that left memory is judged by what was written to it."""
    limits = SpoolLimits(segment_bytes=12_000, memory_bytes=10_000, free_bytes=0)
    async with open_spool(tmp_path, 5, limits) as spool:
        for number in range(1, COUNT + 1):
            spool.append(batch(number, events=number))
            await spool.settled()
        first = segments(tmp_path)[0]
        changed(first, record_at(first.read_bytes(), 3)[0] + 30, b"\xff\xfe")

        frames = await drained(spool)

        assert seqs(frames) == [one for one in range(1, COUNT + 1) if one != 4]
        assert (spool.backlog.lost_frames, spool.backlog.damaged_events) == (1, 4)
    assert not segments(tmp_path)


async def test_inspect_knows_what_is_missing(
    tmp_path: Path, batch: Make, limits: SpoolLimits
) -> None:
    """A summary is no damage; frames it names that are not there are said; bodies are checked."""
    await write(tmp_path, batch, limits)
    assert sum(one.damaged_bytes + one.missing_frames for one in inspect(tmp_path)) == 0
    first, second = segments(tmp_path)[:2]
    changed(first, record_at(first.read_bytes(), 1)[0] + 30, b"\xff\xfe")
    changed(second, record_at(second.read_bytes(), 1)[0] + HEADER_BYTES + 9, b"\xff\xfe")

    found = list(inspect(tmp_path))

    assert [one.missing_frames for one in found][:3] == [1, 1, 0]
    assert [one.damaged_stretches for one in found][:3] == [1, 1, 0]
