"""Gzip bodies, decompressed only as far as the limit. Bytes in, bytes out."""

from __future__ import annotations

import zlib

from typing import Any


# RFC 1952 members with their header and checksum.
GZIP = 16 + zlib.MAX_WBITS
RATIO = 200
# What is given at once: at the end of a member all that is left of it is copied.
STEP_BYTES = 64 * 1024
# Each takes a state of its own, however little it holds.
MEMBERS = 1_000
# Below this a high ratio is no bomb: a few thousand alike events compress as well.
RATIO_FREE_BYTES = 1024 * 1024


class Corrupt(Exception):
    """The bytes are no complete gzip, or one of far too many members."""


class TooLarge(Exception):
    """What they hold is above the limit, or out of proportion to them."""


def unzipped(data: bytes, limit_bytes: int) -> bytes:
    """
    Return what *data* holds, one gzip member or several.

    Raises Corrupt, or TooLarge as soon as more than *limit_bytes* have come out, or more than
    RATIO times the input beyond RATIO_FREE_BYTES.
    """
    room = min(limit_bytes, max(RATIO_FREE_BYTES, RATIO * len(data)))
    parts: list[bytes] = []
    member, members = zlib.decompressobj(GZIP), 1
    for start in range(0, len(data), STEP_BYTES):
        rest = data[start : start + STEP_BYTES]
        while rest:
            if member.eof:
                member, members = zlib.decompressobj(GZIP), members + 1
            if members > MEMBERS:
                raise Corrupt(f"it has more than {MEMBERS:,} members")
            part = _decompressed(member, rest, room)
            rest = member.unused_data
            room -= len(part)
            parts.append(part)
    if not member.eof:
        raise Corrupt("it ends too early")
    return b"".join(parts)


def _decompressed(member: Any, data: bytes, room: int) -> bytes:
    try:
        part: bytes = member.decompress(data, room + 1)
    except zlib.error as error:
        raise Corrupt(str(error)) from error
    if len(part) > room:
        raise TooLarge
    return part
