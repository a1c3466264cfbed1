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

from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import Struct
from multidict import MultiDict

import monitord

from monitord import assets
from monitord.errors import StoreError, StoreUnreachable
from monitord.http import static
from monitord.http.api import get_overview
from monitord.http.auth import COOKIE, Throttled, local_path
from monitord.http.keys import GATE, IDENTITY, PEER, PORTS, TEMPLATES
from monitord.http.parameter import Query
from monitord.http.parameters import RANGE, RANGES
from monitord.http.ports import Ports
from monitord.listen import read_body


T = TypeVar("T")

FORM_BYTES = 16 * 1024


class Away(Struct, frozen=True):
    """Why the store has not answered; `since` is when it went away, Unix seconds."""

    why: str
    since: float | None


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
    context = {
        "overview": await get_overview(request.app, RANGE.of(request.query)),
        "range": picked(request),
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


def windowed(request: web.Request) -> Query:
    """Return the query of a page for what answers the API: of the range that is picked."""
    asked = MultiDict(request.query)
    asked["range"] = picked(request)
    return asked


def picked(request: web.Request) -> str:
    """Return the name of the range that is picked."""
    seconds = RANGE.of(request.query)
    return next(name for name, value in RANGES.items() if value == seconds)


async def or_away(ports: Ports, reading: Awaitable[T]) -> tuple[T | None, Away | None]:
    """Return what the store answers; without an answer why there is none."""
    try:
        return await reading, None
    except (StoreError, StoreUnreachable) as error:
        return None, Away(str(error), ports.store.since if ports.store.up is False else None)


async def _form(request: web.Request) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        raise web.HTTPUnsupportedMediaType(text="expected application/x-www-form-urlencoded")
    body = await read_body(request, FORM_BYTES)
    try:
        pairs = parse_qsl(body.decode("utf-8", "surrogateescape"), max_num_fields=10)
    except ValueError:
        raise web.HTTPBadRequest(text="the form has too many fields") from None
    return dict(pairs)


def framed(
    request: web.Request, here: str, partial: str, *, ranged: bool = True, more: str = ""
) -> dict[str, Any]:
    """
    Return what frame.html needs: `here` is the page's path, `partial` that of what a refresh
    replaces, `more` what both keep of the address beside the range, such as "&service=shop".
    """
    ports, range_name = request.app[PORTS], picked(request)
    return {
        "here": here,
        "refresh_path": f"{partial}?range={range_name}{more}" if ranged else partial,
        "generated_at": ports.now(),
        "range": range_name if ranged else "",
        "ranges": list(RANGES) if ranged else [],
        "more": more,
        "refresh_seconds": ports.settings.web.refresh,
        "insecure": ports.settings.insecure,
        "signed_in": request[IDENTITY].session is not None,
    }
