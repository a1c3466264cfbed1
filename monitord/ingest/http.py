"""The native protocol over HTTP: `POST /v1/ingest`, answered when the events are safe."""

from __future__ import annotations

import time

from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from monitord.ingest.answers import host_checked_for, in_json
from monitord.ingest.receiver import Receiver
from monitord.ingest.senders import Senders
from monitord.listen import HttpServer, TokenSet, check_bind, tls_context
from monitord.model import DurableSink
from monitord.settings import Ingest
from monitord.telemetry import Telemetry


CONNECTIONS = 512
LINGERING_SECONDS = 3.0


def ingest_app(
    ingest: Ingest,
    sink: DurableSink,
    telemetry: Telemetry,
    senders: Senders,
    now: Callable[[], float] = time.time,
) -> web.Application:
    """Return the application; `IngestServer` serves it as it is meant to be served."""
    app = web.Application(middlewares=[in_json, host_checked_for(ingest.allowed_hosts)])
    app.router.add_post("/v1/ingest", Receiver(ingest, sink, telemetry, senders, now).receive)
    app.router.add_get("/healthz", _healthz)
    return app


class IngestServer:
    """
    Serves the ingest port's HTTP side while its context is open.

    Raises SettingsError on entering: the port is taken, the certificate is unusable, or others can
    reach it without a token and `insecure` does not say that this is meant.
    """

    def __init__(
        self, ingest: Ingest, sink: DurableSink, telemetry: Telemetry, *, insecure: bool = False
    ) -> None:
        self._ingest = ingest
        self._insecure = insecure
        self.senders = Senders(telemetry)
        self._app = ingest_app(ingest, sink, telemetry, self.senders)
        self._server: HttpServer | None = None
        self.port = ingest.port

    async def __aenter__(self) -> Self:
        ingest = self._ingest
        check_bind(ingest.host, bool(TokenSet(ingest.tokens)), self._insecure, "ingest")
        self._server = HttpServer(
            self._app,
            ingest.host,
            ingest.port,
            tls=tls_context(ingest.tls, "ingest"),
            key="ingest",
            connections=CONNECTIONS,
            auto_decompress=False,
            lingering_time=LINGERING_SECONDS,
        )
        await self._server.__aenter__()
        self.port = self._server.port
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            await self._server.__aexit__(kind, error, trace)


async def _healthz(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
