"""
One request outside ASGI, from its arrival to its answer: joined to its trace, timed, recorded once.

The middlewares of WSGI, Django and aiohttp are made of this; ASGI has its own, which is faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from time import perf_counter
from typing import Any

from monitord.emit.emitter import Emitter
from monitord.emit.failure import Failure, capture
from monitord.emit.trace import Joined, Step, inner, join, joined, new_trace, trace_id


EXCLUDED = ("/healthz", "/readyz", "/livez", "/metrics", "/favicon.ico")
ANSWER_HEADER = "X-Trace-ID"

# nginx' number for a request whose client left before the answer.
CLIENT_CLOSED = 499

# CGI's name of a header -> that of HTTP.
TRACING = {
    "HTTP_TRACEPARENT": b"traceparent",
    "HTTP_TRACESTATE": b"tracestate",
    "HTTP_X_TRACE_ID": b"x-trace-id",
}


def from_cgi(environ: Mapping[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    """Yield those headers of a CGI environment that name a trace."""
    for key, name in TRACING.items():
        if key in environ:
            yield name, str(environ[key]).encode("latin-1", "replace")


Place = tuple[str | None, Joined | None, Step | None, "Visit | None"]

# For adapters that learn of an exception before the middleware does.
visiting: ContextVar[Visit | None] = ContextVar("monitord.visiting", default=None)


class Visit:
    """
    A request being served; `begin` and `end` are called in one context.

    An exception noted meanwhile is the error of an answer from 500 on, for frameworks that catch
    it. It is not kept itself: its frames hold the request.
    """

    def __init__(self, emitter: Emitter, method: str) -> None:
        self.trace = ""
        self._emitter = emitter
        self._method = method
        self._ended = 0.0
        self._failure: Failure | None = None

    def begin(self, headers: Iterator[tuple[bytes, bytes]]) -> None:
        """Continue the trace that the headers name, or begin one."""
        self._part = join(headers)
        self.trace = new_trace() if self._part is None else self._part.trace_id
        # Put back by value: the end may come in another context than this, where a token is void.
        self._outer = (trace_id.get(), joined.get(), inner.get(), visiting.get())
        self._enter((self.trace, self._part, None, self))
        self._started = perf_counter()

    def stop(self) -> None:
        """Take the time: what comes until `end` is not waited for by the client."""
        self._ended = perf_counter()

    def note(self, error: BaseException) -> None:
        """Take what the request failed with; being cancelled is no failure."""
        self._failure = capture(error) if isinstance(error, Exception) else None

    def end(self, route: str, status: int, what: str = "") -> None:
        """Record the request; its error is a log line, too, when `what` says how to begin it."""
        duration_ms = ((self._ended or perf_counter()) - self._started) * 1000.0
        failure, self._failure = self._failure if status >= 500 else None, None
        part, trace = self._part, self.trace
        span = trace if part is None else part.span_id
        self._emitter.request(self._method, route, status, duration_ms, trace, span, failure)
        self._emitter.served(self._method, route, status, duration_ms, trace, part)
        if failure is not None and what:
            said = f"{what}: {failure.type}"
            self._emitter.log("ERROR", said, logger="monitord.emit", error=failure)
        self._enter(self._outer)

    @staticmethod
    def _enter(place: Place) -> None:
        trace, part, step, visit = place
        trace_id.set(trace)
        joined.set(part)
        inner.set(step)
        visiting.set(visit)
