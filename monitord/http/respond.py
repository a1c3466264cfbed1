"""How an answer leaves: structs as JSON, refusals in one shape, headers on every response."""

from __future__ import annotations

import json

from collections.abc import Mapping

import msgspec

from aiohttp import web

from monitord.http.answers import Failure, Mistake
from monitord.http.parameter import BadParameter


CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

HEADERS: dict[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "monitord",
}


async def protect(request: web.Request, response: web.StreamResponse) -> None:
    """Put on the headers of every response; what is no asset is kept by no cache."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


def to_json(answer: object) -> bytes:
    """Return the struct as JSON; what is no number is null, a lone surrogate is escaped."""
    try:
        return msgspec.json.encode(answer)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(answer)).encode("ascii")


def to_line(answer: object) -> str:
    """Return the struct as ASCII JSON: one line whatever it holds, for a server-sent event."""
    return json.dumps(json.loads(to_json(answer)), separators=(",", ":"))


def answer(struct: object, status: int = 200) -> web.Response:
    return web.Response(
        body=to_json(struct), status=status, content_type="application/json", charset="utf-8"
    )


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the JSON of a refusal that is not about one parameter."""
    response = answer(Failure(Mistake(message=message)), status)
    response.headers.update(headers or {})
    return response


def bad_parameter(error: BadParameter) -> web.Response:
    mistake = Mistake(parameter=error.parameter, rule=error.rule, found=error.found)
    return answer(Failure(mistake), 400)
