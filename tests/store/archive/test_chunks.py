"""The format of a chunk: whatever goes in comes out, and what is damaged is said to be."""

import numpy as np
import pytest

from hypothesis import given
from hypothesis import strategies as st

from monitord.store.archive.chunks import DamagedChunk, decoded, encoded
from monitord.store.archive.columns import Requests


def whole(bits: int) -> st.SearchStrategy[int]:
    """Whole numbers of a width, its ends among them."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    return st.one_of(st.sampled_from([low, -1, 0, 1, high]), st.integers(low, high))


ROWS = st.lists(
    st.tuples(
        whole(64),
        whole(64),
        whole(16),
        whole(32),
        st.none() | whole(64),
        st.none() | st.binary(min_size=16, max_size=16),
    ),
    min_size=1,
    max_size=50,
)
Row = tuple[int, int, int, int, int | None, bytes | None]


def columns(rows: list[Row]) -> Requests:
    at, duration, status, endpoint, errors, traces = zip(*rows, strict=True)
    return Requests(
        at_us=np.array(at, np.int64),
        duration_us=np.array(duration, np.int64),
        status=np.array(status, np.int64),
        endpoint_id=np.array(endpoint, np.int64),
        error_id=np.array([error or 0 for error in errors], np.int64),
        failed=np.array([error is not None for error in errors]),
        trace=np.array([trace or bytes(16) for trace in traces], "V16"),
        has_trace=np.array([trace is not None for trace in traces]),
    )


def same(one: Requests, other: Requests) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in Requests.__slots__
    )


@given(ROWS)
def test_what_goes_in_comes_out(rows: list[Row]) -> None:
    """
    Decoding gives every column as it was: nulls, disorder in time and the widest numbers included.
    """
    requests = columns(rows)

    assert same(decoded(len(rows), *encoded(requests)), requests)


@given(ROWS)
def test_numbers_alone_are_everything_but_the_traces(rows: list[Row]) -> None:
    """
    Without the blob of traces the other columns are the same, and no row has a trace.
    """
    numbers, _ = encoded(columns(rows))

    without = columns([(*row[:5], None) for row in rows])
    assert same(decoded(len(rows), numbers, None), without)


REQUESTS = columns([(at, 5, 200, 1, at % 3 or None, bytes([at]) * 16) for at in range(40)])


def outcome(numbers: bytes, traces: bytes) -> str:
    """Say what reading REQUESTS from these blobs comes to."""
    try:
        found = decoded(len(REQUESTS), numbers, traces)
    except DamagedChunk:
        return "refused"
    return "read" if same(found, REQUESTS) else "misread"


def test_no_bit_that_turned_over_gives_other_rows() -> None:
    """
    With any one bit another, a chunk is refused; but for a bit that zstd leaves unused.
    """
    blobs = encoded(REQUESTS)
    outcomes = []
    for which, place in [(one, at) for one in (0, 1) for at in range(len(blobs[one]) * 8)]:
        flipped = bytearray(blobs[which])
        flipped[place // 8] ^= 1 << place % 8
        outcomes.append(
            outcome(*(bytes(flipped) if one == which else blobs[one] for one in (0, 1)))
        )

    assert "misread" not in outcomes
    assert outcomes.count("read") <= 2


def test_chunk_that_is_cut_or_goes_on_is_refused() -> None:
    """
    A blob that ends early, or has more after its end, is refused.
    """
    numbers, traces = encoded(REQUESTS)
    assert traces is not None

    cut = {outcome(numbers[:size], traces) for size in range(len(numbers))}
    cut |= {outcome(numbers, traces[:size]) for size in range(len(traces))}

    assert cut == {"refused"}
    assert outcome(numbers + b"\0", traces) == outcome(numbers, traces + b"\0") == "refused"


@pytest.mark.parametrize("count", [0, 1, 39, 41, 1_000_000])
def test_count_that_does_not_fit_is_refused(count: int) -> None:
    """
    A chunk whose count is not that of its blobs gives no rows.
    """
    with pytest.raises(DamagedChunk, match="not that of its rows"):
        decoded(count, *encoded(REQUESTS))


def test_format_of_another_version_is_named() -> None:
    """
    A chunk written by a newer monitord is refused by the number of its format.
    """
    numbers, traces = encoded(REQUESTS)

    with pytest.raises(DamagedChunk, match="its format is 02, expected 01"):
        decoded(len(REQUESTS), b"\x02" + numbers[1:], traces)
