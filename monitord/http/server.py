"""The web server: one aiohttp application of all routes, on one port."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import msgspec

from aiohttp import web

from monitord.http import openapi
from monitord.http.auth import Gate
from monitord.http.border import admit, guarded, shape
from monitord.http.exposition import Exposition
from monitord.http.keys import (
    ENCODER,
    EXPOSITION,
    GATE,
    MEMO,
    ONSETS,
    OPENAPI,
    PACE,
    PORTS,
    SEATS,
    TEMPLATES,
)
from monitord.http.lines import Encoder
from monitord.http.memo import Memo
from monitord.http.onsets import Onsets
from monitord.http.pace import Pace
from monitord.http.pages import environment
from monitord.http.ports import Ports
from monitord.http.respond import protect
from monitord.http.routes import ROUTES
from monitord.http.sessions import session_key
from monitord.http.throttle import Seats
from monitord.listen import HttpServer, check_bind, tls_context


BODY_LIMIT = 64 * 1024


class WebServer:
    """
    Serves the page and the API as long as its block runs; `port` is the port it got.

    Raises SettingsError: the address cannot be used, or must not be without a token. AssetError:
    the page's files are missing. MonitordError: the session key cannot be kept.
    """

    def __init__(self, ports: Ports, pace: Pace | None = None) -> None:
        self._settings = ports.settings.web
        tokens = bool(self._settings.read_tokens or self._settings.admin_tokens)
        check_bind(self._settings.host, tokens, ports.settings.insecure, "web")
        self.app = application(ports, pace or Pace())
        self._server = HttpServer(
            self.app,
            self._settings.host,
            self._settings.port,
            tls=tls_context(self._settings.tls, "web"),
            key="web",
            # A client that leaves ends its handler, and with it its query or its live stream.
            handler_cancellation=True,
            # Nothing sent here is large enough to be packed.
            auto_decompress=False,
        )

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        """The address of the page."""
        scheme = "https" if self._settings.tls.certificate else "http"
        return f"{scheme}://{self._server.address}{self._settings.base_path}/"

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._server.__aexit__(kind, error, trace)


def application(ports: Ports, pace: Pace) -> web.Application:
    """Return the application: every route at its path, and under `base_path` too."""
    app = web.Application(middlewares=[shape, admit], client_max_size=BODY_LIMIT)
    settings = ports.settings.web
    closed = bool(settings.read_tokens or settings.admin_tokens)
    app[PORTS] = ports
    app[GATE] = Gate(settings, session_key(ports.settings.state_dir) if closed else b"", ports.now)
    app[SEATS] = Seats()
    app[MEMO] = Memo()
    app[ONSETS] = Onsets(ports.window)
    app[PACE] = pace
    app[ENCODER] = Encoder()
    app[TEMPLATES] = environment(ports)
    app[EXPOSITION] = Exposition(ports.telemetry, ports.window)
    document = openapi.document(ROUTES, settings.base_path, closed)
    app[OPENAPI] = msgspec.json.encode(document)
    app.on_response_prepare.append(protect)
    app.on_shutdown.append(_end_streams)
    # A proxy may cut the prefix off or pass it on; machines on this host ask without it.
    for base in dict.fromkeys(("", settings.base_path)):
        _add_routes(app, base)
    return app


def _add_routes(app: web.Application, base: str) -> None:
    for route in ROUTES:
        handler = guarded(route)
        if route.method == "GET":
            app.router.add_get(f"{base}{route.path}", handler, allow_head=route.head)
        else:
            app.router.add_route(route.method, f"{base}{route.path}", handler)


async def _end_streams(app: web.Application) -> None:
    """Let every live stream say goodbye, so that the server need not wait for them."""
    app[PORTS].bus.close()
