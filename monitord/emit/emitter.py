"""What an application calls: record a request, a log, a number. Never blocks, never raises."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from time import time as now
from typing import Any

from monitord.emit import plain, trace
from monitord.emit.address import target
from monitord.emit.encode import Encoder
from monitord.emit.failure import Failure, capture
from monitord.emit.pump import EXIT_S, Pump
from monitord.emit.spans import Kind, Span, Spans, Unrecorded
from monitord.emit.trace import Joined, unhang


LIMIT = 16_384
FLUSH_EVERY_S = 0.05
REPORT_EVERY_S = 10.0

_request, _log, _metric = Encoder.request, Encoder.log, Encoder.metric


class Emitter:
    """
    Buffers events and sends them from a daemon thread that starts with the first one.

    Recording appends one tuple to a deque. When `limit` events wait, further ones are dropped and
    counted; the counts are sent as the metric `monitord.emit.dropped`. A forked child begins with
    an empty buffer, a thread and sockets of its own. At exit everything waiting is sent, within a
    second.
    """

    def __init__(
        self,
        address: str | None = None,
        service: str | None = None,
        token: str | None = None,
        *,
        version: str | None = None,
        spans: float = 1.0,
        limit: int = LIMIT,
        flush_every: float = FLUSH_EVERY_S,
        report_every: float = REPORT_EVERY_S,
    ) -> None:
        """
        `spans` is the share of traces whose spans are recorded, `flush_every` and `report_every`
        are seconds; what is not given comes from MONITORD_ADDRESS, MONITORD_SERVICE,
        MONITORD_TOKEN and MONITORD_VERSION. With a `version` each process marks a deploy.

        Raises ValueError: `address` is given and is none.
        """
        aim = target(address, service, token, version)
        self._pump = Pump(aim, limit, flush_every, report_every)
        self._spans = Spans(self._pump, spans)

    def request(
        self,
        method: str,
        route: str,
        status: int,
        duration_ms: float,
        trace_id: str | None = None,
        span_id: str | None = None,
        error: BaseException | Failure | None = None,
        time: float | None = None,
        id: str | None = None,
    ) -> None:
        """
        Record one answered request.

        `route` is the template (`/orders/{id}`), never the path; `time` is Unix seconds of its end
        (default: now). An `id` is sent along; monitord does not compare it yet.
        """
        if error is not None and isinstance(error, BaseException):
            error = capture(error)
        if time is None:
            time = now()
        event = (_request, time, method, route, status, duration_ms, trace_id, span_id, error, id)
        # Pump.put, without the call.
        pump = self._pump
        buffer = pump.buffer
        if len(buffer) < pump.room:
            buffer.append(event)
        else:
            pump.hold(event)

    def log(
        self,
        level: str | int,
        message: object,
        *,
        logger: str = "",
        fields: Mapping[str, Any] | None = None,
        error: BaseException | Failure | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        time: float | None = None,
        id: str | None = None,
    ) -> None:
        """
        Record one log line.

        `level` is a name or a number of the logging module. `fields` are copied at once, whatever
        they are, bounded, and made plain JSON values. Without ids, those of the trace being served.
        """
        if error is not None and isinstance(error, BaseException):
            error = capture(error)
        if trace_id is None:
            trace_id, span_id = trace.here(), span_id or trace.span_id()
        self._pump.put(
            (
                _log,
                now() if time is None else time,
                level,
                logger,
                plain.text(message, plain.MESSAGE_CHARS),
                plain.fields(fields),
                trace_id,
                span_id,
                error,
                id,
            )
        )

    def metric(
        self,
        name: str,
        value: float,
        kind: str = "gauge",
        unit: str = "",
        attributes: Mapping[str, str] | None = None,
        time: float | None = None,
        id: str | None = None,
    ) -> None:
        """
        Record one number: a `gauge`, the increment of a `counter`, or one observation of a
        `histogram`. NaN and infinities are dropped and counted.
        """
        at = now() if time is None else time
        self._pump.put((_metric, at, name, kind, value, unit, plain.labels(attributes), id))

    def span(
        self,
        name: str,
        kind: Kind = "internal",
        attributes: Mapping[str, Any] | None = None,
    ) -> Span | Unrecorded:
        """
        Return a context manager that records its block as a step of the trace.

        Where there is no trace yet, one begins. `name` is one of a few (`charge card`); what
        differs each time is an attribute.
        """
        return self._spans.begin(name, kind, attributes)

    def record_span(
        self,
        name: str,
        kind: Kind,
        began_ns: int,
        attributes: Mapping[str, Any] | None = None,
        error: BaseException | Failure | None = None,
    ) -> None:
        """Record a step that ends now, without a block; it began at `began_ns`, by perf_counter."""
        self._spans.record(name, kind, began_ns, attributes, error)

    def served(
        self,
        method: str,
        route: str,
        status: int,
        duration_ms: float,
        trace_id: str,
        part: Joined | None,
    ) -> None:
        """
        Record the span of a request just recorded, where one is needed; for middleware.

        It is where spans hang on the request, and where another service's span has called it:
        `part` is the request's in a trace that began elsewhere.
        """
        if unhang(trace_id, part) or (part is not None and part.caller is not None):
            self._spans.server(method, route, status, duration_ms, trace_id, part)

    def inject(self, headers: MutableMapping[str, str]) -> None:
        """Add `traceparent`, and `tracestate` if one came in, to those of an outgoing request."""
        headers.update(self._spans.headers())

    def traceparent(self) -> str | None:
        """Return the `traceparent` an outgoing request should carry, None outside a trace."""
        return self._spans.headers().get("traceparent")

    def count(
        self, name: str, value: float = 1, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Record that a counter grew by `value`."""
        self.metric(name, value, "counter", "1", attributes)

    def gauge(
        self, name: str, value: float, attributes: Mapping[str, str] | None = None, unit: str = ""
    ) -> None:
        """Record what a value is now."""
        self.metric(name, value, "gauge", unit, attributes)

    @property
    def lost(self) -> dict[str, int]:
        """How many events of this process never reached the daemon, by reason."""
        return {reason: count for reason, count in self._pump.lost.copy().items() if count}

    def configure(
        self,
        address: str | None = None,
        service: str | None = None,
        token: str | None = None,
        version: str | None = None,
        spans: float | None = None,
    ) -> None:
        """
        Send to another place, under another name, or another share of spans from now on.

        Raises ValueError: `address` is given and is none.
        """
        self._pump.aim(target(address, service, token, version))
        if spans is not None:
            self._spans = Spans(self._pump, spans)

    def flush(self, timeout: float = 1.0, once: bool = False) -> bool:
        """
        Wait up to `timeout` seconds until everything recorded before is handed over; say if it was.

        With `once`, come back as soon as an attempt has failed.
        """
        return self._pump.flush(timeout, once)

    def close(self, timeout: float = EXIT_S) -> None:
        """Send what waits, for at most `timeout` seconds, and record nothing more."""
        self._pump.close(timeout)
