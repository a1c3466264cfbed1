"""
Whether a whole batch keeps the rules that types alone do not say: one question, one answer.

Asked of all events at once it costs far less than a look at each; False only says that somebody
must look at each.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitord.ingest.limits import (
    ATTRIBUTES,
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
from monitord.model import LEVELS, METHODS, ErrorInfo, Log, Metric, Request, StackFrame


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
    )


def _times_fit(times: list[float], now: float) -> bool:
    return min(times) >= now - OLDEST_SECONDS and max(times) <= now + NEWEST_SECONDS


def _ids_fit(events: Sequence[Request] | Sequence[Log]) -> bool:
    # One join and one table look-up a character: a fifth of a pattern's cost.
    ids = [event.trace_id for event in events if event.trace_id is not None]
    ids += [event.span_id for event in events if event.span_id is not None]
    return (
        not "".join(ids).encode().translate(None, HEX)
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
