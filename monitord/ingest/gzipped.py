"""Gzip bodies, decompressed only as far as the limit. Bytes in, bytes out."""

from __future__ import annotations

import zlib


# RFC 1952 members with their header and checksum.
GZIP = 16 + zlib.MAX_WBITS
RATIO = 200
# Below this a high ratio is no bomb: a few thousand alike events compress as well.
RATIO_FREE_BYTES = 1024 * 1024


class Corrupt(Exception):
    """The bytes are no complete gzip."""


class TooLarge(Exception):
    """What they hold is above the limit, or out of proportion to them."""


def unzipped(data: bytes, limit_bytes: int) -> bytes:
    """
    Return what *data* holds, one gzip member or several.

    Raises Corrupt, or TooLarge as soon as more than *limit_bytes* have come out, or more than
    RATIO times the input beyond RATIO_FREE_BYTES.
    """
    most = min(limit_bytes, max(RATIO_FREE_BYTES, RATIO * len(data)))
    parts: list[bytes] = []
    room = most
    while True:
        member = zlib.decompressobj(GZIP)
        try:
            part = member.decompress(data, room + 1)
        except zlib.error as error:
            raise Corrupt(str(error)) from error
        room -= len(part)
        if room < 0:
            raise TooLarge
        parts.append(part)
        if not member.eof:
            raise Corrupt("it ends too early")
        data = member.unused_data
        if not data:
            return b"".join(parts)
