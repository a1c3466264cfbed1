"""The binary COPY format: what stands around rows, and how numbers and moments are written."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from numpy.typing import NDArray


# Signature, flags, length of the header's extension; a row of -1 fields ends the data.
# https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = -1

# Rows worked on at a stretch, about 2 ms; between stretches the loop turns and sockets are read.
STRETCH = 4_000

# PostgreSQL counts microseconds from 2000-01-01 UTC.
EPOCH_SECONDS = 946_684_800
DAY_US = 86_400_000_000


T = TypeVar("T")


def stretches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the rows, a stretch at a time."""
    for start in range(0, len(rows), STRETCH):
        yield rows[start : start + STRETCH]


def to_us(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return moments in Unix seconds as PostgreSQL's microseconds; not finite ones as zero."""
    finite = np.where(np.isfinite(seconds), seconds, EPOCH_SECONDS)
    clipped = np.clip(finite, 0, 32_503_680_000)
    return np.rint((clipped - EPOCH_SECONDS) * 1e6).astype(np.int64)


def one_us(seconds: float) -> int:
    """Return one moment in Unix seconds as PostgreSQL's microseconds."""
    return round((seconds - EPOCH_SECONDS) * 1e6)


async def framed(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yield a complete COPY stream around rows, letting the loop turn between its parts."""
    yield HEADER
    for part in parts:
        yield part
        await asyncio.sleep(0)
    yield TRAILER
