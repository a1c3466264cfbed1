"""The pages of traces: `/traces`, the newest, and `/traces/{trace_id}`, all there is of one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from monitord.http.exact import NEAR, trace_id_of
from monitord.http.keys import PORTS
from monitord.http.pages import framed, html, or_away, windowed
from monitord.http.parameters import SERVICE
from monitord.http.steps import steps
from monitord.http.traces import ERRORS, MIN_MS, STEP, get_trace, get_traces


# Which traces may be asked for.
ASKED = (SERVICE, STEP, MIN_MS, ERRORS)


async def newest(request: web.Request) -> web.Response:
    """Answer the page of the newest traces, they already in it."""
    return html(request.app, "traces.html", await _newest(request))


async def partial_newest(request: web.Request) -> web.Response:
    return html(request.app, "partials/traces.html", await _newest(request))


async def one(request: web.Request) -> web.Response:
    """Answer the page of one trace, all of it in it."""
    return html(request.app, "trace.html", await _one(request))


async def partial_one(request: web.Request) -> web.Response:
    return html(request.app, "partials/trace.html", await _one(request))


async def _newest(request: web.Request) -> dict[str, Any]:
    query = request.query
    asked = {
        "name": STEP.of(query),
        "service": SERVICE.of(query),
        "min_ms": MIN_MS.of(query),
        "errors": int(ERRORS.of(query)),
    }
    given = urlencode({key: value for key, value in asked.items() if value})
    more = f"&{given}" if given else ""
    ports = request.app[PORTS]
    traces, away = await or_away(ports, get_traces(ports, windowed(request)))
    context = framed(request, "/traces", "/partials/traces", more=more)
    return context | {"asked": asked, "traces": traces, "away": away}


async def _one(request: web.Request) -> dict[str, Any]:
    ports, trace_id, near = request.app[PORTS], trace_id_of(request), NEAR.of(request.query)
    more = "" if near is None else f"?near={near:.0f}"
    trace, away = await or_away(ports, get_trace(ports, trace_id, near))
    partial = f"/partials/traces/{trace_id.hex}{more}"
    return framed(request, "/traces", partial, ranged=False) | {
        "more": more,
        "trace_id": trace_id.hex,
        "trace": trace,
        "steps": steps(trace) if trace else [],
        "away": away,
    }
