"""The filter of a chunk: it knows every id it was made of, and few others."""

import itertools

import numpy as np
import pytest

from hypothesis import given
from hypothesis import strategies as st

from monitord.store.archive.trace_filter import (
    BITS_PER_ID,
    BLOCK_BYTES,
    block_hash,
    filter_of,
    may_hold,
)


def knows(known: bytes, trace: bytes) -> bool:
    """Ask as the reader does: the block by its hash, and then its bits."""
    start = block_hash(trace) % (len(known) // BLOCK_BYTES) * BLOCK_BYTES
    return may_hold(known[start : start + BLOCK_BYTES], trace)


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=200))
def test_every_id_is_known(traces: list[bytes]) -> None:
    """
    No id that is in a chunk is overlooked.
    """
    known = filter_of(np.array(traces, "V16"))

    assert all(knows(known, trace) for trace in traces)


RANDOM = np.random.default_rng(5).bytes(16 * 11_000)
KINDS = {
    "random": [RANDOM[at : at + 16] for at in range(0, len(RANDOM), 16)],
    "counted": [number.to_bytes(16, "big") for number in range(11_000)],
    "64 bits": [bytes(8) + RANDOM[at : at + 8] for at in range(0, 88_000, 8)],
    "by the second": [
        second.to_bytes(4, "big") + bytes(10) + number.to_bytes(2, "big")
        for second, number in itertools.product(range(11), range(1_000))
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_few_others_are_known(kind: str) -> None:
    """
    At ten bits an id, fewer than 2 % of the ids that are not there look so, however ids are made.
    """
    inside, outside = KINDS[kind][:10_000], KINDS[kind][10_000:]
    known = filter_of(np.array(inside, "V16"))

    wrong = sum(knows(known, trace) for trace in outside)

    assert len(known) <= len(inside) * BITS_PER_ID / 8 + BLOCK_BYTES
    assert wrong < 0.02 * len(outside)
