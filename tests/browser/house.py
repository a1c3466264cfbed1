"""A monitord whose window, bus and store a test fills, behind the real web server."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time

from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

from monitord import assets
from monitord.http import kpis, static
from monitord.http.ports import Ports
from monitord.http.server import WebServer
from monitord.intake.bus import Bus
from monitord.intake.dead_letters import DeadLetterFile
from monitord.intake.intake import Intake
from monitord.intake.spool.spool import Spool, open_spool
from monitord.intake.spool_metrics import SpoolMetrics
from monitord.intake.window import Window
from monitord.model import (
    LISTS,
    Batch,
    Event,
    Log,
    Metric,
    Reading,
    Reason,
    Request,
    type_of,
)
from monitord.settings import PostgresTarget, RedisTarget, Secret, Settings, Store, Targets, Web
from monitord.store.annotations import AnnotationReader
from monitord.store.endpoint_stats import EndpointReader
from monitord.store.errors import ErrorReader
from monitord.store.jobs import JobReader
from monitord.store.logs import LogReader
from monitord.store.metrics import MetricReader
from monitord.store.pool import open_pool
from monitord.store.recent_traces import RecentTraces
from monitord.store.request_events import RequestEvents
from monitord.store.requests import RequestReader
from monitord.store.series import SeriesReader
from monitord.store.size_cap import StoreSize
from monitord.store.traces import TraceReader
from monitord.store.writer import Writer
from monitord.telemetry import Telemetry


MIB = 1024**2

# A store that nobody waits for: nothing listens there.
NOWHERE = "postgresql://monitord@127.0.0.1:1/monitord"

# Every target of the settings: kind by name.
TARGETS = {"main": "redis", "orders": "postgres", "host": "host"}

# What a scrape of each target brings: name -> value; a text after the name is its attribute.
SCRAPED: dict[str, dict[str, float]] = {
    "main": {
        "redis.memory.used_bytes": 31 * MIB,
        "redis.memory.rss_bytes": 38 * MIB,
        "redis.memory.max_bytes": 64 * MIB,
        "redis.keys": 18_234,
        "redis.clients.connected": 12,
        "redis.keyspace.hits": 930,
        "redis.keyspace.misses": 70,
        "redis.keyspace.hit_ratio": 0.93,
        "redis.keys.evicted": 0,
    },
    "orders": {
        "postgres.connections state=active": 3,
        "postgres.connections state=idle": 14,
        "postgres.connections.total": 18,
        "postgres.connections.max": 100,
        "postgres.blocks.hit": 9_990,
        "postgres.blocks.read": 10,
        "postgres.cache.hit_ratio": 0.999,
        "postgres.database.size_bytes database=shop": 1_800 * MIB,
        "postgres.statements.slow": 0,
    },
    "host": {
        "system.cpu.utilization_ratio": 0.37,
        "system.cpu.count": 4,
        "system.memory.used_bytes": 8_000 * MIB,
        "system.memory.total_bytes": 16_000 * MIB,
        "system.memory.utilization_ratio": 0.5,
        "system.disk.used_bytes mountpoint=/": 120_000 * MIB,
        "system.disk.total_bytes mountpoint=/": 440_000 * MIB,
        "system.disk.utilization_ratio mountpoint=/": 0.27,
    },
}
COUNTERS = re.compile(r"hits|misses|evicted|blocks")


class House:
    """A monitord without scrapers and listeners: what they would bring, the test offers."""

    def __init__(self, ports: Ports, spool: Spool, intake: Intake) -> None:
        self.ports = ports
        self.spool = spool
        self.intake = intake
        self.server = WebServer(ports)

    @property
    def url(self) -> str:
        return self.server.url

    def reading(self, target: str, **changes: Any) -> None:
        """Note a scrape of a target; up unless told otherwise."""
        given = {"at": time.time(), "up": True, "duration_ms": 4.0} | changes
        self.ports.window.note(Reading(target=target, kind=TARGETS[target], **given))

    def down(self, target: str, since: float) -> None:
        self.reading(
            target,
            at=since,
            up=False,
            reason=Reason.REFUSED,
            detail="nothing listens on 127.0.0.1:6379",
            remedy="start the server, or correct its url",
        )

    def scrape(self, target: str, at: float, **changes: float) -> None:
        """Offer the samples of one scrape, those of `changes` (underscores for dots) over them."""
        values = SCRAPED[target] | {name.replace("__", "."): v for name, v in changes.items()}
        metrics = [_metric(words, value, target, at) for words, value in values.items()]
        self.intake.offer(Batch(at, metrics=metrics))

    def requests(self, at: float, durations_ms: list[float], status: int = 200) -> None:
        self.intake.offer(
            Batch(
                at,
                requests=[
                    Request(at, "shop", "GET", "/orders/{id}", status, ms) for ms in durations_ms
                ],
            )
        )

    def events(self, *events: Event) -> None:
        """Offer events of any type."""
        lists: dict[str, list[Any]] = {}
        for event in events:
            lists.setdefault(LISTS[type_of(event)], []).append(event)
        self.intake.offer(Batch(time.time(), **lists))

    def log(self, message: str, level: str = "INFO", **changes: Any) -> None:
        given = {"time": time.time(), "service": "shop", "logger": "shop.orders"} | changes
        self.intake.offer(Batch(time.time(), logs=[Log(level=level, message=message, **given)]))

    def fill(self, minutes: int = 14, without: str = "") -> None:
        """Offer what the last minutes would have brought, of all targets but one."""
        now = time.time()
        watched = {status.target for status in self.ports.window.targets()}
        names = [name for name in TARGETS if name in watched - {without}]
        for name in names:
            self.reading(name, at=now - 60 * minutes)
        for at in range(int(now) - 60 * minutes, int(now) + 1, 10):
            wave = 1 + 0.4 * math.sin(at / 60)
            self.requests(at, [wave * ms for ms in (9, 11, 12, 14, 16, 20, 25, 30, 45, 60)])
            for name in names:
                self.scrape(name, at)
        for name in names:
            self.reading(name)

    async def stored(self) -> None:
        """Return when everything offered is in the store."""
        await self.spool.settled()
        while self.spool.backlog.events:  # noqa: ASYNC110 - it tells nobody when it is empty
            await asyncio.sleep(0.02)


def _metric(words: str, value: float, target: str, at: float) -> Metric:
    name, *attributes = words.split()
    pairs = dict(attribute.split("=") for attribute in attributes)
    kind = "counter" if COUNTERS.search(name) else "gauge"
    return Metric(at, name, value, kind=kind, attributes={"target": target, **pairs})


def make_settings(folder: Path, names: Collection[str], **web: Any) -> Settings:
    redis = RedisTarget(name="main", url=Secret("redis://127.0.0.1"))
    postgres = PostgresTarget(name="orders", dsn=Secret("postgresql://127.0.0.1"))
    targets = Targets(
        redis=(redis,) if redis.name in names else (),
        postgres=(postgres,) if postgres.name in names else (),
    )
    return Settings(
        instance="shop-eu-1",
        state_dir=folder,
        targets=targets,
        web=Web(**({"port": 0} | web)),
    )


@contextlib.asynccontextmanager
async def opened(
    folder: Path,
    dsn: str,
    bus: Bus | None = None,
    ahead: float = 0.0,
    names: Collection[str] = tuple(TARGETS),
    **web: Any,
) -> AsyncIterator[House]:
    """
    Open a house on the store at `dsn`, with this bus; the other arguments are keys of `web:`.

    Its clock is `ahead` by so many seconds when it names its run. It watches the targets `names`.
    """
    settings = make_settings(folder, names, **web)
    telemetry = Telemetry()
    window, bus = Window(), bus or Bus()
    run = int((time.time() + ahead) * 1000)
    for name in names:
        window.expect(name, TARGETS[name])
    async with (
        open_spool(folder / "spool", run) as spool,
        open_pool(Store(), dsn, settings.instance, telemetry) as store,
    ):
        telemetry.collect_from(SpoolMetrics(spool))
        events, intake = RequestEvents(store), Intake(spool, window, bus)
        ports = Ports(
            settings=settings,
            window=window,
            bus=bus,
            intake=intake,
            spool=spool,
            store=store,
            store_size=lambda: StoreSize(312 * MIB, settings.store.size_bytes, stuck=False),
            requests=RequestReader(store),
            events=events,
            endpoints=EndpointReader(store),
            metrics=MetricReader(store),
            logs=LogReader(store),
            traces=TraceReader(store, events),
            recent_traces=RecentTraces(store),
            errors=ErrorReader(store),
            annotations=AnnotationReader(store),
            series=SeriesReader(store),
            jobs=JobReader(store),
            telemetry=telemetry,
            kpis=kpis.load(assets.folder("config") / "kpis.yaml"),
            assets=static.load(assets.folder("web/dist")),
            checks=dict,
        )
        house = House(ports, spool, intake)
        letters = DeadLetterFile(folder / "dead_letters.jsonl", telemetry)
        writing = asyncio.create_task(Writer(store, spool, telemetry, letters).run())
        try:
            async with house.server:
                if dsn != NOWHERE:
                    async with asyncio.timeout(30):
                        await store.ready()
                yield house
        finally:
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing
