"""Decompression stops at its limits."""

import gzip
import tracemalloc

import pytest

from monitord.ingest.gzipped import RATIO, RATIO_FREE_BYTES, Corrupt, TooLarge, unzipped


LIMIT = 4 * 1024 * 1024
# Without the time, which would be in the names of the tests.
WHOLE = gzip.compress(b"whole", mtime=0)


def test_members_are_joined() -> None:
    """One member or several, empty ones included, give what they hold."""
    assert unzipped(gzip.compress(b"one"), LIMIT) == b"one"
    assert unzipped(gzip.compress(b"one") + gzip.compress(b"") + gzip.compress(b"2"), 4) == b"one2"


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
