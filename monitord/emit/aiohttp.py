"""Middleware for aiohttp's server. aiohttp itself is not imported."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from monitord.emit.default import default
from monitord.emit.emitter import Emitter
from monitord.emit.route import UNMATCHED
from monitord.emit.visit import ANSWER_HEADER, CLIENT_CLOSED, EXCLUDED, TRACING, Visit


Handler = Callable[[Any], Awaitable[Any]]
Middleware = Callable[[Any, Handler], Awaitable[Any]]


def aiohttp_middleware(
    emitter: Emitter | None = None, exclude: Iterable[str] = EXCLUDED
) -> Middleware:
    """
    Return a middleware that records each request but WebSockets; it belongs first in `middlewares`.

    The time is that until the handler has returned; aiohttp then sends what is not yet sent.
    """
    own, excluded = emitter or default(), frozenset(exclude)

    async def middleware(request: Any, handler: Handler) -> Any:
        if request.path in excluded or request.headers.get("Upgrade", "").lower() == "websocket":
            return await handler(request)
        visit = Visit(own, request.method)
        visit.begin(_headers(request))
        try:
            response = await handler(request)
        except BaseException as error:
            status = _answer_to(error, visit)
            if status >= 500:
                visit.note(error)
            visit.end(_label(request), status)
            raise
        _name_trace(response, visit)
        visit.end(_label(request), response.status)
        return response

    middleware.__middleware_version__ = 1  # type: ignore[attr-defined]
    return middleware


def _headers(request: Any) -> Iterator[tuple[bytes, bytes]]:
    for name in TRACING.values():
        for value in request.headers.getall(name.decode(), ()):
            yield name, value.encode("latin-1", "replace")


def _answer_to(error: BaseException, visit: Visit) -> int:
    """Return the status of what was raised: an answer of aiohttp's own, or a fault."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and hasattr(error, "prepared"):
        _name_trace(error, visit)
        return status
    return 500 if isinstance(error, Exception) else CLIENT_CLOSED


def _name_trace(response: Any, visit: Visit) -> None:
    if not response.prepared and ANSWER_HEADER not in response.headers:
        response.headers[ANSWER_HEADER] = visit.trace


def _label(request: Any) -> str:
    resource = getattr(getattr(request.match_info, "route", None), "resource", None)
    return UNMATCHED if resource is None else str(resource.canonical)
