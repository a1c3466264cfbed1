"""A walk over damaged bytes: what was not touched is found, once, in order; it always ends."""

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.intake.spool.record import encode
from monitord.intake.spool.segment import Damage, Place, pack_header, walk
from monitord.model import Batch, Frame, Log


STAMP = 99


class Memory:
    """Bytes as a source."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read(self, at: int, length: int) -> bytes:
        return self.data[at : at + length]


def record(seq: int, length: int) -> bytes:
    log = Log(time=1.0, service="shop", level="INFO", message="x" * length)
    return b"".join(encode(Frame(7, seq, Batch(1.0, logs=[log])), STAMP))


def segment(lengths: list[int]) -> tuple[bytes, dict[int, tuple[int, int]]]:
    """Return a segment's bytes, and where each of its records is."""
    data, spans = pack_header(1, 7, STAMP, 1.0), {}
    for seq, length in enumerate(lengths, 1):
        start = len(data)
        data += record(seq, length)
        spans[seq] = (start, len(data))
    return data, spans


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, bytes, dict[int, tuple[int, int]], set[int]]:
    """Return a segment, the same after one accident, its records, and those left whole."""
    data, spans = segment(draw(st.lists(st.integers(0, 400), min_size=1, max_size=8)))
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, len(data)))
    put = draw(
        st.one_of(
            st.binary(min_size=end - start, max_size=end - start),
            st.just(bytes(end - start)),
            st.just(b""),
            st.binary(max_size=300),
            st.just(data[: draw(st.integers(0, 300))]),
        )
    )
    if draw(st.booleans()):
        after, whole = data[:start] + put, {s for s, span in spans.items() if span[1] <= start}
    else:
        after = data[:start] + put + data[end:]
        whole = {s for s, span in spans.items() if span[1] <= start or span[0] >= end}
    return data, after, spans, whole


@settings(max_examples=500, deadline=None)
@given(damaged())
def test_whole_records_survive_any_accident(
    accident: tuple[bytes, bytes, dict[int, tuple[int, int]], set[int]],
) -> None:
    """Flipped, zeroed, cut out, put in or cut off: records before and after are read back."""
    data, after, spans, whole = accident

    found = list(walk(Memory(after)))

    places = [one for one in found if isinstance(one, Place)]
    seqs = [one.header.seq for one in places]
    # What was put in may be a copy of records; the spool hands out the first of each.
    assert [seq for seq in dict.fromkeys(seqs) if seq in whole] == sorted(whole)
    for one in places:
        start, end = spans[one.header.seq]
        assert after[one.at : one.at + end - start] == data[start:end]


@settings(max_examples=300, deadline=None)
@given(damaged(), st.booleans())
def test_every_byte_is_accounted_for(
    accident: tuple[bytes, bytes, dict[int, tuple[int, int]], set[int]], bodies: bool
) -> None:
    """Records and damage lie end to end: nothing is passed over in silence."""
    _, after, _, _ = accident
    found = list(walk(Memory(after), bodies=bodies))

    ends = [one.at + one.header.size if isinstance(one, Place) else one.end for one in found]
    starts = [one.at for one in found]

    assert starts[1:] == ends[:-1]
    assert all(start < end for start, end in zip(starts, ends, strict=True))
    assert not found or ends[-1] == len(after)


def test_a_short_body_does_not_swallow_the_records_behind() -> None:
    """Where a body lost as many bytes as the next record has, that record is found all the same."""
    data, spans = segment([600, 20, 20])
    size = spans[2][1] - spans[2][0]
    after = data[: spans[1][1] - size] + data[spans[1][1] :]

    found = list(walk(Memory(after)))

    assert [type(one) for one in found] == [Damage, Place, Place]
    assert [one.header.seq for one in found if isinstance(one, Place)] == [2, 3]


def test_a_record_inside_a_text_is_no_record() -> None:
    """What a sender writes into a message is never taken for a frame, however damage lies."""
    forged = b"".join(encode(Frame(7, 500, Batch(1.0)), STAMP + 1))
    data, spans = segment([10, 10])
    after = data[: spans[1][0] + 20] + forged + data[spans[2][0] :]

    seqs = [one.header.seq for one in walk(Memory(after)) if isinstance(one, Place)]

    assert seqs == [2]


def test_an_unfinished_end_is_torn() -> None:
    """A started record at the end, and zeros there, are what a power cut leaves; noise is not."""
    data, spans = segment([50, 50])
    start = spans[2][0]

    for after, torn in [
        (data[: start + 30], True),
        (data[: start + 4], True),
        (data[:-1], True),
        (data[:start] + bytes(5_000), True),
        (data[:start] + b"noise", False),
        (data[:-1] + b"!", False),
    ]:
        last = list(walk(Memory(after)))[-1]

        assert isinstance(last, Damage)
        assert last.torn is torn, after[start:][:20]
