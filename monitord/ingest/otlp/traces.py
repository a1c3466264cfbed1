"""Spans of OTLP. Bytes in, nouns out: a server's span is a request as well."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from monitord.ingest.decoded import Code, Decoded, Refused
from monitord.ingest.limits import (
    ATTRIBUTES,
    NAME_CHARACTERS,
    NEWEST_SECONDS,
    OLDEST_SECONDS,
)
from monitord.ingest.otlp.exceptions import STACK, error_of
from monitord.ingest.otlp.exported import Exported
from monitord.ingest.otlp.malformed import Malformed
from monitord.ingest.otlp.messages import are_few, groups, parsed
from monitord.ingest.otlp.origin import Origin
from monitord.ingest.otlp.server_spans import request_of
from monitord.ingest.otlp.values import KNOWN, attributes_of, check_number, fitted
from monitord.ingest.otlp.wire import RawTraces
from monitord.ingest.settle import settle
from monitord.ingest.texts import cleaned
from monitord.model import ErrorInfo, Span, SpanKind, SpanStatus


KINDS: dict[int, SpanKind] = {
    1: "internal",
    2: "server",
    3: "client",
    4: "producer",
    5: "consumer",
}
STATUS_CODES: dict[int, SpanStatus] = {1: "ok", 2: "error"}
# Of the bytes that say no more than the code.
STATUSES: dict[bytes, SpanStatus] = {b"": "unset", b"\x18\x01": "ok", b"\x18\x02": "error"}

LONGEST_MS = 86_400_000.0
NO_TRACE, NO_SPAN = "0" * 32, "0" * 16
NO_NAME = "unknown"

known = KNOWN.__getitem__


def decode_traces(body: bytes, now: float, limit: int) -> Exported:
    """
    Decode an ExportTraceServiceRequest received at *now*. Its spans are counted from 0.

    Raises Malformed, or TooManyItems above *limit* spans.
    """
    into = Exported()
    spans: list[Span] = []
    places: list[int] = []
    for first, origin, scope in groups(parsed(RawTraces, body), "spans", size, limit, into):
        for index, raw in enumerate(scope.spans, first):
            try:
                spans.append(_span(raw, origin))
                places.append(index)
            except Refused as why:
                into.refuse(index, why)
    if _times_fit(spans, now):
        _take(spans, into)
    else:
        _settle(spans, places, now, into)
    return into


def size(scope: Any) -> int:
    """Return how many spans a scope's group has."""
    return len(scope.spans)


def are_few_spans(body: bytes, most: int) -> bool:
    """Say whether a body has at most so many spans. Raises Malformed."""
    return are_few(parsed(RawTraces, body), "spans", size, most)


def _take(spans: list[Span], into: Decoded) -> None:
    """Take spans that need no mending, and the requests they were."""
    into.spans += spans
    requests = [request_of(span) for span in spans if span.kind == "server"]
    into.requests += [request for request in requests if request is not None]


def _times_fit(spans: list[Span], now: float) -> bool:
    times = [span.time for span in spans] or [now]
    return min(times) >= now - OLDEST_SECONDS and max(times) <= now + NEWEST_SECONDS


def _settle(spans: list[Span], places: list[int], now: float, into: Decoded) -> None:
    for index, span in zip(places, spans, strict=True):
        before = len(into.spans)
        settle(index, span, now, into)
        # The request is that of the span as it was mended: their times are one.
        _take([into.spans.pop() for _ in into.spans[before:]], into)


def _span(raw: Any, origin: Origin) -> Span:
    """Return one span, within all limits but those of its time. Raises Refused, or Malformed."""
    start_ns, end_ns = raw.start_time_unix_nano, raw.end_time_unix_nano
    trace_id, span_id, parent_id = raw.trace_id.hex(), raw.span_id.hex(), raw.parent_span_id.hex()
    name = raw.name
    duration_ms = (end_ns - start_ns) / 1e6
    if (
        len(trace_id) != 32
        or len(span_id) != 16
        or trace_id == NO_TRACE
        or span_id == NO_SPAN
        or not start_ns
        or not 0 <= duration_ms <= LONGEST_MS
        or not 0 < len(name) <= NAME_CHARACTERS
        or "\x00" in name
    ):
        name, duration_ms = _mended(raw)
    attributes = origin.attributes.copy()
    found = raw.attributes
    check_number(found)
    attributes.update(map(known, found))
    events = raw.events
    error = _error(events, attributes) if events else None
    if len(attributes) > ATTRIBUTES:
        attributes = fitted(attributes)
    return Span(
        end_ns / 1e9,
        origin.service,
        trace_id,
        span_id,
        name,
        duration_ms,
        parent_id if len(parent_id) == 16 and parent_id != NO_SPAN else None,
        KINDS.get(raw.kind, "internal"),
        STATUSES.get(raw.status) or _status(raw.status),
        None,
        attributes,
        error,
    )


def _mended(raw: Any) -> tuple[str, float]:
    """Return the name and the duration as they can be taken. Raises Refused where they cannot."""
    for name, found, digits in (
        ("trace_id", raw.trace_id, 32),
        ("span_id", raw.span_id, 16),
    ):
        if 2 * len(found) != digits or not any(found):
            raise Refused(
                Code.INVALID_FIELD,
                f"{name}: expected {digits // 2} bytes that are not all zero, got {len(found)}",
            )
    if len(raw.name) > NAME_CHARACTERS:
        raise Refused(
            Code.TOO_LONG,
            f"name: expected at most {NAME_CHARACTERS} characters, got {len(raw.name)}",
        )
    times = ("start_time_unix_nano", "end_time_unix_nano")
    missing = [name for name in times if not getattr(raw, name)]
    if missing:
        raise Refused(Code.MISSING_FIELD, f"{' and '.join(missing)}: missing, or 0, which is none")
    duration_ms = (raw.end_time_unix_nano - raw.start_time_unix_nano) / 1e6
    if duration_ms > LONGEST_MS:
        raise Refused(
            Code.INVALID_FIELD,
            "start_time_unix_nano: expected at most 24 h before the end,"
            f" got {duration_ms / 3_600_000:.4g} h",
        )
    # A clock that was set back within the span is no reason to lose it.
    return cleaned(raw.name) or NO_NAME, max(duration_ms, 0.0)


def _status(raw: bytes) -> SpanStatus:
    try:
        code = Status.FromString(raw).code
    except DecodeError:
        raise Malformed("a span's status is no Status") from None
    return STATUS_CODES.get(code, "unset")


def _error(events: Any, attributes: dict[str, Any]) -> ErrorInfo | None:
    """
    Return the exception recorded last: those before it were its causes, or were handled.

    A stack that is none of Python's is kept as text among the span's attributes.
    """
    for event in reversed(events):
        if event.name == "exception":
            found = attributes_of(event.attributes)
            error = error_of(found)
            if error is not None and not error.frames and STACK in found:
                attributes[STACK] = found[STACK]
            return error
    return None
