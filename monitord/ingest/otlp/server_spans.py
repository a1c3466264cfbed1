"""The request a server's span was, by the old and by the new names of the HTTP conventions."""

from __future__ import annotations

import re

from collections.abc import Mapping
from typing import Any

from monitord.ingest.limits import NAME_CHARACTERS
from monitord.ingest.otlp.values import text_of
from monitord.model import METHODS, Request, Span


# The route of a request whose span names none: its path would be a label of its own.
NO_ROUTE = "unknown"
# What a span's name may begin with before the route.
METHOD = re.compile(r"(?:HTTP )?[A-Z]{3,8}(?: +|$)")
# A part of a path that looks like a value: a number, an id, what was escaped.
VALUE = re.compile(r"/[^/]*(?:[0-9%=]|[^/]{40})")


def request_of(span: Span) -> Request | None:
    """Return the request a server's span was, None when it was none that HTTP answered."""
    found = span.attributes
    method = found.get("http.request.method") or found.get("http.method")
    if not method:
        return None
    status = _status(found, span)
    if status is None:
        return None
    method = text_of(method)
    failed = status >= 500 or span.status == "error"
    return Request(
        span.time,
        span.service,
        method if method in METHODS else _other(method),
        _route(found, span.name),
        status,
        span.duration_ms,
        span.trace_id,
        span.span_id,
        error=span.error if failed else None,
    )


def _other(method: str) -> str:
    method = method.upper()
    return method if method in METHODS else "OTHER"


def _status(found: Mapping[str, Any], span: Span) -> int | None:
    """Return the status; of what failed before it had one, 500: that is what the client got."""
    status = found.get("http.response.status_code") or found.get("http.status_code")
    if isinstance(status, str) and len(status) == 3 and status.isascii() and status.isdigit():
        status = int(status)
    if type(status) is int and 100 <= status <= 599:
        return status
    return 500 if status is None and span.status == "error" else None


def _route(found: Mapping[str, Any], name: str) -> str:
    route = found.get("http.route")
    if not route:
        return _named(found, name)
    route = text_of(route)
    return route if len(route) <= NAME_CHARACTERS else NO_ROUTE


def _named(found: Mapping[str, Any], name: str) -> str:
    """Return the route a span's name holds, unless that is a path with values in it."""
    route = METHOD.sub("", name, count=1).strip()
    path = text_of(found.get("url.path") or found.get("http.target") or "").partition("?")[0]
    if not route or "?" in route or (route == path and VALUE.search(route)):
        return NO_ROUTE
    return route
