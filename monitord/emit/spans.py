"""
One step within a trace, timed: a query, a call to another service, a job.

`Emitter.span` and `Emitter.record_span` are the way in; they decide here what is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from contextvars import Token
from time import perf_counter_ns
from time import time as now
from types import TracebackType
from typing import Any, Literal, NamedTuple, cast

from monitord.emit import plain
from monitord.emit.encode import Encoder
from monitord.emit.failure import Failure, capture
from monitord.emit.pump import Pump
from monitord.emit.trace import (
    NOT_SAMPLED,
    Joined,
    begun,
    first_span,
    hang_on,
    here,
    inner,
    joined,
    new_trace,
    random_bits,
    request_span,
    span_id,
    trace_id,
)
from monitord.emit.trace import headers as trace_headers


Kind = Literal["internal", "server", "client", "producer", "consumer"]

# Which traces are in a share the last 7 bytes of their ids say: W3C has them drawn at random.
RANDOM_FROM = 18
RANDOM_IDS = 2**56

_span, _server = Encoder.span, Encoder.server


class Span:
    """
    A context manager, for `async` code as well: what is begun within the block is its child.

    An exception is recorded as its error and raised on; being cancelled is none.
    """

    __slots__ = (
        "_attributes",
        "_began_ns",
        "_bits",
        "_ended",
        "_kind",
        "_name",
        "_outer_token",
        "_parent",
        "_recorded",
        "_spans",
        "_trace_token",
        "left",
        "trace_id",
    )

    trace_id: str | None
    left: bool

    def __init__(
        self, spans: Spans, name: str, kind: Kind, attributes: Mapping[str, Any] | None
    ) -> None:
        self._spans = spans
        self._name = name
        self._kind = kind
        self._attributes = (
            dict(attributes) if isinstance(attributes, dict) else plain.fields(attributes)
        )
        self.trace_id = None

    @property
    def span_id(self) -> str | None:
        """Its id, 16 hex digits; None before the block."""
        return None if self.trace_id is None else f"{self._bits:016x}"

    @property
    def bits(self) -> int:
        """Its id as it is until it is written."""
        return self._bits

    def set(self, key: str, value: Any) -> None:
        """Add an attribute, or replace one."""
        self._attributes[key] = value

    def __enter__(self) -> Span:
        trace = trace_id.get()
        self._trace_token = None
        self._recorded = True
        self._ended = self.left = False
        if trace is None:
            trace = new_trace()
            self._trace_token = trace_id.set(trace)
            self._parent: int | str | None = None
            self._bits = int(first_span(trace), 16)
            self._recorded = self._spans.sampled(trace)
        else:
            self._parent = parent_in(trace)
            self._bits = self._spans.bits(64)
        self.trace_id = trace
        self._outer_token = inner.set(self)
        self._began_ns = perf_counter_ns()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ended_ns = perf_counter_ns()
        if self._ended:
            return
        self._ended = True
        try:
            inner.reset(self._outer_token)
        except (ValueError, RuntimeError):
            self.left = True  # a generator thrown away is closed in another context than it ran in
        if self._trace_token is not None:
            with suppress(ValueError, RuntimeError):
                trace_id.reset(self._trace_token)
        if self._recorded:
            failure = capture(error) if isinstance(error, Exception) else None
            event = (
                _span,
                now(),
                self.trace_id,
                self._bits,
                self._parent,
                self._name,
                self._kind,
                self._began_ns,
                ended_ns,
                plain.scalars(self._attributes) if self._attributes else None,
                failure,
            )
            self._spans.put(event)

    def leave(self) -> None:
        """Put back what surrounded it, in a context that still names it."""
        outer = self._outer_token.old_value
        inner.set(None if outer is Token.MISSING else outer)
        if self._trace_token is not None and trace_id.get() == self.trace_id:
            trace_id.set(None)


class Served(NamedTuple):
    """The span of the request being served, which ends, and is recorded, with the request."""

    trace_id: str
    span_id: str

    def set(self, key: str, value: Any) -> None:
        """Do nothing: a request has no attributes of its own."""


class Unrecorded:
    """Stands for a span where none is recorded; has the ids of what surrounds it."""

    __slots__ = ()

    @property
    def trace_id(self) -> str | None:
        return here()

    @property
    def span_id(self) -> str | None:
        return span_id()

    def set(self, key: str, value: Any) -> None:
        pass

    def __enter__(self) -> Unrecorded:
        return self

    def __exit__(self, *_: object) -> None:
        pass


UNRECORDED = Unrecorded()


class Spans:
    """
    Records the spans of one emitter: those of the `share` of traces that the trace id decides.

    A caller's `traceparent` that says "not sampled" leaves its trace out.
    """

    def __init__(self, pump: Pump, share: float) -> None:
        self.put = pump.put
        self.bits = random_bits()
        self._pump = pump
        self._all = share >= 1.0
        self._below = f"{int(max(0.0, min(share, 1.0)) * RANDOM_IDS):014x}"
        self._none = not share > 0.0

    def begin(
        self, name: str, kind: Kind, attributes: Mapping[str, Any] | None
    ) -> Span | Unrecorded:
        if self._none or not self._pump.taking:
            return UNRECORDED
        trace = here()
        if trace is not None and not self.sampled(trace):
            return UNRECORDED
        return Span(self, name, kind, attributes)

    def record(
        self,
        name: str,
        kind: Kind,
        began_ns: int,
        attributes: Mapping[str, Any] | None,
        error: BaseException | Failure | None,
    ) -> None:
        """Record a span that ends now, with the current one as its parent."""
        ended_ns = perf_counter_ns()
        if self._none or not self._pump.taking:
            return
        within = here()
        trace = within or new_trace()
        if not self.sampled(trace):
            return
        parent = parent_in(trace) if within is not None else None
        if isinstance(error, BaseException):
            error = capture(error) if isinstance(error, Exception) else None
        told = plain.scalars(attributes) if attributes else None
        own = self.bits(64)
        self.put((_span, now(), trace, own, parent, name, kind, began_ns, ended_ns, told, error))

    def server(
        self,
        method: str,
        route: str,
        status: int,
        duration_ms: float,
        trace: str,
        part: Joined | None,
    ) -> None:
        """Record the span of a request, for others to hang on; `part` is its in another trace."""
        if self._none or not self.sampled(trace):
            return
        own, caller = (part.span_id, part.caller) if part is not None else (first_span(trace), None)
        self.put((_server, now(), trace, own, caller, method, route, status, duration_ms))

    def sampled(self, trace: str) -> bool:
        """Say whether spans of the trace are recorded."""
        part = joined.get()
        if part is not None and part.flags == NOT_SAMPLED and part.trace_id == trace:
            return False
        return self._all or (not self._none and trace[RANDOM_FROM:] < self._below)

    def headers(self) -> dict[str, str]:
        """Return what an outgoing HTTP request should carry; empty outside a trace."""
        trace = here()
        return trace_headers(trace is None or self.sampled(trace))


def current() -> Span | Served | None:
    """Return the span whose block this is, else that of the request; None outside of any."""
    trace = here()
    if trace is None:
        return None
    span = inner.get()
    if span is not None and span.trace_id == trace:
        return cast(Span, span)
    return None if begun.get() == trace else Served(trace, request_span(trace))


def parent_in(trace: str) -> int | str | None:
    """Return the id a new span of the trace hangs on: the current span's, else the request's."""
    outer = inner.get()
    if outer is not None and outer.trace_id == trace:
        return outer.bits
    return hang_on(trace)
