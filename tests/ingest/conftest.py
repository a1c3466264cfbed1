"""A sink that remembers, with room or without; and a bomb."""

from __future__ import annotations

import zlib

import pytest

from monitord.errors import NotTaken
from monitord.model import Batch
from monitord.telemetry import Telemetry


class Recorder:
    """A sink of a given room; `batches` is what it took."""

    def __init__(self, room: int = 10**9) -> None:
        self.room = room
        self.batches: list[Batch] = []
        self.crowded = False

    @property
    def events(self) -> int:
        return sum(map(len, self.batches))

    def check_room(self) -> None:
        if self.events >= self.room:
            raise NotTaken("the spool is full", 2, crowded=self.crowded)

    def offer(self, batch: Batch) -> bool:
        if self.events + len(batch) > self.room:
            return False
        self.batches.append(batch)
        return True

    async def deliver(self, batch: Batch) -> None:
        if not self.offer(batch):
            raise NotTaken("the spool is full", 2, crowded=self.crowded)


@pytest.fixture
def sink() -> Recorder:
    return Recorder()


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture(scope="session")
def bomb() -> bytes:
    """A gibibyte of zeros, gzipped: a megabyte compressed once, repeated as it may be."""
    squeezed = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    first, second = (
        squeezed.compress(bytes(2**20)) + squeezed.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    unpacked = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(first + second * 3)
    assert unpacked == bytes(4 * 2**20)
    return first + second * 1_023
