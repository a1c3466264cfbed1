"""What decoding gives: the events taken, and what was wrong with the others."""

from __future__ import annotations

import enum

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from monitord.ingest.envelope import Envelope
from monitord.ingest.limits import REPORTED
from monitord.model import LISTS, Annotation, Batch, Event, Log, Metric, Request, Span, type_of


# What one value inside an event takes in memory, at least, however few bytes it was sent as.
VALUE_BYTES = 64


class Code(enum.StrEnum):
    """Why an event was refused: the few names the counters know."""

    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    UNSUPPORTED_TYPE = "unsupported_type"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    TOO_LONG = "too_long"
    TOO_DEEP = "too_deep"
    TOO_MANY_ATTRIBUTES = "too_many_attributes"
    ITEM_TOO_LARGE = "item_too_large"


class Refused(Exception):
    """The event cannot be taken; the sentence names the field and the rule."""

    def __init__(self, code: Code, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class TooManyItems(Exception):
    """The body holds more events than one body may."""


@dataclass(slots=True)
class Refusal:
    """One refused event: its place among the body's events, counted from 0, and why."""

    index: int
    code: Code
    sentence: str


@dataclass(slots=True)
class Decoded:
    """
    The outcome of one body or one drain. Every event is in exactly one of the lists, or refused.

    `refusals` describes the first ones; `refused` counts them all. `envelopes` are no events.
    """

    requests: list[Request] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    refused: Counter[Code] = field(default_factory=Counter)
    unknown_fields: int = 0
    clamped_times: int = 0

    @property
    def accepted(self) -> int:
        return (
            len(self.requests)
            + len(self.logs)
            + len(self.metrics)
            + len(self.spans)
            + len(self.annotations)
        )

    @property
    def rejected(self) -> int:
        return self.refused.total()

    def take(self, event: Event) -> None:
        """Put an event into the list of its kind."""
        getattr(self, LISTS[type_of(event)]).append(event)

    def refuse(self, index: int, why: Refused) -> None:
        """Count a refused event, and describe it if it is one of the first."""
        self.refused[why.code] += 1
        if len(self.refusals) < REPORTED:
            self.refusals.append(Refusal(index, why.code, why.sentence))

    def batch(self, received_at: float, size_bytes: int, idempotency_key: str = "") -> Batch:
        """Return what was taken, as one batch: `size_bytes` as it arrived, and its structure."""
        size_bytes += VALUE_BYTES * self._values()
        return Batch(
            received_at,
            self.requests,
            self.logs,
            self.metrics,
            size_bytes,
            idempotency_key,
            self.spans,
            self.annotations,
        )

    def _values(self) -> int:
        """Count the values inside events: of `fields`, attributes and tracebacks."""
        errors = [request.error for request in self.requests if request.error is not None]
        errors += [log.error for log in self.logs if log.error is not None]
        errors += [span.error for span in self.spans if span.error is not None]
        return (
            sum([_count(log.fields) for log in self.logs if log.fields])
            + sum([_count(span.attributes) for span in self.spans if span.attributes])
            + sum([len(metric.attributes) for metric in self.metrics])
            + sum([len(one.distribution.buckets) for one in self.metrics if one.distribution])
            + sum([len(one.attributes) for one in self.annotations])
            + sum([len(error.frames) for error in errors])
        )


def _count(values: dict[str, Any] | list[Any]) -> int:
    """Count values, nested ones included; their depth was checked before."""
    inside = values.values() if isinstance(values, dict) else values
    return len(values) + sum(
        [_count(value) for value in inside if type(value) is dict or type(value) is list]
    )
