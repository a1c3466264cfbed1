"""What machines ask: alive, ready, the self-metrics, and what the API is."""

from __future__ import annotations

from aiohttp import web

from monitord.http.answers import Health, Readiness
from monitord.http.auth import Scope
from monitord.http.keys import EXPOSITION, IDENTITY, OPENAPI, PORTS
from monitord.http.respond import answer


async def alive(request: web.Request) -> web.Response:
    """Answer that the process answers; nothing else is looked at."""
    return answer(Health("ok"))


async def ready(request: web.Request) -> web.Response:
    """Answer 503 until every part is ready; which one is not is told to those who may read."""
    checks = dict(request.app[PORTS].checks())
    status = 200 if all(checks.values()) else 503
    shown = checks if request[IDENTITY].scope >= Scope.READ else {}
    return answer(Readiness("ready" if status == 200 else "not ready", shown), status)


async def metrics(request: web.Request) -> web.Response:
    body, content_type = request.app[EXPOSITION].write(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


async def document(request: web.Request) -> web.Response:
    return web.Response(body=request.app[OPENAPI], content_type="application/json")
