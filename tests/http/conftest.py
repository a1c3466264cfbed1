"""A real web server on real memory; `served` has no store, `stored` has one."""

from __future__ import annotations

import asyncio
import itertools
import time

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from monitord import assets, settings
from monitord.errors import StoreUnreachable
from monitord.http import kpis, static
from monitord.http.pace import Pace
from monitord.http.ports import Ports
from monitord.http.server import WebServer
from monitord.intake.bus import Bus
from monitord.intake.window import Window
from monitord.model import Batch, Frame, Log, Metric, Reading, Reason, Request
from monitord.settings import PostgresTarget, RedisTarget, Secret, Settings, Targets, Web
from monitord.telemetry import Telemetry


TARGETS = Targets(
    redis=(RedisTarget(name="main", url=Secret("redis://127.0.0.1:1/0")),),
    postgres=(PostgresTarget(name="main", dsn=Secret("postgresql://127.0.0.1:1/x")),),
)
KINDS = (("main", "redis"), ("main", "postgres"), ("host", "host"))
WRITER = 1_795_459_100_000


class Away:
    """A store that has not answered since the start; every reader of it says so."""

    up = False
    since = 1_795_459_000.0
    detail = "connection refused"

    async def _refuse(self, *_: object, **__: object) -> Any:
        raise StoreUnreachable("store: connection refused")

    stats = points = names = page = _refuse


class Served:
    """A running web server, and the ways in that the other parts of monitord have."""

    def __init__(self, ports: Ports, server: WebServer) -> None:
        self.ports = ports
        self.server = server
        self.seqs = itertools.count(1)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def address(self, path: str = "/") -> str:
        scheme = "https" if self.ports.settings.web.tls.certificate else "http"
        return f"{scheme}://{self.host}{path}"

    def offer(
        self,
        requests: Sequence[Request] = (),
        logs: Sequence[Log] = (),
        metrics: Sequence[Metric] = (),
    ) -> Frame:
        """Take a batch in, as the intake does: remember it and show it."""
        batch = Batch(time.time(), requests, logs, metrics)
        frame = Frame(WRITER, next(self.seqs), batch)
        self.ports.window.add(batch)
        self.ports.bus.publish(frame)
        return frame

    def say(self, *messages: str, level: str = "INFO") -> Frame:
        """Take in one log line per message."""
        now = time.time()
        logs = [Log(time=now, service="shop", level=level, message=text) for text in messages]
        return self.offer(logs=logs)

    def sample(self, name: str, value: float, **attributes: str) -> None:
        """Take in one sample of now; names that say so are counters."""
        kind = "counter" if name in COUNTERS else "gauge"
        self.offer(metrics=[Metric(time.time(), name, value, kind=kind, attributes=attributes)])  # type: ignore[arg-type]

    def read(self, target: str, kind: str, reason: Reason | None = None) -> None:
        """Note a finished scrape: up, or down for a reason."""
        at = time.time()
        self.ports.window.note(Reading(target, kind, at, reason is None, 2.0, reason))

    async def send(self, raw: bytes, seconds: float = 5.0) -> bytes:
        """Send bytes on a connection of its own and return all that comes back until it ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            writer.write(raw)
            async with asyncio.timeout(seconds):
                return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


COUNTERS = frozenset(
    {
        "redis.keyspace.hits",
        "redis.keyspace.misses",
        "redis.keys.evicted",
        "postgres.blocks.hit",
        "postgres.blocks.read",
        "monitord.queue.dropped",
        "monitord.ingest.rejected",
    }
)

Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """
    A way to start a web server: `serve(web={...}, parts={...})` are changes to the settings and
    to the ports.
    """

    @asynccontextmanager
    async def serving(
        web: dict[str, Any] | None = None,
        parts: dict[str, Any] | None = None,
        pace: Pace | None = None,
        **further: Any,
    ) -> AsyncIterator[Served]:
        away = Away()
        chosen = Settings(
            state_dir=tmp_path / "state",
            store=settings.Store(),
            web=Web(port=0, **(web or {})),
            targets=TARGETS,
            **further,
        )
        given: dict[str, Any] = {
            "settings": chosen,
            "window": Window(),
            "bus": Bus(),
            "store": away,
            "requests": away,
            "metrics": away,
            "logs": away,
            "telemetry": Telemetry(),
            "kpis": kpis.load(assets.folder("config") / "kpis.yaml"),
            "assets": static.load(assets.folder("web/dist")),
            "checks": lambda: {"store": False},
        }
        ports = Ports(**(given | (parts or {})))
        for target, kind in KINDS:
            ports.window.expect(target, kind)
        async with WebServer(ports, pace) as server:
            yield Served(ports, server)

    return serving


@pytest.fixture
async def served(serve: Serve) -> AsyncIterator[Served]:
    """
    A web server on loopback without tokens, whose store does not answer.
    """
    async with serve() as found:
        yield found


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """
    A client that keeps cookies, of loopback addresses too, and follows no redirect by itself.
    """
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, auto_decompress=False) as session:
        yield session
