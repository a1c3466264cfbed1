"""
The packed columns of rollups and pushed histograms.

A packed column is a zstd frame over arrays of little-endian numbers laid end to end, all of the
same length n, whose types are one of the literals below; n is the size over the sum of the widths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import zstandard

from numpy.typing import NDArray


Array: TypeAlias = NDArray[Any]
Layout: TypeAlias = tuple[str, ...]

LEVEL = 1

# bucket of the latency histogram, count; ascending by bucket
TOTAL_CELLS: Layout = ("<u2", "<u4")

# endpoint, bucket, count; ascending by endpoint, then bucket
CELLS: Layout = ("<u4", "<u2", "<u4")

# endpoint, status, count; ascending by endpoint, then status
STATUSES: Layout = ("<u4", "<u2", "<u4")

# endpoint, count, errors, client errors, sum us, max us; ascending by endpoint
TALLIES: Layout = ("<u4", "<u4", "<u4", "<u4", "<u8", "<u8")

# p50 ms, p95 ms, p99 ms; one row per row of the tallies beside it
QUANTILES: Layout = ("<f4", "<f4", "<f4")

# key of `signed_index`, count; ascending by key, which is ascending by value
VALUES: Layout = ("<i4", "<u4")


def pack(layout: Layout, columns: Sequence[Array]) -> bytes:
    """Return the packed form of columns of equal length."""
    arrays = zip(layout, columns, strict=True)
    data = b"".join(np.ascontiguousarray(each, dtype=kind).tobytes() for kind, each in arrays)
    return zstandard.ZstdCompressor(level=LEVEL).compress(data)


def unpack_all(layout: Layout, packed: Sequence[bytes]) -> tuple[NDArray[np.int64], list[Array]]:
    """
    Return how long each of many packed forms is, and their columns laid end to end.

    Raises ValueError: the bytes are not of this layout.
    """
    decompress = zstandard.ZstdDecompressor().decompress
    widths = [np.dtype(kind).itemsize for kind in layout]
    size = sum(widths)
    try:
        parts = [decompress(each) for each in packed]
    except zstandard.ZstdError as error:
        raise ValueError(f"packed column: {error}") from error
    if any(len(part) % size for part in parts):
        raise ValueError(f"packed column: its bytes do not fit {layout}")
    lengths = [len(part) // size for part in parts]
    columns, offset = [], 0
    for kind, width in zip(layout, widths, strict=True):
        cut = (
            part[n * offset : n * (offset + width)] for part, n in zip(parts, lengths, strict=True)
        )
        columns.append(np.frombuffer(b"".join(cut), kind))
        offset += width
    return np.array(lengths, np.int64), columns


def unpack(layout: Layout, packed: bytes) -> list[Array]:
    """
    Return the columns of a packed form, read-only.

    Raises ValueError: the bytes are not of this layout.
    """
    return unpack_all(layout, (packed,))[1]
