"""The page of all metrics: any series, several at once. What it draws it fetches from the API."""

from __future__ import annotations

from aiohttp import web

from monitord.http.pages import framed, html
from monitord.http.parameters import AGGREGATES


async def page(request: web.Request) -> web.Response:
    context = framed(request, "/metrics-explorer", "") | {"aggregates": AGGREGATES}
    return html(request.app, "explorer.html", context)
