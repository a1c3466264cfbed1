"""Every route there is: the registry the server and the OpenAPI document are made from."""

from __future__ import annotations

from monitord.http import api, health, pages, stream
from monitord.http.answers import (
    Chart,
    Health,
    LogEntries,
    MetricNames,
    MetricPoints,
    Overview,
    Readiness,
    Summary,
    TargetList,
)
from monitord.http.auth import Scope
from monitord.http.charts import CHARTS
from monitord.http.parameters import (
    AGGREGATE,
    ATTRIBUTES,
    BEFORE,
    END,
    LEVEL,
    LIMIT,
    NAME,
    RANGE,
    SPAN,
    START,
    TEXT,
)
from monitord.http.route import Route


HTML = "text/html"
EVENTS = "text/event-stream"

_CHART = {"type": "string", "enum": list(CHARTS)}
_LOGIN_FORM = {
    "type": "object",
    "required": ["token"],
    "properties": {"token": {"type": "string"}, "next": {"type": "string"}},
}

ROUTES: tuple[Route, ...] = (
    Route(
        path="/api/monitoring/advanced/summary",
        handler=api.summary,
        summary="Requests of the last hour, Redis, PostgreSQL and the host now.",
        answer=Summary,
    ),
    Route(
        path="/api/monitoring/advanced/logs/stream",
        handler=stream.tail,
        summary="The live log as server-sent events.",
        parameters=(LEVEL, TEXT),
        content=EVENTS,
        refusals=(429,),
        head=False,
    ),
    Route(
        path="/api/v1/overview",
        handler=api.overview_of,
        summary="Banner, cards, table and targets, as the page shows them.",
        parameters=(RANGE,),
        answer=Overview,
        strict=True,
    ),
    Route(
        path="/api/v1/charts/{chart}",
        handler=api.chart_of,
        summary="The points of one chart, at most 720, with null for gaps.",
        parameters=SPAN,
        places={"chart": _CHART},
        answer=Chart,
        refusals=(404,),
        strict=True,
    ),
    Route(
        path="/api/v1/metrics",
        handler=api.metrics,
        summary="The names of all metrics, or the points of one.",
        parameters=(NAME, *SPAN, AGGREGATE, ATTRIBUTES),
        answer=MetricNames | MetricPoints,
        refusals=(503,),
        strict=True,
    ),
    Route(
        path="/api/v1/logs",
        handler=api.logs,
        summary="Stored log lines, newest first, a page at a time.",
        parameters=(BEFORE, LIMIT, LEVEL, TEXT, START, END),
        answer=LogEntries,
        strict=True,
    ),
    Route(
        path="/api/v1/logs/stream",
        handler=stream.tail,
        summary="The live log as server-sent events.",
        parameters=(LEVEL, TEXT),
        content=EVENTS,
        refusals=(429,),
        strict=True,
        head=False,
    ),
    Route(
        path="/api/v1/targets",
        handler=api.targets,
        summary="Every target: up or down, since when, why, and what would mend it.",
        answer=TargetList,
        strict=True,
    ),
    Route(
        path="/api/openapi.json",
        handler=health.document,
        summary="This document.",
    ),
    Route(
        path="/healthz",
        handler=health.alive,
        summary="Whether monitord answers.",
        scope=Scope.OPEN,
        answer=Health,
    ),
    Route(
        path="/readyz",
        handler=health.ready,
        summary="Whether every part of monitord is ready.",
        scope=Scope.OPEN,
        answer=Readiness,
        refusals=(503,),
    ),
    Route(
        path="/metrics",
        handler=health.metrics,
        summary="monitord's own numbers, for Prometheus.",
        content="text/plain",
    ),
    Route(
        path="/",
        handler=pages.page,
        summary="The page.",
        parameters=(RANGE,),
        content=HTML,
        page=True,
    ),
    Route(
        path="/ui/monitoring/advanced",
        handler=pages.page,
        summary="The page, under its earlier address.",
        parameters=(RANGE,),
        content=HTML,
        page=True,
    ),
    Route(
        path="/partials/overview",
        handler=pages.partial_overview,
        summary="The parts of the page that a refresh replaces.",
        parameters=(RANGE,),
        content=HTML,
    ),
    Route(
        path="/assets/{name}",
        handler=pages.asset,
        summary="A file of the page.",
        scope=Scope.OPEN,
        places={"name": {"type": "string"}},
        content="application/octet-stream",
        refusals=(404,),
    ),
    Route(
        path="/login",
        handler=pages.login_page,
        summary="The form that asks for a token.",
        scope=Scope.OPEN,
        content=HTML,
    ),
    Route(
        path="/login",
        handler=pages.log_in,
        summary="Begin a session: a signed cookie for the right token.",
        method="POST",
        scope=Scope.OPEN,
        content=HTML,
        form=_LOGIN_FORM,
        refusals=(401, 403, 413, 415, 429),
    ),
    Route(
        path="/logout",
        handler=pages.log_out,
        summary="End the session.",
        method="POST",
        scope=Scope.OPEN,
        content=HTML,
        refusals=(403,),
    ),
)
