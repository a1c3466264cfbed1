"""The page of jobs: `/jobs`, and the part of it that a refresh replaces."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from monitord.http.jobs import get_jobs
from monitord.http.keys import PORTS
from monitord.http.pages import framed, html, or_away, windowed


async def page(request: web.Request) -> web.Response:
    """Answer the page, its figures already in it."""
    return html(request.app, "jobs.html", await _context(request))


async def partial(request: web.Request) -> web.Response:
    return html(request.app, "partials/jobs.html", await _context(request))


async def _context(request: web.Request) -> dict[str, Any]:
    ports = request.app[PORTS]
    jobs, away = await or_away(ports, get_jobs(ports, windowed(request)))
    return framed(request, "/jobs", "/partials/jobs") | {"jobs": jobs, "away": away}
