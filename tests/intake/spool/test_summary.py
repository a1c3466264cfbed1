"""A segment's summary: true of what was written, and trusted where it was written only."""

import dataclasses
import errno
import os
import zlib

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.intake.spool import summary
from monitord.intake.spool.folder import FileSource, Folder
from monitord.intake.spool.journal import Journal
from monitord.intake.spool.record import HEADER_BYTES, encode
from monitord.intake.spool.segment import SEGMENT_HEADER_BYTES, Place, parse_header, walk
from monitord.intake.spool.summary import Contents, find, pack
from monitord.model import Batch, Frame, Log


STAMP = 99


@dataclasses.dataclass(frozen=True)
class Segment:
    """What a summary is bound to."""

    number: int = 3
    writer: int = 7
    stamp: int = STAMP


class Memory:
    """Bytes as a source."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read(self, at: int, length: int) -> bytes:
        return self.data[at : at + length]


def contents(frames: int = 5) -> Contents:
    found = Contents()
    for seq in range(1, frames + 1):
        found.note(7, seq * 2, 100.0 + seq, 10, 200)
    return found


RECORDS = bytes(1_100)
SEALED = RECORDS + pack(contents(), Segment(), len(RECORDS))


def appended(journal: Journal, seqs: list[int]) -> None:
    """Append one frame for each number, as one commit."""
    entries, parts = [], []
    for seq in seqs:
        log = Log(time=1.0, service="shop", level="INFO", message="x" * (seq % 400))
        frame = Frame(7, seq, Batch(float(seq), logs=[log] * (1 + seq % 3)))
        head, body = encode(frame, STAMP)
        parts += [head, body]
        entries.append((frame, len(head) + len(body)))
    journal.append(parts, entries)


def walked(source: FileSource) -> Contents:
    """Return what a walk finds, every body read."""
    found = Contents()
    for place in walk(source):
        assert isinstance(place, Place)
        one = place.header
        found.note(one.writer, one.seq, one.received_at, one.events, one.size)
    return found


def plain(found: Contents) -> tuple[object, ...]:
    seqs = {writer: list(ranges) for writer, ranges in found.seqs.items()}
    return seqs, found.frames, found.events, found.bytes, found.first_at


gaps = st.integers(1, 4)
counts = st.integers(1, 12)
failed_syncs = st.sampled_from([0, 0, 1, 2])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(gaps, counts, failed_syncs), min_size=1, max_size=12))
def test_a_summary_says_what_a_walk_finds(commits: list[tuple[int, int, int]]) -> None:
    """Whatever numbers were left out and whichever writes failed, both agree in each segment."""
    failing = 0

    def sync(descriptor: int) -> None:
        nonlocal failing
        failing -= 1
        if failing >= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with TemporaryDirectory() as name, Folder(Path(name)) as folder:
        journal = Journal(folder, 1, 7, STAMP, 3_000, sync)
        kept, seq = set[int](), 0
        for gap, count, faults in commits:
            seqs = list(range(seq + gap, seq + gap + count))
            seq = seqs[-1]
            # After one failed sync the commit goes to a new segment; after two it fails.
            failing = faults
            try:
                appended(journal, seqs)
                kept |= set(seqs)
            except OSError:
                assert faults == 2
            failing = 0
        journal.seal()

        said = set[int]()
        for one in folder.names(".seg"):
            with (Path(name) / one).open("rb") as file:
                source = FileSource(file.fileno())
                header = parse_header(source.read(0, SEGMENT_HEADER_BYTES))
                assert header is not None
                found = find(source, header)
                if found is not None:
                    source.size = found[1]
                    assert plain(found[0]) == plain(walked(source))
                said |= {n for a, b in walked(source).seqs.get(7, ()) for n in range(a, b + 1)}
        assert said == kept


def test_it_comes_back_as_it_was() -> None:
    """Numbers by run, frames, events, bytes, age, and where the records end."""
    found = find(Memory(SEALED), Segment())

    assert found is not None
    assert plain(found[0]) == ({7: [(n, n) for n in (2, 4, 6, 8, 10)]}, 5, 50, 1_000, 101.0)
    assert found[1] == len(RECORDS)


@given(st.integers(len(RECORDS), len(SEALED) - 1), st.integers(0, 7))
def test_a_changed_bit_is_seen(at: int, bit: int) -> None:
    """No bit of a summary can change unseen."""
    data = bytearray(SEALED)
    data[at] ^= 1 << bit

    assert find(Memory(bytes(data)), Segment()) is None


@given(st.integers(0, len(SEALED)), st.binary(max_size=40))
def test_cut_or_followed_it_is_none(end: int, more: bytes) -> None:
    """Of a summary that was half written, or that something was written behind, nothing is used."""
    data = SEALED[:end] + more

    assert (find(Memory(data), Segment()) is None) is (data != SEALED)


@given(st.binary(max_size=300))
def test_noise_is_no_summary(noise: bytes) -> None:
    """No end of a file is mistaken for one, nor does any length in it lead out of the file."""
    assert find(Memory(noise), Segment()) is None
    assert find(Memory(noise + summary.LENGTH.pack(len(noise)) + bytes(4)), Segment()) is None


@pytest.mark.parametrize("other", [Segment(number=4), Segment(writer=8), Segment(stamp=98)])
def test_it_belongs_to_one_segment(other: Segment) -> None:
    """Copied behind another segment, it is none, whichever of the three is not its own."""
    assert find(Memory(SEALED), other) is None


def test_it_belongs_to_one_length() -> None:
    """Where bytes before it were taken out or put in, it does not speak for what is left."""
    assert find(Memory(SEALED[100:]), Segment()) is None
    assert find(Memory(bytes(100) + SEALED), Segment()) is None


@pytest.mark.parametrize(
    "lie",
    [
        {"seqs": {7: [(1, 10**18)]}},
        {"seqs": {7: [(10, 1)]}},
        {"bytes": 5_000},
        {"bytes": HEADER_BYTES * 4},
        {"events": -1},
        {"seqs": "all"},
    ],
)
def test_what_cannot_be_is_not_believed(lie: dict[str, object]) -> None:
    """More frames than fit, a stretch that ends before it begins: such a segment is walked."""
    body = msgspec.msgpack.decode(SEALED[len(RECORDS) + 8 : -summary.TAIL_BYTES])
    data = summary.MARK + msgspec.msgpack.encode({**body, **lie})
    data += summary.LENGTH.pack(len(data) + summary.TAIL_BYTES)
    data += summary.CRC.pack(zlib.crc32(data))

    assert find(Memory(RECORDS + data), Segment()) is None


def test_a_field_of_a_later_version_is_passed_over() -> None:
    """A summary may grow: what is not known of it does no harm."""
    body = msgspec.msgpack.decode(SEALED[len(RECORDS) + 8 : -summary.TAIL_BYTES])
    data = summary.MARK + msgspec.msgpack.encode({**body, "later": [1]})
    data += summary.LENGTH.pack(len(data) + summary.TAIL_BYTES)
    data += summary.CRC.pack(zlib.crc32(data))

    found = find(Memory(RECORDS + data), Segment())

    assert found is not None
    assert found[0].frames == 5


def test_a_summary_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    """The commit behind it succeeds, in the next segment; of the summary nothing is left."""
    calls = 0

    def sync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Folder(tmp_path / "spool") as folder:
        journal = Journal(folder, 1, 7, STAMP, 300, sync)
        appended(journal, [1])
        size = folder.size_of(journal.active)
        appended(journal, [500])

        assert folder.size_of(folder.names(".seg")[0]) == size
        assert len(folder.names(".seg")) == 2
