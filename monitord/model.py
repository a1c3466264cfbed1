"""The nouns everything else speaks in, and the ports between the layers. No I/O, no clock."""

from __future__ import annotations

import enum

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol, TypeAlias

from msgspec import Meta, Struct


Text = Annotated[str, Meta(min_length=1, max_length=1_000)]
TraceId = Annotated[str, Meta(min_length=32, max_length=32)]
SpanId = Annotated[str, Meta(min_length=16, max_length=16)]
DurationMs = Annotated[float, Meta(ge=0, le=86_400_000)]
IdempotencyKey = Annotated[str, Meta(max_length=255)]

MetricKind = Literal["gauge", "counter", "histogram"]
SpanKind = Literal["internal", "server", "client", "producer", "consumer"]
SpanStatus = Literal["unset", "ok", "error"]

# Level name -> OpenTelemetry severity number (the first of its range); the store keeps the number.
LEVELS: dict[str, int] = {"DEBUG": 5, "INFO": 9, "WARNING": 13, "ERROR": 17, "CRITICAL": 21}

# HTTP methods that may be a label; anything else is "OTHER" (OpenTelemetry's `_OTHER`).
METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
)


class StackFrame(Struct, frozen=True, omit_defaults=True):
    """One frame of a traceback, outermost first."""

    path: str = ""
    line: int = 0
    function: str = ""
    source: str = ""
    in_app: bool = True


class ErrorInfo(Struct, frozen=True, omit_defaults=True):
    """An exception: its type's name, its message and where it came from."""

    type: Text
    message: str = ""
    frames: list[StackFrame] = []


class Request(
    Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    tag_field="type",
    tag="request",
    forbid_unknown_fields=True,
):
    """
    One request the application has answered.

    `time` is Unix seconds of its end; `route` is the template (`/orders/{id}`), never the path.
    """

    time: float
    service: Text
    method: Text
    route: Text
    status: Annotated[int, Meta(ge=100, le=599)]
    duration_ms: DurationMs
    trace_id: TraceId | None = None
    span_id: SpanId | None = None
    id: Text | None = None
    error: ErrorInfo | None = None


class Log(
    Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    tag_field="type",
    tag="log",
    forbid_unknown_fields=True,
):
    """One log record. `level` is a key of LEVELS; `fields` is a JSON object."""

    time: float
    service: Text
    level: Text
    message: str
    logger: str = ""
    trace_id: TraceId | None = None
    span_id: SpanId | None = None
    id: Text | None = None
    fields: dict[str, Any] = {}
    error: ErrorInfo | None = None


class Distribution(Struct, frozen=True, gc=False):
    """
    Observations that were put together before they came.

    `buckets` are those of an OpenTelemetry exponential histogram of scale 6, count by key: the
    specification's index plus 1,048,576, negated for negative values, 0 for zero.
    """

    count: Annotated[int, Meta(ge=1, lt=2**32)]
    sum: float
    min: float
    max: float
    buckets: dict[int, Annotated[int, Meta(ge=1, lt=2**32)]]


class Metric(
    Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    tag_field="type",
    tag="metric",
    forbid_unknown_fields=True,
):
    """
    One sample of one series.

    A gauge is a value at `time`; a counter is the increment since the sample before (never a
    lifetime total); a histogram sample is one observation, or many as a `distribution`, of which
    `value` is the mean. Scraped samples have no `service`.
    """

    time: float
    name: Text
    value: float
    service: str = ""
    kind: MetricKind = "gauge"
    unit: str = ""
    attributes: dict[str, str] = {}
    id: Text | None = None
    distribution: Distribution | None = None


class Span(
    Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    tag_field="type",
    tag="span",
    forbid_unknown_fields=True,
):
    """
    One step of a trace: a query, a cache call, a call to another service, a job.

    `time` is Unix seconds of its end, as of a request; it began `duration_ms` before. `attributes`
    is a JSON object named as OpenTelemetry does (`db.query.text`). Without `parent_id` it is the
    first of its trace.
    """

    time: float
    service: Text
    trace_id: TraceId
    span_id: SpanId
    name: Text
    duration_ms: DurationMs
    parent_id: SpanId | None = None
    kind: SpanKind = "internal"
    status: SpanStatus = "unset"
    id: Text | None = None
    attributes: dict[str, Any] = {}
    error: ErrorInfo | None = None


class Annotation(
    Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    tag_field="type",
    tag="annotation",
    forbid_unknown_fields=True,
):
    """Something people did or noticed at `time`: a mark on every chart. A deploy is the usual."""

    time: float
    title: Text
    service: str = ""
    kind: Text = "note"
    text: str = ""
    id: Text | None = None
    attributes: dict[str, str] = {}


Event: TypeAlias = Request | Log | Metric | Span | Annotation

# The types of events, and the list of a batch that holds them.
LISTS = {
    "request": "requests",
    "log": "logs",
    "metric": "metrics",
    "span": "spans",
    "annotation": "annotations",
}


def type_of(event: Event) -> str:
    """Return the type of an event, a key of LISTS."""
    return str(event.__struct_config__.tag)


class Batch(Struct, frozen=True, gc=False):
    """
    What arrived together: one datagram drain, one HTTP body, or one scrape.

    `received_at` is Unix seconds; `size_bytes` is what it arrived as and an allowance for its
    structure, 0 for what did not arrive as text. `idempotency_key` is the sender's name for the
    whole of it, empty for none: of two batches with one key within 24 h one is stored.
    """

    received_at: float
    requests: Sequence[Request] = ()
    logs: Sequence[Log] = ()
    metrics: Sequence[Metric] = ()
    size_bytes: int = 0
    idempotency_key: IdempotencyKey = ""
    spans: Sequence[Span] = ()
    annotations: Sequence[Annotation] = ()

    def __len__(self) -> int:
        return len(self.requests) + len(self.logs) + self.others

    @property
    def others(self) -> int:
        """Events that are neither requests nor logs."""
        return len(self.metrics) + len(self.spans) + len(self.annotations)


class Frame(Struct, frozen=True, gc=False):
    """
    A batch with its identity.

    `writer` is this daemon's run (Unix ms of its start), `seq` counts from 1.
    """

    writer: int
    seq: int
    batch: Batch


class LogLine(Struct, frozen=True):
    """A log record with its identity; `index` is its place among the logs of its frame."""

    writer: int
    seq: int
    index: int
    log: Log

    @property
    def cursor(self) -> str:
        """The identity as text: SSE id, page cursor and permalink in one."""
        return f"{self.writer}-{self.seq}-{self.index}"


class Reason(enum.StrEnum):
    """Why a target gave no reading, in words a user searches for."""

    REFUSED = "connection refused"
    UNREACHABLE = "unreachable"
    AUTH = "authentication failed"
    PERMISSION = "permission denied"
    TIMEOUT = "timed out"
    LOADING = "not ready"
    PROTOCOL = "unexpected answer"
    MISSING = "missing"
    ERROR = "error"


class Problem(Struct, frozen=True):
    """One reading that could not be taken while the others could: what, why, what mends it."""

    what: str
    reason: Reason
    detail: str = ""
    remedy: str = ""


class Scrape(Struct, frozen=True):
    """What one scrape of one target gave."""

    metrics: Sequence[Metric]
    problems: Sequence[Problem] = ()


class ScrapeError(Exception):
    """The target gave no reading at all."""

    def __init__(self, reason: Reason, detail: str = "", remedy: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
        self.remedy = remedy


class Reading(Struct, frozen=True):
    """One finished scrape as the schedule judged it: up or down, how long, and why it failed."""

    target: str
    kind: str
    at: float
    up: bool
    duration_ms: float
    reason: Reason | None = None
    detail: str = ""
    remedy: str = ""
    problems: Sequence[Problem] = ()


class TargetStatus(Struct, frozen=True):
    """A target as the page shows it; `since` (Unix seconds) is its last change of up or down."""

    target: str
    kind: str
    up: bool | None
    since: float | None
    last_reading_at: float | None
    reason: Reason | None = None
    detail: str = ""
    remedy: str = ""
    problems: Sequence[Problem] = ()


class Scraper(Protocol):
    """
    Reads one target once.

    A scraper keeps no schedule, writes no store and logs no failure: it returns what it read or
    raises ScrapeError. It may keep the counters of its last scrape, to return increments.
    """

    async def scrape(self) -> Scrape: ...

    async def close(self) -> None: ...


class Sink(Protocol):
    """
    Where batches go. The one way into monitord for everything scraped, pushed or its own.

    An implementer never blocks in `offer` and never raises from it for the batch's content.
    """

    def offer(self, batch: Batch) -> bool:
        """Take the batch; False when there is no room (the caller counts and tells its client)."""
        ...


class DurableSink(Sink, Protocol):
    """A sink for those who want to hear that a batch is safe, or that it is not."""

    def check_room(self) -> None:
        """Raises NotTaken: any batch would be refused now."""
        ...

    async def deliver(self, batch: Batch) -> None:
        """
        Take the batch; return once it is safe on disk.

        Raises NotTaken: it was refused, or could not be made safe.
        """
        ...


class FrameSource(Protocol):
    """
    What the store's writer drains; frames stay until they are done.

    Nearly oldest first, but no order is promised. A frame may come again after it was done, in
    another group or by a later run; never twice in one answer.
    """

    async def next(self, limit: int, limit_bytes: int) -> Sequence[Frame]:
        """
        Wait for at least one frame; return some.

        Together they are about `limit` events and `limit_bytes` as they arrived, at most; a frame
        that is larger comes alone.
        """
        ...

    def done(self, frames: Sequence[Frame]) -> None:
        """The frames are in the store (or were refused for good): forget them."""
        ...


class Pending(Protocol):
    """What is still to be stored, as far as the store's retention must know it."""

    @property
    def oldest_at(self) -> float | None:
        """When the oldest frame that is not done was received, Unix seconds; None without any."""
        ...


class DeadLetter(Struct, frozen=True):
    """
    An event the store has refused for good, and why.

    `index` is its place among the events of its type in the frame `(writer, seq)`.
    """

    writer: int
    seq: int
    index: int
    reason: str
    event: Event


class DeadLetters(Protocol):
    """
    Where refused events go, so that they can be looked at and sent again.

    It is asked before the rest of the frame is committed: an event may come twice, never not at
    all. An implementer never raises and never holds up the writer for long; what it cannot keep
    it counts.
    """

    async def keep(self, letters: Sequence[DeadLetter]) -> None: ...
