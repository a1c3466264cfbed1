"""
The border every request crosses: who asks, whether it may, and no error that leaves as it came.

Outermost first: `shape` turns whatever was raised into an answer, `admit` checks the Host header
and finds out who asks, `guarded` checks what one route asks for.
"""

from __future__ import annotations

from urllib.parse import quote

import structlog

from aiohttp import web

from monitord.errors import StoreError, StoreUnreachable
from monitord.http.auth import Identity, Scope, Throttled
from monitord.http.keys import GATE, IDENTITY, PEER, PORTS
from monitord.http.pages import error_page, redirect
from monitord.http.parameter import BadParameter, refuse_unknown
from monitord.http.peer import peer_of, same_origin
from monitord.http.respond import bad_parameter, refusal
from monitord.http.route import Handler, Route
from monitord.listen import allowed_host, local_port


log = structlog.get_logger(__name__)

MACHINE_PATHS = ("/api/", "/metrics", "/healthz", "/readyz", "/assets/")

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="monitord"'}


class Refused(Exception):
    """The request goes no further; the message says why in one sentence."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


@web.middleware
async def shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every error one shape: JSON for the API, a page for people. Log what is our fault."""
    try:
        return await handler(request)
    except BadParameter as error:
        if is_for_machines(request):
            return bad_parameter(error)
        return error_page(request.app, 400, f"{error.parameter}: {error.rule}.")
    except Refused as refused:
        return _refusal(request, refused.status, str(refused), refused.headers)
    except Throttled as throttled:
        return _refusal(request, 429, str(throttled), {"Retry-After": str(throttled.seconds)})
    except (StoreError, StoreUnreachable) as error:
        return _refusal(request, 503, str(error), {"Retry-After": "5"})
    except web.HTTPException as raised:
        if raised.status < 400:
            raise
        allow = {"Allow": raised.headers["Allow"]} if "Allow" in raised.headers else {}
        own = raised.text if raised.text != f"{raised.status}: {raised.reason}" else None
        response = _refusal(request, raised.status, own or raised.reason, allow)
        if not raised.keep_alive and raised.keep_alive is not None:
            response.force_close()
        return response
    except ConnectionError:
        raise  # the client has left; aiohttp ends the connection
    except Exception:  # the HTTP border: whatever a handler did wrong, the client gets an answer
        log.exception("http.failed", method=request.method, path=request.path)
        return _refusal(request, 500, "monitord failed to answer; its log says why")


def is_for_machines(request: web.Request) -> bool:
    base = request.app[PORTS].settings.web.base_path
    return request.path.removeprefix(base).startswith(MACHINE_PATHS)


def _refusal(
    request: web.Request, status: int, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    if is_for_machines(request) or PEER not in request:
        return refusal(status, message, headers)
    response = error_page(request.app, status, message)
    response.headers.update(headers or {})
    return response


@web.middleware
async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a Host that is none of ours (DNS rebinding), on every route; note who asks."""
    settings = request.app[PORTS].settings.web
    peer = peer_of(request.remote or "", request.scheme, request.headers, settings.trusted_proxies)
    port = local_port(request)
    for host in {request.headers.get("Host"), peer.host}:
        if not allowed_host(host, settings.allowed_hosts, port):
            raise Refused(421, "this Host is not served here; see web.allowed_hosts")
    request[PEER] = peer
    return await handler(request)


def guarded(route: Route) -> Handler:
    """Return the route's handler behind the checks the route asks for."""

    async def handle(request: web.Request) -> web.StreamResponse:
        identity = _identity(request, route)
        if identity.scope < route.scope:
            return _unknown_caller(request, route, identity)
        request[IDENTITY] = identity
        if route.method != "GET":
            _refuse_foreign(request, identity, route)
        if route.strict:
            refuse_unknown(request.query, route.parameters)
        return await route.handler(request)

    return handle


def _identity(request: web.Request, route: Route) -> Identity:
    try:
        return request.app[GATE].identify(request.headers, request.cookies, request[PEER].address)
    except Throttled:
        if route.scope > Scope.OPEN:
            raise
        return Identity(Scope.OPEN, "nothing")


def _unknown_caller(request: web.Request, route: Route, identity: Identity) -> web.Response:
    if identity.scope > Scope.OPEN:
        raise Refused(403, f"this needs a token of the scope {route.scope.name.lower()}")
    if route.page:
        path = request.rel_url.raw_path_qs
        base = request.app[PORTS].settings.web.base_path
        return redirect(request.app, f"/login?next={quote(path.removeprefix(base), safe='/')}")
    raise Refused(401, "a token is needed: Authorization: Bearer …, or the login page", CHALLENGE)


def _refuse_foreign(request: web.Request, identity: Identity, route: Route) -> None:
    """
    Refuse a change that another site's page asks for.

    Every browser says where a POST comes from. Who says nothing is no browser, and is believed
    only if it brings its secret along: a bearer header, or a token in the log-in form.
    """
    own = same_origin(request.headers, request[PEER])
    brings_secret = identity.via == "bearer" or route.form is not None
    if own is False or (own is None and not brings_secret):
        raise Refused(403, "this request does not come from a page of monitord")
