"""
Requests read row by row: the exact figures of a few minutes, and the requests of one trace.

Only the store has them; memory stands in for nothing here.
"""

from __future__ import annotations

import re

from functools import partial
from typing import Literal
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web
from msgspec import Struct

from monitord.errors import StoreError, StoreUnreachable
from monitord.http.keys import MEMO, PORTS
from monitord.http.pages import html
from monitord.http.parameter import BadParameter, Query, choice, time_parameter
from monitord.http.parameters import END, START, Span
from monitord.http.ports import Ports
from monitord.http.respond import answer
from monitord.latency import RequestStats
from monitord.store.request_events import (
    AROUND_SECONDS,
    LONGEST_SECONDS,
    MOST_OF_TRACE,
    EndpointFigures,
    Exact,
    Figures,
    TraceRequest,
)
from monitord.store.tiers import MINUTE, ceiling


# Several who open the panel at once cost one reading.
FRESH_SECONDS = 2.0

# Of so many endpoints the panel has room.
SLOWEST = 10

EXACT_RANGE = choice("range", "How far to look back.", {"1m": 60.0, "5m": LONGEST_SECONDS}, "5m")
NEAR = time_parameter(
    "near", "A moment of the trace, in Unix seconds: only half an hour around it is looked through."
)


class Window(Struct, frozen=True):
    """A stretch of time in Unix seconds; its end is not part of it."""

    start: float
    end: float
    seconds: float


class ExactRequests(Figures, frozen=True, kw_only=True):
    """
    The figures of every request of a window, from the requests themselves. An error is a status of
    500 or above, or an exception.

    `endpoints` are those with the most requests, with figures of their own; `endpoints_left_out`
    is how many more there were.
    """

    exact: Literal[True] = True
    method: Literal["percentile_disc"] = "percentile_disc"
    window: Window
    endpoints: list[EndpointFigures]
    endpoints_left_out: int


class Trace(Struct, frozen=True, kw_only=True):
    """
    The stored requests of one trace, as they ended; with `cut` there are more of them.

    `logs` is the address of its log lines.
    """

    trace_id: str
    requests: list[TraceRequest]
    cut: bool
    logs: str


def exact_span(query: Query, now: float) -> Span:
    """
    Return the stretch that range, or start and end, ask for; the last 5 minutes without any.

    Raises BadParameter.
    """
    start, end = START.of(query), END.of(query)
    if start is None and end is None:
        return Span(now - EXACT_RANGE.of(query), now)
    if any(query.getall("range", [])):
        raise BadParameter("range", "excludes start and end", "both")
    if start is None:
        raise BadParameter("start", "expected beside end", "nothing")
    end = now if end is None else end
    if not 0 < end - start <= LONGEST_SECONDS:
        rule = f"expected a start at most {LONGEST_SECONDS:g} s before the end"
        raise BadParameter("start", rule, f"{start:.0f} with end {end:.0f}")
    return Span(start, end)


async def exact(request: web.Request) -> web.Response:
    ports = request.app[PORTS]
    span = exact_span(request.query, ports.now())
    found = await ports.events.exact(span.start, span.end)
    whole = {name: getattr(found.whole, name) for name in Figures.__struct_fields__}
    return answer(
        ExactRequests(
            **whole,
            window=Window(span.start, span.end, span.seconds),
            endpoints=found.endpoints,
            endpoints_left_out=found.left_out,
        )
    )


async def panel(request: web.Request) -> web.Response:
    """
    Answer the panel of the page: the last 5 minutes exactly, and what the rollups say of them.

    Its window is whole minutes, the one under way among them: so it is the rollups' window too.
    """
    ports = request.app[PORTS]
    now = ports.now()
    end = ceiling(now, MINUTE)
    span = Span(end - LONGEST_SECONDS, end)
    found, sketch, failure = None, None, ""
    try:
        make = partial(_both, ports, span)
        found, sketch = await request.app[MEMO].get(("exact", end), FRESH_SECONDS, make)
    except (StoreError, StoreUnreachable) as error:
        failure = str(error)
    context = {
        "start": span.start,
        "end": now,
        "found": found,
        "sketch": sketch,
        "slowest": _slowest(found.endpoints) if found else [],
        "failure": failure,
        "down_since": ports.store.since if ports.store.up is False else None,
    }
    return html(request.app, "partials/exact_figures.html", context)


async def _both(ports: Ports, span: Span) -> tuple[Exact, RequestStats | None]:
    found = await ports.events.exact(span.start, span.end)
    return found, await ports.requests.stats(span.start, span.end)


def _slowest(endpoints: list[EndpointFigures]) -> list[EndpointFigures]:
    return sorted(endpoints, key=lambda one: one.p95_ms or 0, reverse=True)[:SLOWEST]


def trace_id_of(request: web.Request) -> UUID:
    """Return the trace id in the path. Raises HTTPBadRequest."""
    text = request.match_info["trace_id"]
    if not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise web.HTTPBadRequest(text="a trace id is 32 hexadecimal digits")
    return UUID(text)


async def trace(request: web.Request) -> web.Response:
    """Answer the requests of a trace, and where its log lines are."""
    ports = request.app[PORTS]
    trace_id, near = trace_id_of(request), NEAR.of(request.query)
    found = await ports.events.of_trace(trace_id, near)
    return answer(
        Trace(
            trace_id=trace_id.hex,
            requests=found,
            cut=len(found) == MOST_OF_TRACE,
            logs=_logs(ports, trace_id.hex, found, near),
        )
    )


def _logs(ports: Ports, trace_id: str, requests: list[TraceRequest], near: float | None) -> str:
    """Return the address of a trace's log lines: a search is quick where it knows the time."""
    times = [one.time for one in requests] or ([] if near is None else [near])
    asked = {"text": trace_id}
    if times:
        asked["start"] = f"{max(0.0, min(times) - AROUND_SECONDS):.0f}"
        asked["end"] = f"{max(times) + AROUND_SECONDS:.0f}"
    return f"{ports.settings.web.base_path}/api/v1/logs?{urlencode(asked)}"
