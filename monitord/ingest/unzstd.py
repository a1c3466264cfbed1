"""Zstandard bodies, decompressed only as far as the limit. Bytes in, bytes out."""

from __future__ import annotations

import zstandard

from monitord.ingest.gzipped import RATIO, RATIO_FREE_BYTES, Corrupt, TooLarge


# What RFC 8878 asks every decoder to have; some ask for gigabytes.
WINDOW_BYTES = 8 * 1024 * 1024
# What is given at once, since what comes out cannot be bounded: four bytes may hold 128 KiB.
STEP_BYTES = 256


def unzstd(data: bytes, limit_bytes: int) -> bytes:
    """
    Return what *data* holds, one frame or several.

    Raises Corrupt, or TooLarge as soon as more than *limit_bytes* have come out, or more than
    RATIO times the input beyond RATIO_FREE_BYTES.
    """
    room = min(limit_bytes, max(RATIO_FREE_BYTES, RATIO * len(data)))
    context = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    parts: list[bytes] = []
    frame = context.decompressobj()
    for start in range(0, len(data), STEP_BYTES):
        rest = data[start : start + STEP_BYTES]
        while rest:
            if frame.eof:
                frame = context.decompressobj()
            try:
                part = frame.decompress(rest)
            except zstandard.ZstdError as error:
                raise Corrupt(str(error)) from error
            rest = frame.unused_data
            room -= len(part)
            if room < 0:
                raise TooLarge
            parts.append(part)
    if not frame.eof:
        raise Corrupt("it ends too early")
    return b"".join(parts)
