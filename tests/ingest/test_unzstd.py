"""Zstandard stops at its limits too."""

import os
import tracemalloc

import pytest
import zstandard

from monitord.ingest.gzipped import RATIO_FREE_BYTES, Corrupt, TooLarge
from monitord.ingest.unzstd import unzstd


LIMIT = 4 * 1024 * 1024
WHOLE = zstandard.compress(b"whole")


def test_frames_are_joined() -> None:
    """One frame or several, empty ones included, give what they hold."""
    assert unzstd(WHOLE, LIMIT) == b"whole"
    assert unzstd(WHOLE + zstandard.compress(b"") + WHOLE, 10) == b"wholewhole"
    noise = os.urandom(100_000)
    assert unzstd(zstandard.compress(noise) * 2, LIMIT) == noise * 2


def test_limit_is_exact() -> None:
    """The limit itself fits; one byte more does not, in one frame or over two."""
    assert unzstd(zstandard.compress(b"x" * 1_000), 1_000) == b"x" * 1_000
    with pytest.raises(TooLarge):
        unzstd(zstandard.compress(b"x" * 1_001), 1_000)
    with pytest.raises(TooLarge):
        unzstd(zstandard.compress(b"x" * 1_000) + zstandard.compress(b"x"), 1_000)


def test_a_bomb_costs_little() -> None:
    """A gibibyte of zeros is refused after some megabytes of it."""
    bomb = zstandard.compress(bytes(2**20)) * 1_024
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            unzstd(bomb, LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * 2**20


def test_out_of_proportion() -> None:
    """A frame that blows up is refused below the limit, once it is large."""
    with pytest.raises(TooLarge):
        unzstd(zstandard.compress(bytes(2 * RATIO_FREE_BYTES)), LIMIT)


@pytest.mark.parametrize("data", [b"", b"\x28", WHOLE[:-1], b"nonsense", WHOLE + b"rest"])
def test_corrupt(data: bytes) -> None:
    """What is no whole frame is corrupt, trailing bytes included."""
    with pytest.raises(Corrupt):
        unzstd(data, LIMIT)


def test_a_window_above_what_everybody_has() -> None:
    """A frame that asks for more memory than decoders need to have is refused."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = frame.compress(b"x" * 1_000) + frame.flush()
    with pytest.raises(Corrupt):
        unzstd(data, LIMIT)
