"""The HTTP side of the ingest port, and of OpenTelemetry's own: which paths, which ports."""

from __future__ import annotations

import contextlib
import time

from types import TracebackType
from typing import Protocol, Self

from aiohttp import web

from monitord.errors import SettingsError
from monitord.ingest.answers import host_checked_for, in_json
from monitord.ingest.entrance import Entrance
from monitord.ingest.otlp.receiver import OtlpReceiver
from monitord.ingest.receiver import Receiver
from monitord.ingest.senders import Senders
from monitord.listen import HttpServer, TokenSet, check_bind, tls_context
from monitord.model import DurableSink
from monitord.settings import Ingest
from monitord.telemetry import Telemetry


CONNECTIONS = 512
LINGERING_SECONDS = 3.0


class Routes(Protocol):
    """What takes bodies at some paths."""

    def add_routes(self, app: web.Application) -> None: ...


def ingest_app(ingest: Ingest, *routes: Routes) -> web.Application:
    """Return the application; `IngestServer` serves it as it is meant to be served."""
    app = web.Application(middlewares=[in_json, host_checked_for(ingest.allowed_hosts)])
    for part in routes:
        part.add_routes(app)
    app.router.add_get("/healthz", _healthz)
    return app


class IngestServer:
    """
    Serves the ingest port's HTTP side while its context is open; also OpenTelemetry's port, if set.

    Raises SettingsError on entering: the port is taken, the certificate is unusable, or others can
    reach it without a token and `insecure` does not say that this is meant.
    """

    def __init__(
        self, ingest: Ingest, sink: DurableSink, telemetry: Telemetry, *, insecure: bool = False
    ) -> None:
        self._ingest = ingest
        self._insecure = insecure
        self.senders = Senders(telemetry)
        entrance = Entrance(ingest, sink)
        native = Receiver(entrance, telemetry, self.senders, ingest.body_items, time.time)
        self._otlp = OtlpReceiver(entrance, telemetry, ingest.body_items, time.time)
        self._app = ingest_app(ingest, native, self._otlp)
        self._stack = contextlib.AsyncExitStack()
        self.port = ingest.port
        self.otlp_port = ingest.otlp_port

    async def __aenter__(self) -> Self:
        ingest = self._ingest
        check_bind(ingest.host, bool(TokenSet(ingest.tokens)), self._insecure, "ingest")
        async with contextlib.AsyncExitStack() as stack:
            self.port = await self._serve(stack, self._app, ingest.port)
            if ingest.otlp_port is not None:
                app = ingest_app(ingest, self._otlp)
                try:
                    self.otlp_port = await self._serve(stack, app, ingest.otlp_port)
                except SettingsError as error:
                    sentence = str(error).replace("ingest.port:", "ingest.otlp_port:", 1)
                    raise SettingsError(sentence) from error
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _serve(
        self, stack: contextlib.AsyncExitStack, app: web.Application, port: int
    ) -> int:
        """Serve an application as long as the stack is open; return the port."""
        ingest = self._ingest
        server = HttpServer(
            app,
            ingest.host,
            port,
            tls=tls_context(ingest.tls, "ingest"),
            key="ingest",
            connections=CONNECTIONS,
            auto_decompress=False,
            lingering_time=LINGERING_SECONDS,
        )
        await stack.enter_async_context(server)
        return server.port


async def _healthz(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
