"""
Whether a whole batch keeps the rules that types alone do not say: one question, one answer.

Asked of all events at once it costs far less than a look at each; False only says that somebody
must look at each.
"""

from __future__ import annotations

import math

from collections.abc import Sequence

from monitord.ingest.limits import (
    ATTRIBUTES,
    BUCKET_KEY,
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
from monitord.ingest.texts import fields_fit
from monitord.model import (
    LEVELS,
    METHODS,
    Annotation,
    ErrorInfo,
    Log,
    Metric,
    Request,
    Span,
    StackFrame,
)


HEX = b"0123456789abcdef"
INT4 = 2**31 - 1


def requests_fit(requests: list[Request], now: float) -> bool:
    return not requests or (
        _times_fit([request.time for request in requests], now)
        and {request.method for request in requests} <= METHODS
        and _ids_fit(requests)
    )


def logs_fit(logs: list[Log], now: float) -> bool:
    return not logs or (
        _times_fit([log.time for log in logs], now)
        and {log.level for log in logs} <= LEVELS.keys()
        and max([len(log.logger) for log in logs]) <= NAME_CHARACTERS
        # A character is four bytes at most.
        and max([len(log.message) for log in logs]) <= MESSAGE_BYTES // 4
        and _ids_fit(logs)
        and all(fields_fit(log.fields) for log in logs if log.fields)
    )


def metrics_fit(metrics: list[Metric], now: float) -> bool:
    return not metrics or (
        _times_fit([metric.time for metric in metrics], now)
        and all([metric.service for metric in metrics])
        and max([len(metric.name) for metric in metrics]) <= METRIC_NAME_CHARACTERS
        and max([len(metric.service) for metric in metrics]) <= NAME_CHARACTERS
        and max([len(metric.unit) for metric in metrics]) <= UNIT_CHARACTERS
        and all(_id_fits(metric.id) for metric in metrics if metric.id is not None)
        and all(_attributes_fit(metric.attributes) for metric in metrics if metric.attributes)
        and all(distribution_fits(metric) for metric in metrics if metric.distribution is not None)
    )


def distribution_fits(metric: Metric) -> bool:
    """Say whether a metric's distribution is one, of a histogram."""
    found = metric.distribution
    return (
        found is not None
        and metric.kind == "histogram"
        and 0 < len(found.buckets) <= BUCKETS
        and max(map(abs, found.buckets)) < BUCKET_KEY
        and sum(found.buckets.values()) == found.count
        and math.isfinite(found.sum)
        and -math.inf < found.min <= found.max < math.inf
    )


def spans_fit(spans: list[Span], now: float) -> bool:
    return not spans or (
        _times_fit([span.time for span in spans], now)
        and _ids_fit(spans)
        and _are_hex([span.parent_id for span in spans if span.parent_id is not None])
        and all(fields_fit(span.attributes) for span in spans if span.attributes)
    )


def annotations_fit(annotations: list[Annotation], now: float) -> bool:
    return not annotations or (
        _times_fit([one.time for one in annotations], now)
        and max([len(one.service) for one in annotations]) <= NAME_CHARACTERS
        and max([len(one.text) for one in annotations]) <= ERROR_MESSAGE_BYTES // 4
        and all(_id_fits(one.id) for one in annotations if one.id is not None)
        and all(_attributes_fit(one.attributes) for one in annotations if one.attributes)
    )


def _times_fit(times: list[float], now: float) -> bool:
    return min(times) >= now - OLDEST_SECONDS and max(times) <= now + NEWEST_SECONDS


def _are_hex(ids: Sequence[str]) -> bool:
    # One join and one table look-up a character: a fifth of a pattern's cost.
    return not "".join(ids).encode().translate(None, HEX)


def _ids_fit(events: Sequence[Request] | Sequence[Log] | Sequence[Span]) -> bool:
    ids = [event.trace_id for event in events if event.trace_id is not None]
    ids += [event.span_id for event in events if event.span_id is not None]
    return (
        _are_hex(ids)
        and all(_id_fits(event.id) for event in events if event.id is not None)
        and all(error_fits(event.error) for event in events if event.error is not None)
    )


def _id_fits(event_id: str) -> bool:
    return len(event_id) <= ID_CHARACTERS


def _attributes_fit(attributes: dict[str, str]) -> bool:
    return (
        len(attributes) <= ATTRIBUTES
        and max(map(len, attributes)) <= KEY_CHARACTERS
        and max(map(len, attributes.values())) <= NAME_CHARACTERS
    )


def error_fits(error: ErrorInfo) -> bool:
    return (
        len(error.message) <= ERROR_MESSAGE_BYTES // 4
        and len(error.frames) <= STACK_FRAMES
        and all(_frame_fits(frame) for frame in error.frames)
    )


def _frame_fits(frame: StackFrame) -> bool:
    longest = max(len(frame.path), len(frame.function), len(frame.source))
    return longest <= NAME_CHARACTERS and 0 <= frame.line <= INT4
