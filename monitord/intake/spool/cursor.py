"""What is done already, kept across restarts. Losing it costs repeats, which the store skips."""

from __future__ import annotations

import os
import struct
import zlib

from collections.abc import Iterable, Mapping

import msgspec

from msgspec import Struct

from monitord.intake.spool.folder import FileSource, Folder
from monitord.intake.spool.ranges import Ranges


NAME = "cursor"
MAGIC = b"\xc1MNTCUR\xc1"
VERSION = 1
FIELDS = struct.Struct("<8sHHI")
CRC = struct.Struct("<I")
LIMIT_BYTES = 16 * 1024 * 1024


class WriterDone(Struct, array_like=True):
    """The stretches of one run's numbers that are done; the first is the finished prefix."""

    writer: int
    ranges: list[tuple[int, int]]


class Cursor(Struct):
    """`last_writer` is the highest number a run has had, whether anything of it is left or not."""

    last_writer: int = 0
    done: list[WriterDone] = []

    def ranges(self) -> dict[int, Ranges]:
        """Return what is done, by run."""
        return {one.writer: Ranges(one.ranges) for one in self.done}


def cursor_of(last_writer: int, done: Mapping[int, Ranges], writers: Iterable[int]) -> Cursor:
    """Return the cursor for the runs whose segments are still there."""
    kept = sorted(set(writers) & done.keys())
    return Cursor(last_writer, [WriterDone(one, list(done[one])) for one in kept])


def pack(cursor: Cursor) -> bytes:
    """Return the file's bytes."""
    body = msgspec.msgpack.encode(cursor)
    data = FIELDS.pack(MAGIC, VERSION, FIELDS.size, len(body)) + body
    return data + CRC.pack(zlib.crc32(data))


def parse(data: bytes) -> Cursor | None:
    """Return the cursor; None when the bytes are not whole and sound."""
    if len(data) < FIELDS.size + CRC.size or not data.startswith(MAGIC):
        return None
    _, version, _, length = FIELDS.unpack_from(data)
    end = FIELDS.size + length
    if version != VERSION or len(data) != end + CRC.size:
        return None
    if CRC.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        return None
    try:
        return msgspec.msgpack.decode(data[FIELDS.size : end], type=Cursor)
    except msgspec.MsgspecError:
        return None


def load(folder: Folder) -> Cursor | None:
    """
    Return the folder's cursor; an empty one where there is none yet, None where it is unusable.
    """
    try:
        descriptor = folder.open(NAME)
    except FileNotFoundError:
        return Cursor()
    except OSError:
        return None
    try:
        source = FileSource(descriptor)
        return parse(source.read(0, LIMIT_BYTES)) if source.size <= LIMIT_BYTES else None
    except OSError:
        return None
    finally:
        os.close(descriptor)
