"""One job: its span within the trace that asked for it, and how long it took as a metric."""

from __future__ import annotations

import contextlib

from collections.abc import Mapping
from contextvars import ContextVar, Token
from time import perf_counter_ns
from typing import Any

from monitord.emit.emitter import Emitter
from monitord.emit.jobs import DURATION
from monitord.emit.trace import Joined, here, inner, join, joined, new_trace, trace_id


SUCCESS, FAILURE, RETRY = "success", "failure", "retry"


class Job:
    """
    Begins where it is made; `end` has to be called in the same context. Neither raises.

    `carried` holds the `traceparent` of who asked for it; within a trace it is a part of that one.
    """

    def __init__(
        self, emitter: Emitter, name: str, attributes: Mapping[str, Any], carried: Mapping[str, Any]
    ) -> None:
        self._emitter = emitter
        self._name = name
        self._set: list[tuple[ContextVar[Any], Token[Any]]] = []
        if here() is None:
            self._join(carried)
        self._span = emitter.span(name, "consumer", attributes).__enter__()
        if trace_id.get() is None:  # no spans: the lines of one job belong together all the same
            self._enter(trace_id, new_trace())
        self._began_ns = perf_counter_ns()

    def end(self, outcome: str, error: BaseException | None = None) -> None:
        duration_ms = (perf_counter_ns() - self._began_ns) / 1e6
        if error is None:
            self._span.__exit__(None, None, None)
        else:
            self._span.__exit__(type(error), error, error.__traceback__)
        while self._set:
            variable, token = self._set.pop()
            # What was thrown away ends in another context than it began in.
            with contextlib.suppress(ValueError):
                variable.reset(token)
        about = {"job": self._name, "outcome": outcome}
        self._emitter.metric(DURATION, duration_ms, "histogram", "ms", about)

    def _join(self, carried: Mapping[str, Any]) -> None:
        """Put the caller's span in the place of the current one, for as long as the job takes."""
        named = ((name, carried.get(name)) for name in ("traceparent", "tracestate"))
        given = [(name, value) for name, value in named if isinstance(value, str)]
        part = join([(name.encode(), value.encode("latin-1", "replace")) for name, value in given])
        if part is not None and part.caller is not None:
            self._enter(trace_id, part.trace_id)
            self._enter(joined, part)
            self._enter(inner, Caller(part, part.caller))

    def _enter(self, variable: ContextVar[Any], value: object) -> None:
        self._set.append((variable, variable.set(value)))


class Caller:
    """The span of another process, as what the job's span hangs on."""

    def __init__(self, part: Joined, span_id: str) -> None:
        self.trace_id: str | None = part.trace_id
        self.span_id: str | None = span_id
        self.bits = int(span_id, 16)
        self.left = False

    def set(self, key: str, value: Any) -> None:
        """Do nothing: it is not ours."""

    def leave(self) -> None:
        """Do nothing: its job does."""
