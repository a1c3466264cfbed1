"""`GET /api/v1/traces`: the newest traces, and all that is stored of one."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from aiohttp import web
from msgspec import Struct, structs

from monitord.http.answers import LogEntry
from monitord.http.exact import NEAR, trace_id_of
from monitord.http.keys import PORTS
from monitord.http.lines import entry
from monitord.http.parameter import Query, choice, short_text, whole
from monitord.http.parameters import SERVICE, span_of
from monitord.http.ports import Ports
from monitord.http.respond import answer
from monitord.http.shared import shared
from monitord.http.sources import in_time
from monitord.store.errors import ErrorGroup
from monitord.store.recent_traces import TraceHead, TraceWish
from monitord.store.request_events import TraceRequest
from monitord.store.traces import Cut, TraceLine, TraceSpan, WholeTrace, began


# Several who look at the newest traces cost one reading.
FRESH_SECONDS = 2.0

STEP = short_text(
    "name", "Only traces that began with this text in method and route, or in a span's name.", 200
)
MIN_MS = whole("min_ms", "Only traces whose first step took so many ms or more.", 0, 86_400_000, 0)
ERRORS = choice(
    "errors", "1: only traces whose first step failed.", {"0": False, "1": True}, default="0"
)
MOST = whole("limit", "How many traces at most.", 1, 500, 50)


class TraceList(Struct, frozen=True, kw_only=True):
    """
    The newest traces of a window, newest first, each by what began it.

    With `searched_since` (Unix seconds) the search had no more time; it is the `end` to go on with.
    """

    start: float
    end: float
    traces: list[TraceHead]
    searched_since: float | None


class TracedRequest(Struct, frozen=True, kw_only=True):
    """One request of a trace. `start` is Unix seconds, `error_id` the kind of its exception."""

    start: float
    duration_ms: float
    service: str
    method: str
    route: str
    status: int
    error: bool
    error_id: str | None


class TracedLine(LogEntry, frozen=True):
    """One log record of a trace. `error_id` is the kind of its exception."""

    error_id: str | None = None


class FullTrace(Struct, frozen=True, kw_only=True):
    """
    What is stored of one trace, each by its start, Unix seconds; `cut` says of what there is more.

    `start` and `end` are those of its requests and spans, null without any. `errors` are the kinds
    of its exceptions.
    """

    trace_id: str
    start: float | None
    end: float | None
    requests: list[TracedRequest]
    spans: list[TraceSpan]
    logs: list[TracedLine]
    errors: list[ErrorGroup]
    cut: Cut


async def traces_of(request: web.Request) -> web.Response:
    make = partial(get_traces, request.app[PORTS], request.query)
    return await shared(request, "traces", FRESH_SECONDS, make)


async def get_traces(ports: Ports, query: Query) -> TraceList:
    """Return the newest traces of the window and kind that are asked for."""
    span, limit = span_of(query, ports.now()), MOST.of(query)
    wish = TraceWish(
        service=SERVICE.of(query),
        name=STEP.of(query),
        min_ms=float(MIN_MS.of(query)),
        only_errors=ERRORS.of(query),
    )
    found = await in_time(ports.recent_traces.page(span.start, span.end, wish, limit))
    return TraceList(
        start=span.start,
        end=span.end,
        traces=found.traces,
        searched_since=found.searched_since,
    )


async def trace_of(request: web.Request) -> web.Response:
    near = NEAR.of(request.query)
    return answer(await get_trace(request.app[PORTS], trace_id_of(request), near))


async def get_trace(ports: Ports, trace_id: UUID, near: float | None) -> FullTrace:
    """Return all that is stored of a trace; `near` is a moment of it, Unix seconds."""
    return full(trace_id.hex, await ports.traces.whole(trace_id, near))


def full(trace_id: str, found: WholeTrace) -> FullTrace:
    """Return a trace as the API writes it."""
    requests = [traced(one) for one in found.requests]
    steps: list[TracedRequest | TraceSpan] = [*requests, *found.spans]
    return FullTrace(
        trace_id=trace_id,
        start=min((one.start for one in steps), default=None),
        end=max((one.start + one.duration_ms / 1000 for one in steps), default=None),
        requests=requests,
        spans=found.spans,
        logs=[traced_line(line) for line in found.logs],
        errors=found.errors,
        cut=found.cut,
    )


def traced(request: TraceRequest) -> TracedRequest:
    return TracedRequest(
        start=began(request),
        duration_ms=request.duration_ms,
        service=request.service,
        method=request.method,
        route=request.route,
        status=request.status,
        error=request.error,
        error_id=request.error_id,
    )


def traced_line(line: TraceLine) -> TracedLine:
    return TracedLine(**structs.asdict(entry(line)), error_id=line.error_id)
