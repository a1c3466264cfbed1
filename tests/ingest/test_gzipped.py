"""Decompression stops at its limits."""

import gzip
import tracemalloc

from random import Random

import pytest

from monitord.ingest.gzipped import (
    MEMBERS,
    RATIO,
    RATIO_FREE_BYTES,
    STEP_BYTES,
    Corrupt,
    TooLarge,
    unzipped,
)


LIMIT = 4 * 1024 * 1024
# Without the time, which would be in the names of the tests.
WHOLE = gzip.compress(b"whole", mtime=0)


def test_members_are_joined() -> None:
    """One member or several, empty ones included, give what they hold."""
    assert unzipped(gzip.compress(b"one"), LIMIT) == b"one"
    assert unzipped(gzip.compress(b"one") + gzip.compress(b"") + gzip.compress(b"2"), 4) == b"one2"


def test_members_end_anywhere() -> None:
    """Members that end within a step, at its end or after it give what they hold."""
    random = bytes(Random(7).randbytes(3 * STEP_BYTES))
    first = gzip.compress(random, 0)
    for shift in range(30):
        cut = STEP_BYTES + shift - 28
        data = gzip.compress(random[:cut], 0) + first + WHOLE

        assert unzipped(data, LIMIT) == random[:cut] + random + b"whole"


def test_members_are_bounded() -> None:
    """Each member costs a state of its own, however little it holds: there is a limit to them."""
    empty = gzip.compress(b"", mtime=0)

    assert unzipped(empty * MEMBERS, LIMIT) == b""
    with pytest.raises(Corrupt, match=f"more than {MEMBERS:,} members"):
        unzipped(empty * (MEMBERS + 1), LIMIT)


def test_limit_is_exact() -> None:
    """The limit itself fits; one byte more does not, in one member or over two."""
    assert unzipped(gzip.compress(b"x" * 1_000), 1_000) == b"x" * 1_000
    with pytest.raises(TooLarge):
        unzipped(gzip.compress(b"x" * 1_001), 1_000)
    with pytest.raises(TooLarge):
        unzipped(gzip.compress(b"x" * 1_000) + gzip.compress(b"x"), 1_000)


def test_a_bomb_costs_little(bomb: bytes) -> None:
    """A gibibyte of zeros is refused after a few megabytes of it."""
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            unzipped(bomb, LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * LIMIT


def test_ratio() -> None:
    """Beyond a mebibyte, what is too good to be true is refused below the limit too."""
    bomb = gzip.compress(bytes(2 * RATIO_FREE_BYTES))
    assert len(bomb) * RATIO < 2 * RATIO_FREE_BYTES

    with pytest.raises(TooLarge):
        unzipped(bomb, LIMIT)
    assert len(unzipped(gzip.compress(bytes(RATIO_FREE_BYTES)), LIMIT)) == RATIO_FREE_BYTES


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain text",
        WHOLE[:-1],
        WHOLE[:5],
        WHOLE[:-8] + bytes(8),
        WHOLE + b"trailing",
        b"\x1f\x8b" + bytes(100),
    ],
)
def test_corrupt(data: bytes) -> None:
    """What is no complete gzip is one kind of mistake, whatever is wrong with it."""
    with pytest.raises(Corrupt):
        unzipped(data, LIMIT)
