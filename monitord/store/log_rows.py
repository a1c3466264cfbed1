"""Log records as rows of a binary COPY, each with the identity its line has on the live stream."""

from __future__ import annotations

import math
import struct

from typing import NamedTuple

from monitord.model import LEVELS, Frame, Log
from monitord.store.copying import NULL, one_us
from monitord.store.fingerprint import fingerprint
from monitord.store.request_rows import trace_bytes
from monitord.store.text import json_bytes, utf8


COLUMNS = (
    "at",
    "writer",
    "seq",
    "error_id",
    "trace_id",
    "logger_id",
    "index",
    "level",
    "host_id",
    "message",
    "fields",
    "error",
)

# A line this long is for a file, not for a page.
LONGEST_MESSAGE_BYTES = 256 * 1024

JSONB_VERSION = b"\1"

NONE = struct.pack(">i", NULL)
START = struct.Struct(">hiqiqiq")  # fields; at, writer, seq
MIDDLE = struct.Struct(">iiiiihih")  # logger, index, level, host
LONG = struct.Struct(">iq")
LENGTH = struct.Struct(">i")


class LogRow(NamedTuple):
    """One record ready to be copied; `place` is where in its drain it came."""

    at_us: int
    data: bytes
    place: int
    error_id: int | None


def log_row(frame: Frame, index: int, logger_id: int, host_id: int, place: int) -> LogRow:
    """
    Return the row of one record of a frame; `index` is its place among the frame's records.

    Raises ValueError, TypeError, RecursionError: it holds what cannot be stored.
    """
    record = frame.batch.logs[index]
    if not math.isfinite(record.time):
        raise ValueError(f"time is {record.time}")
    at_us = one_us(record.time)
    trace = trace_bytes(record.trace_id)
    error_id = fingerprint(record.error) if record.error else None
    data = b"".join(
        (
            START.pack(len(COLUMNS), 8, at_us, 8, frame.writer, 8, frame.seq),
            LONG.pack(8, error_id) if error_id is not None else NONE,
            LENGTH.pack(16) + trace if trace else NONE,
            MIDDLE.pack(4, logger_id, 4, index, 2, severity(record), 2, host_id),
            sized(message_bytes(record.message)),
            sized(JSONB_VERSION + json_bytes(record.fields)) if record.fields else NONE,
            sized(JSONB_VERSION + json_bytes(record.error)) if record.error else NONE,
        )
    )
    return LogRow(at_us, data, place, error_id)


def sized(data: bytes) -> bytes:
    return LENGTH.pack(len(data)) + data


def severity(record: Log) -> int:
    """Return the OpenTelemetry severity number; a level that is no name of ours counts as INFO."""
    return LEVELS.get(record.level, LEVELS["INFO"])


def message_bytes(message: str) -> bytes:
    """Return the message as it is stored: cut, with its length said, when it is too long."""
    data = utf8(message)
    if len(data) <= LONGEST_MESSAGE_BYTES:
        return data
    kept = data[:LONGEST_MESSAGE_BYTES].decode("utf-8", "ignore")
    return f"{kept}… [cut, {len(data)} bytes]".encode()
