"""
The rules that types alone do not say, applied: a method becomes OTHER, a level one of five, a time
is moved into range, a long text is shortened; what cannot be mended is refused.
"""

from __future__ import annotations

import math

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from monitord.ingest.decoded import Code, Decoded, Refused
from monitord.ingest.envelope import Envelope
from monitord.ingest.fits import (
    HEX,
    INT4,
    annotations_fit,
    distribution_fits,
    error_fits,
    logs_fit,
    metrics_fit,
    requests_fit,
    spans_fit,
)
from monitord.ingest.limits import (
    ATTRIBUTES,
    BUCKETS,
    ERROR_MESSAGE_BYTES,
    ID_CHARACTERS,
    KEY_CHARACTERS,
    MESSAGE_BYTES,
    METRIC_NAME_CHARACTERS,
    NAME_CHARACTERS,
    NEWEST_SECONDS,
    OLDEST_SECONDS,
    STACK_FRAMES,
    UNIT_CHARACTERS,
)
from monitord.ingest.texts import bounded_fields, fields_fit, shortened
from monitord.model import (
    LEVELS,
    METHODS,
    Annotation,
    ErrorInfo,
    Event,
    Log,
    Metric,
    Request,
    Span,
    StackFrame,
)


# What one line may be.
Item = Event | Envelope

# What was pushed always has a service: what has none was scraped.
NO_SERVICE = "unknown"

# What other systems call the five levels.
LEVEL_NAMES = {
    **{name: name for name in LEVELS},
    "TRACE": "DEBUG",
    "VERBOSE": "DEBUG",
    "NOTICE": "INFO",
    "SUCCESS": "INFO",
    "INFORMATION": "INFO",
    "INFORMATIONAL": "INFO",
    "WARN": "WARNING",
    "ERR": "ERROR",
    "EXCEPTION": "ERROR",
    "CRIT": "CRITICAL",
    "FATAL": "CRITICAL",
    "ALERT": "CRITICAL",
    "EMERG": "CRITICAL",
    "EMERGENCY": "CRITICAL",
    "PANIC": "CRITICAL",
}


def settle_all(items: Sequence[Item], now: float, into: Decoded) -> None:
    """Take the events that keep the rules or can be made to; refuse the others by their index."""
    if not take_all(items, now, into):
        index = 0
        for item in items:
            index += settle(index, item, now, into)


def take_all(items: Sequence[Item], now: float, into: Decoded) -> bool:
    """Take the events if all of them keep the rules as they are; else take none, return False."""
    found = Decoded()
    found.requests = [item for item in items if type(item) is Request]
    if len(found.requests) != len(items):
        found.envelopes = [item for item in items if type(item) is Envelope]
    if len(found.requests) + len(found.envelopes) != len(items):
        found.logs = [item for item in items if type(item) is Log]
        found.metrics = [item for item in items if type(item) is Metric]
        found.spans = [item for item in items if type(item) is Span]
        found.annotations = [item for item in items if type(item) is Annotation]
    if not _all_fit(found, now):
        return False
    into.requests += found.requests
    into.logs += found.logs
    into.metrics += found.metrics
    into.spans += found.spans
    into.annotations += found.annotations
    into.envelopes += found.envelopes
    return True


def _all_fit(found: Decoded, now: float) -> bool:
    return (
        requests_fit(found.requests, now)
        and logs_fit(found.logs, now)
        and metrics_fit(found.metrics, now)
        and spans_fit(found.spans, now)
        and annotations_fit(found.annotations, now)
    )


def settle(index: int, event: Item, now: float, into: Decoded) -> int:
    """Take one event, mended where a rule allows it, or refuse it; return how many it was."""
    if isinstance(event, Envelope):
        into.envelopes.append(event)
        return 0
    try:
        changes = CHANGES[type(event)](event)
    except Refused as why:
        into.refuse(index, why)
        return 1
    time = min(max(event.time, now - OLDEST_SECONDS), now + NEWEST_SECONDS)
    if time != event.time:
        changes["time"] = time
        into.clamped_times += 1
    into.take(msgspec.structs.replace(event, **changes) if changes else event)
    return 1


def _request_changes(request: Request) -> dict[str, Any]:
    changes = _shared_changes(request)
    if request.method not in METHODS:
        method = request.method.upper()
        changes["method"] = method if method in METHODS else "OTHER"
    return changes


def _log_changes(log: Log) -> dict[str, Any]:
    changes = _shared_changes(log)
    level = LEVEL_NAMES.get(log.level.upper())
    if level is None:
        known = ", ".join(LEVELS)
        raise Refused(Code.INVALID_FIELD, f"level: expected {known}, got {log.level[:40]!r}")
    if level != log.level:
        changes["level"] = level
    _check_length("logger", log.logger, NAME_CHARACTERS)
    message = shortened(log.message, MESSAGE_BYTES)
    if message is not log.message:
        changes["message"] = message
    if log.fields and not fields_fit(log.fields):
        changes["fields"] = bounded_fields(log.fields)
    return changes


def _metric_changes(metric: Metric) -> dict[str, Any]:
    if not math.isfinite(metric.value):
        raise Refused(Code.INVALID_FIELD, "value: expected a finite number")
    changes = {} if metric.service else {"service": NO_SERVICE}
    _check_length("name", metric.name, METRIC_NAME_CHARACTERS)
    _check_length("service", metric.service, NAME_CHARACTERS)
    _check_length("unit", metric.unit, UNIT_CHARACTERS)
    _check_length("id", metric.id or "", ID_CHARACTERS)
    _check_attributes(metric.attributes)
    if metric.distribution is not None and not distribution_fits(metric):
        raise Refused(
            Code.INVALID_FIELD,
            "distribution: expected, of a histogram, finite numbers, and buckets whose counts add"
            f" up to count, at most {BUCKETS:,} of them",
        )
    return changes


def _span_changes(span: Span) -> dict[str, Any]:
    changes = _shared_changes(span)
    if span.attributes and not fields_fit(span.attributes):
        changes["attributes"] = bounded_fields(span.attributes, "attributes")
    return changes


def _annotation_changes(annotation: Annotation) -> dict[str, Any]:
    _check_length("id", annotation.id or "", ID_CHARACTERS)
    _check_length("service", annotation.service, NAME_CHARACTERS)
    _check_attributes(annotation.attributes)
    text = shortened(annotation.text, ERROR_MESSAGE_BYTES)
    return {} if text is annotation.text else {"text": text}


CHANGES: dict[type, Callable[[Any], dict[str, Any]]] = {
    Request: _request_changes,
    Log: _log_changes,
    Metric: _metric_changes,
    Span: _span_changes,
    Annotation: _annotation_changes,
}


def _check_attributes(attributes: dict[str, str]) -> None:
    if len(attributes) > ATTRIBUTES:
        raise Refused(
            Code.TOO_MANY_ATTRIBUTES,
            f"attributes: expected at most {ATTRIBUTES}, got {len(attributes)}",
        )
    for key, value in attributes.items():
        _check_length("a key of attributes", key, KEY_CHARACTERS)
        if len(value) > NAME_CHARACTERS:  # a name for each, unasked, would cost more than the rest
            _check_length(f"attributes.{key}", value, NAME_CHARACTERS)


def _shared_changes(event: Request | Log | Span) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    _check_length("id", event.id or "", ID_CHARACTERS)
    for name in ("trace_id", "span_id", "parent_id"):
        value = getattr(event, name, None)
        if value is None:
            continue
        lower = value.lower()
        if lower.encode().translate(None, HEX):
            raise Refused(Code.INVALID_FIELD, f"{name}: expected hexadecimal digits, got {value!r}")
        if lower != value:
            changes[name] = lower
    if event.error is not None and not error_fits(event.error):
        changes["error"] = _bounded_error(event.error)
    return changes


def _bounded_error(error: ErrorInfo) -> ErrorInfo:
    # The innermost frames, which come last, are nearest to the cause.
    frames = [
        StackFrame(
            path=frame.path[:NAME_CHARACTERS],
            line=frame.line if 0 <= frame.line <= INT4 else 0,
            function=frame.function[:NAME_CHARACTERS],
            source=frame.source[:NAME_CHARACTERS],
            in_app=frame.in_app,
        )
        for frame in error.frames[-STACK_FRAMES:]
    ]
    return ErrorInfo(error.type, shortened(error.message, ERROR_MESSAGE_BYTES), frames)


def _check_length(name: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise Refused(
            Code.TOO_LONG, f"{name[:60]}: expected at most {limit} characters, got {len(text)}"
        )
