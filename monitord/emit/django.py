"""Django: a middleware for MIDDLEWARE, first of all, under WSGI and ASGI. Imports no Django."""

from __future__ import annotations

import inspect
import re

from collections.abc import Awaitable, Callable
from typing import Any

from monitord.emit.default import default
from monitord.emit.route import UNMATCHED
from monitord.emit.visit import ANSWER_HEADER, CLIENT_CLOSED, EXCLUDED, Visit, from_cgi


# Where the visit of a request is meanwhile.
VISIT = "monitord_visit"

_typed = re.compile(r"<(?:[^<>:]*:)?([^<>:]+)>")
_group = re.compile(r"\(\?P<([^<>]+)>(?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)")


def middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """
    Record each request by the default emitter; the time is that until the answer is made.

    The body of a streaming answer comes later.
    """
    around = _awaited if inspect.iscoroutinefunction(get_response) else _called
    served = around(get_response)
    # Django answers an exception of a view itself, and only here says which it was.
    served.process_exception = _note  # type: ignore[attr-defined]
    return served


middleware.sync_capable = middleware.async_capable = True  # type: ignore[attr-defined]


def _called(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def served(request: Any) -> Any:
        if request.path_info in EXCLUDED:
            return get_response(request)
        visit = _begin(request)
        try:
            response = get_response(request)
        except BaseException as error:
            _failed(visit, request, error)
            raise
        return _answered(visit, request, response)

    return served


def _awaited(get_response: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Any]:
    async def served(request: Any) -> Any:
        if request.path_info in EXCLUDED:
            return await get_response(request)
        visit = _begin(request)
        try:
            response = await get_response(request)
        except BaseException as error:
            _failed(visit, request, error)
            raise
        return _answered(visit, request, response)

    return served


def _begin(request: Any) -> Visit:
    visit = Visit(default(), request.method or "GET")
    visit.begin(from_cgi(request.META))
    setattr(request, VISIT, visit)
    return visit


def _note(request: Any, exception: BaseException) -> None:
    visit = getattr(request, VISIT, None)
    if visit is not None:
        visit.note(exception)


def _answered(visit: Visit, request: Any, response: Any) -> Any:
    if ANSWER_HEADER not in response.headers:
        response.headers[ANSWER_HEADER] = visit.trace
    visit.end(_label(request), response.status_code)
    return response


def _failed(visit: Visit, request: Any, error: BaseException) -> None:
    visit.note(error)
    visit.end(_label(request), 500 if isinstance(error, Exception) else CLIENT_CLOSED)


def _label(request: Any) -> str:
    match = getattr(request, "resolver_match", None)
    return UNMATCHED if match is None else f"/{template(str(match.route))}"


def template(route: str) -> str:
    """Return `orders/{id}` for `orders/<int:id>`, and for `^orders/(?P<id>[0-9]+)$`."""
    bare = _group.sub(r"{\1}", route) if "(?P<" in route else route
    return _typed.sub(r"{\1}", bare).replace("^", "").removesuffix("\\Z").removesuffix("$")
