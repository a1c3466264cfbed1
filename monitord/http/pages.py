"""
The pages: their handlers, and what the templates get.

Context of every template: `base` (the path prefix, may be empty), `assets` (logical name -> name in
this build), `version`, `instance`. Beside that:

    page.html               overview (answers.Overview), range, ranges, refresh_seconds,
                            insecure, signed_in
    partials/overview.html  overview
    itself.html, partials/itself.html  as their heads say; their handlers are in itself.py
    partials/exact_figures.html  as its head says; its handler is in exact.py
    login.html              message, next
    error.html              status, title, detail
"""

from __future__ import annotations

import http

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import monitord

from monitord import assets
from monitord.http import static
from monitord.http.api import get_overview
from monitord.http.auth import COOKIE, Throttled, local_path
from monitord.http.keys import GATE, IDENTITY, PEER, PORTS, TEMPLATES
from monitord.http.parameters import RANGE, RANGES
from monitord.http.ports import Ports
from monitord.listen import read_body


FORM_BYTES = 16 * 1024


def environment(ports: Ports) -> Environment:
    """Return the templates: every text is escaped, a name that is missing is an error."""
    made = Environment(
        loader=FileSystemLoader(assets.folder("web/templates")),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        base=ports.settings.web.base_path,
        assets=ports.assets.names,
        version=monitord.__version__,
        instance=ports.settings.instance,
    )
    return made


def html(
    app: web.Application, template: str, context: Mapping[str, Any], status: int = 200
) -> web.Response:
    text = app[TEMPLATES].get_template(template).render(context)
    return web.Response(text=text, status=status, content_type="text/html")


def error_page(app: web.Application, status: int, detail: str) -> web.Response:
    context = {"status": status, "title": http.HTTPStatus(status).phrase, "detail": detail}
    return html(app, "error.html", context, status)


async def page(request: web.Request) -> web.Response:
    """Answer the page, its figures already in it."""
    settings = request.app[PORTS].settings
    seconds = RANGE.of(request.query)
    context = {
        "overview": await get_overview(request.app, seconds),
        "range": next(name for name, value in RANGES.items() if value == seconds),
        "ranges": list(RANGES),
        "refresh_seconds": settings.web.refresh,
        "insecure": settings.insecure,
        "signed_in": request[IDENTITY].session is not None,
    }
    return html(request.app, "page.html", context)


async def partial_overview(request: web.Request) -> web.Response:
    """Answer the parts of the page that a refresh replaces."""
    overview = await get_overview(request.app, RANGE.of(request.query))
    return html(request.app, "partials/overview.html", {"overview": overview})


async def asset(request: web.Request) -> web.Response:
    found = request.app[PORTS].assets.files.get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    return static.response(request, found)


async def login_page(request: web.Request) -> web.Response:
    """Answer the form; who needs no token, or has shown it, goes on."""
    goal = local_path(request.query.get("next", "/"))
    if request[IDENTITY].scope:
        return redirect(request.app, goal)
    return _login_form(request.app, "", goal)


async def log_in(request: web.Request) -> web.Response:
    """Begin a session for the right token, else answer the form again."""
    form = await _form(request)
    goal = local_path(form.get("next", "/"))
    try:
        value = request.app[GATE].log_in(form.get("token", ""), request[PEER].address)
    except Throttled as throttled:
        answer = _login_form(request.app, f"{throttled}.", goal, 429)
        answer.headers["Retry-After"] = str(throttled.seconds)
        return answer
    if value is None:
        return _login_form(request.app, "This token is not known.", goal, 401)
    settings = request.app[PORTS].settings.web
    answer = redirect(request.app, goal)
    answer.set_cookie(
        COOKIE,
        value,
        path=settings.base_path or "/",
        max_age=int(settings.session),
        httponly=True,
        samesite="Strict",
        secure=request[PEER].secure,
    )
    return answer


def _login_form(app: web.Application, message: str, goal: str, status: int = 200) -> web.Response:
    return html(app, "login.html", {"message": message, "next": goal}, status)


async def log_out(request: web.Request) -> web.Response:
    """End the session, and let the browser forget it."""
    request.app[GATE].log_out(request[IDENTITY])
    answer = redirect(request.app, "/login")
    path = request.app[PORTS].settings.web.base_path or "/"
    answer.del_cookie(COOKIE, path=path, httponly=True, samesite="Strict")
    return answer


def redirect(app: web.Application, path: str) -> web.Response:
    """Send the browser to one of our own pages."""
    base = app[PORTS].settings.web.base_path
    return web.Response(status=303, headers={"Location": f"{base}{path}"})


async def _form(request: web.Request) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        raise web.HTTPUnsupportedMediaType(text="expected application/x-www-form-urlencoded")
    body = await read_body(request, FORM_BYTES)
    try:
        pairs = parse_qsl(body.decode("utf-8", "surrogateescape"), max_num_fields=10)
    except ValueError:
        raise web.HTTPBadRequest(text="the form has too many fields") from None
    return dict(pairs)
