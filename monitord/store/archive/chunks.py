"""
The format of a chunk: requests of one host as two blobs, and back. Pure; no database here.

A blob is one byte, the version of the format, and a zstd frame with a checksum. Within it a column
of n numbers lies in planes: the lowest byte of every number, then the next byte of every number,
and so on. So bytes that are alike are neighbours.

`numbers` holds, one after the other, with f the rows that failed:

    at            i8  n   difference to the row before, the first to 0; PostgreSQL's microseconds
    duration_us   i8  n
    status        i2  n
    endpoint_id   i4  n
    failed        a bit a row, the first row in the highest bit, filled up to whole bytes
    has_trace     likewise
    error_id      i8  f   of the rows that failed

`traces` holds the 16 bytes of every trace id in planes, of the rows that have one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import zstandard

from numpy.typing import NDArray

from monitord.store.archive.columns import Requests
from monitord.store.request_rows import Flags
from monitord.store.sums import Ints


VERSION = b"\x01"
LEVEL = 1

# What a row takes in `numbers` before compression; the error of a row that failed comes on top.
WIDTHS = {"at_us": 8, "duration_us": 8, "status": 2, "endpoint_id": 4}
ERROR_WIDTH = 8
TRACE_WIDTH = 16


class DamagedChunk(ValueError):
    """A blob is not what was written, or was written by a newer monitord."""


def encoded(requests: Requests) -> tuple[bytes, bytes | None]:
    """Return the blobs `numbers` and `traces` of requests, in their order."""
    columns = {name: getattr(requests, name) for name in WIDTHS}
    columns["at_us"] = np.diff(requests.at_us, prepend=0)
    numbers = [planes(columns[name], width) for name, width in WIDTHS.items()]
    numbers += [np.packbits(flags).tobytes() for flags in (requests.failed, requests.has_trace)]
    numbers.append(planes(requests.error_id[requests.failed], ERROR_WIDTH))
    traces = requests.trace[requests.has_trace]
    by_byte = traces.view(np.uint8).reshape(-1, TRACE_WIDTH).T.tobytes()
    return compressed(b"".join(numbers)), compressed(by_byte) if by_byte else None


def decoded(count: int, numbers: bytes, traces: bytes | None) -> Requests:
    """
    Return the requests of a chunk. Where `traces` is none, they have no trace ids.

    Raises DamagedChunk.
    """
    flag_bytes = (count + 7) // 8
    fixed = count * sum(WIDTHS.values()) + 2 * flag_bytes
    data = Parts(decompressed(numbers, fixed + count * ERROR_WIDTH))
    columns = {name: data.numbers(count, width) for name, width in WIDTHS.items()}
    columns["at_us"] = np.cumsum(columns["at_us"])
    failed, has_trace = data.flags(count), data.flags(count)
    error_id = np.zeros(count, np.int64)
    error_id[failed] = data.numbers(int(failed.sum()), ERROR_WIDTH)
    data.end()
    trace = np.zeros(count, "V16")
    if traces is None:
        has_trace = np.zeros(count, "?")
    else:
        trace[has_trace] = decoded_traces(int(has_trace.sum()), traces)
    return Requests(**columns, error_id=error_id, failed=failed, trace=trace, has_trace=has_trace)


def decoded_traces(count: int, traces: bytes) -> NDArray[np.void]:
    data = Parts(decompressed(traces, count * TRACE_WIDTH))
    raw = np.frombuffer(data.bytes(count * TRACE_WIDTH), np.uint8)
    data.end()
    return np.ascontiguousarray(raw.reshape(TRACE_WIDTH, count).T).view("V16").reshape(count)


def planes(column: NDArray[Any], width: int) -> bytes:
    """Return a column of whole numbers byte by byte, lowest first."""
    raw = column.astype(f"<i{width}").view(np.uint8)
    return raw.reshape(-1, width).T.tobytes()


def compressed(data: bytes) -> bytes:
    frame = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(data)
    return VERSION + frame


def decompressed(blob: bytes, most: int) -> bytes:
    """
    Return what a blob holds, at most so many bytes.

    Raises DamagedChunk.
    """
    if blob[:1] != VERSION:
        raise DamagedChunk(f"its format is {blob[:1].hex() or 'missing'}, expected {VERSION.hex()}")
    try:
        # A damaged header may promise more than memory holds.
        if not 0 <= zstandard.frame_content_size(blob[1:]) <= most:
            raise DamagedChunk("its size is not that of its rows")
        return zstandard.ZstdDecompressor().decompress(blob[1:], allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DamagedChunk(str(error)) from error


class Parts:
    """What a blob holds, taken off from its beginning; DamagedChunk says that it is too short."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def bytes(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            raise DamagedChunk("its size is not that of its rows")
        self._at += size
        return part

    def numbers(self, count: int, width: int) -> Ints:
        raw = np.frombuffer(self.bytes(count * width), np.uint8).reshape(width, count)
        return np.ascontiguousarray(raw.T).view(f"<i{width}").reshape(count).astype(np.int64)

    def flags(self, count: int) -> Flags:
        raw = np.frombuffer(self.bytes((count + 7) // 8), np.uint8)
        return np.unpackbits(raw, count=count).view(np.bool_)

    def end(self) -> None:
        if self._at != len(self._data):
            raise DamagedChunk("its size is not that of its rows")
