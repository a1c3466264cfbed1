"""Spans as rows of a binary COPY."""

from __future__ import annotations

import math
import struct

from typing import NamedTuple
from uuid import UUID

from monitord.model import Span
from monitord.store.copying import one_us
from monitord.store.fingerprint import fingerprint
from monitord.store.log_rows import JSONB_VERSION, LONG, NONE, sized
from monitord.store.text import json_bytes


COLUMNS = (
    "at",
    "duration_us",
    "span_id",
    "parent_id",
    "error_id",
    "trace_id",
    "span_name_id",
    "status",
    "host_id",
    "attributes",
    "error",
)

# OpenTelemetry's numbers.
STATUSES = {"unset": 0, "ok": 1, "error": 2}

START = struct.Struct(">hiqiqi8s")  # fields; at, duration, span
PARENT = struct.Struct(">i8s")
MIDDLE = struct.Struct(">i16siiihih")  # trace, name, status, host


class SpanRow(NamedTuple):
    """One span ready to be copied; `place` is where in its drain it came."""

    at_us: int
    data: bytes
    place: int
    error_id: int | None


def span_row(span: Span, span_name_id: int, host_id: int, place: int) -> SpanRow:
    """
    Return the row of a span.

    Raises ValueError, TypeError, RecursionError: it holds what cannot be stored.
    """
    if not (math.isfinite(span.time) and 0 <= span.duration_ms <= 86_400_000):
        raise ValueError(f"time is {span.time}, duration_ms {span.duration_ms}")
    at_us = one_us(span.time)
    status = STATUSES.get(span.status, 0)
    error_id = fingerprint(span.error) if span.error else None
    data = b"".join(
        (
            START.pack(
                *(len(COLUMNS), 8, at_us, 8, round(span.duration_ms * 1000)),
                *(8, id_bytes(span.span_id)),
            ),
            PARENT.pack(8, id_bytes(span.parent_id)) if span.parent_id else NONE,
            LONG.pack(8, error_id) if error_id is not None else NONE,
            MIDDLE.pack(16, UUID(span.trace_id).bytes, 4, span_name_id, 2, status, 2, host_id),
            sized(JSONB_VERSION + json_bytes(span.attributes)) if span.attributes else NONE,
            sized(JSONB_VERSION + json_bytes(span.error)) if span.error else NONE,
        )
    )
    return SpanRow(at_us, data, place, error_id)


def id_bytes(span_id: str) -> bytes:
    """Return the 8 bytes of a span id, as PostgreSQL has an int8. Raises ValueError."""
    data = bytes.fromhex(span_id)
    if len(data) != 8:
        raise ValueError(f"expected 16 hexadecimal digits, got {span_id!r}")
    return data


def id_text(number: int) -> str:
    """Return a span id as it was sent, of the number it is stored as."""
    return f"{number & 0xFFFF_FFFF_FFFF_FFFF:016x}"
