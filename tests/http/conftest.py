"""A real web server on real memory; `served` has no store, `stored` has one."""

from __future__ import annotations

import asyncio
import time

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
import pytest_asyncio

from monitord import assets, settings
from monitord.http import kpis, static
from monitord.http.pace import Pace
from monitord.http.ports import Ports
from monitord.http.server import WebServer
from monitord.http.static import Assets
from monitord.intake.bus import Bus
from monitord.intake.dead_letters import DeadLetterFile
from monitord.intake.intake import Intake
from monitord.intake.spool.spool import Spool, open_spool
from monitord.intake.spool_metrics import SpoolMetrics
from monitord.intake.window import Window
from monitord.model import Batch, Log, Metric, MetricKind, Reading, Reason, Request
from monitord.settings import PostgresTarget, RedisTarget, Secret, Settings, Targets, Web
from monitord.store.annotations import AnnotationReader
from monitord.store.endpoint_stats import EndpointReader
from monitord.store.errors import ErrorReader
from monitord.store.jobs import JobReader
from monitord.store.logs import LogReader
from monitord.store.metrics import MetricReader
from monitord.store.pool import Store, open_pool
from monitord.store.recent_traces import RecentTraces
from monitord.store.request_events import RequestEvents
from monitord.store.requests import RequestReader
from monitord.store.series import SeriesReader
from monitord.store.traces import TraceReader
from monitord.store.writer import Writer
from monitord.telemetry import Telemetry


TARGETS = Targets(
    redis=(RedisTarget(name="main", url=Secret("redis://127.0.0.1:1/0")),),
    postgres=(PostgresTarget(name="main", dsn=Secret("postgresql://127.0.0.1:1/x")),),
)
KINDS = (("main", "redis"), ("main", "postgres"), ("host", "host"))
# The port of nobody: a connection to it is refused at once.
NOWHERE = "postgresql://monitord@127.0.0.1:1/monitord"
WRITER = 1_795_459_100_000


class Served:
    """A running web server, and the ways in that the other parts of monitord have."""

    def __init__(self, ports: Ports, server: WebServer, spool: Spool) -> None:
        self.ports = ports
        self.server = server
        self.spool = spool
        self.seq = 0
        self.intake = Intake(spool, ports.window, ports.bus)

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
        **others: Sequence[Any],
    ) -> int:
        """Take a batch in, as every listener and scraper does; return the number of its frame."""
        self.intake.offer(Batch(time.time(), requests, logs, metrics, **others))
        self.seq += 1
        return self.seq

    def say(self, *messages: str, level: str = "INFO") -> int:
        """Take in one log line per message; return the number of their frame."""
        now = time.time()
        logs = [Log(time=now, service="shop", level=level, message=text) for text in messages]
        return self.offer(logs=logs)

    def answered(self, *durations_ms: float, status: int = 200, ago: float = 0.0) -> None:
        """Take in one request per duration."""
        at = time.time() - ago
        self.offer([Request(at, "shop", "GET", "/orders/{id}", status, ms) for ms in durations_ms])

    async def settled(self) -> None:
        """Return when everything taken in is stored."""
        async with asyncio.timeout(10):
            await self.spool.settled()
            while self.spool.backlog.events:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)

    def sample(self, name: str, value: float, ago: float = 0.0, **attributes: str) -> None:
        """Take in one sample; COUNTERS are increments."""
        kind: MetricKind = "counter" if name in COUNTERS else "gauge"
        metric = Metric(time.time() - ago, name, value, kind=kind, attributes=attributes)
        self.offer(metrics=[metric])

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
        "monitord.events.dropped",
        "monitord.ingest.rejected",
        "monitord.store.refused",
        "monitord.emit.dropped",
    }
)

Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture(scope="session")
def built() -> Assets:
    """
    The page's files, as they were built before the tests.
    """
    return static.load(assets.folder("web/dist"))


@pytest.fixture
def serve(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, built: Assets) -> Serve:
    """
    A way to start a web server: `serve(web={...}, parts={...}, dsn=...)` are changes to the
    settings, to the ports, and the store's address: nobody's, unless one is given.
    """

    @asynccontextmanager
    async def serving(
        web: dict[str, Any] | None = None,
        parts: dict[str, Any] | None = None,
        pace: Pace | None = None,
        dsn: str = NOWHERE,
        **further: Any,
    ) -> AsyncIterator[Served]:
        telemetry = Telemetry()
        chosen = Settings(
            state_dir=tmp_path / "state",
            store=settings.Store(flush_every=0.01),
            web=Web(port=0, **(web or {})),
            targets=TARGETS,
            **further,
        )
        given: dict[str, Any] = {
            "settings": chosen,
            "window": Window(),
            "bus": Bus(),
            "telemetry": telemetry,
            "kpis": kpis.load(assets.folder("config") / "kpis.yaml"),
            "assets": built,
        }
        async with (
            open_spool(tmp_path_factory.mktemp("spool"), WRITER) as spool,
            open_pool(chosen.store, dsn, "test", telemetry) as store,
        ):
            telemetry.collect_from(SpoolMetrics(spool))
            events = RequestEvents(store)
            given |= {
                "intake": Intake(spool, given["window"], given["bus"]),
                "spool": spool,
                "store": store,
                "store_size": lambda: None,
                "requests": RequestReader(store),
                "events": events,
                "endpoints": EndpointReader(store),
                "metrics": MetricReader(store),
                "logs": LogReader(store),
                "traces": TraceReader(store, events),
                "recent_traces": RecentTraces(store),
                "errors": ErrorReader(store),
                "annotations": AnnotationReader(store),
                "series": SeriesReader(store),
                "jobs": JobReader(store),
                "checks": lambda: {"store": bool(store.up)},
            }
            ports = Ports(**(given | (parts or {})))
            for target, kind in KINDS:
                ports.window.expect(target, kind)
            while store.up is None:  # noqa: ASYNC110 - only being up has an event
                await asyncio.sleep(0.001)
            async with WebServer(ports, pace) as server:
                yield Served(ports, server, spool)

    return serving


@pytest.fixture
async def served(serve: Serve) -> AsyncIterator[Served]:
    """
    A web server on loopback without tokens, whose store does not answer.
    """
    async with serve() as found:
        yield found


@pytest_asyncio.fixture
async def stored(serve: Serve, database: str) -> AsyncIterator[Served]:
    """
    A web server whose store is up, and a writer that keeps up with what is taken in.
    """
    async with serve(dsn=database) as served:
        ports = served.ports
        letters = DeadLetterFile(ports.settings.state_dir / "dead_letters.jsonl", ports.telemetry)
        store = cast(Store, ports.store)
        writer = Writer(store, served.spool, ports.telemetry, letters, 0.01)
        writing = asyncio.create_task(writer.run())
        yield served
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """
    A client that keeps cookies, of loopback addresses too, and follows no redirect by itself.
    """
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, auto_decompress=False) as session:
        yield session
