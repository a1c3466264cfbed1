"""The page in a real Chromium, before a real server whose window, bus and store a test fills."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import shutil
import time

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from monitord.store.logs import LogReader
from monitord.store.metrics import MetricReader
from playwright.async_api import async_playwright

from monitord import assets
from monitord.http import kpis, static
from monitord.http.ports import Ports
from monitord.http.server import WebServer
from monitord.intake.bus import Bus
from monitord.intake.intake import Intake
from monitord.intake.queue import Queue
from monitord.intake.window import Window
from monitord.model import Batch, Log, Metric, Reading, Reason, Request
from monitord.settings import PostgresTarget, RedisTarget, Secret, Settings, Store, Targets, Web
from monitord.store.pool import open_pool
from monitord.store.requests import RequestReader
from monitord.store.writer import Writer
from monitord.telemetry import Telemetry


SCREENSHOTS = Path(__file__).parent / "screenshots"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MIB = 1024**2

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

    def __init__(self, ports: Ports, queue: Queue, intake: Intake) -> None:
        self.ports = ports
        self.queue = queue
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

    def log(self, message: str, level: str = "INFO", **changes: Any) -> None:
        given = {"time": time.time(), "service": "shop", "logger": "shop.orders"} | changes
        self.intake.offer(Batch(time.time(), logs=[Log(level=level, message=message, **given)]))

    def fill(self, minutes: int = 14, without: str = "") -> None:
        """Offer what the last minutes would have brought, of all targets but one."""
        now = time.time()
        names = [name for name in TARGETS if name != without]
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
        while self.queue.pending:  # noqa: ASYNC110 - the queue tells nobody when it is empty
            await asyncio.sleep(0.02)


def _metric(words: str, value: float, target: str, at: float) -> Metric:
    name, *attributes = words.split()
    pairs = dict(attribute.split("=") for attribute in attributes)
    kind = "counter" if COUNTERS.search(name) else "gauge"
    return Metric(at, name, value, kind=kind, attributes={"target": target, **pairs})


def make_settings(folder: Path, **web: Any) -> Settings:
    targets = Targets(
        redis=(RedisTarget(name="main", url=Secret("redis://127.0.0.1")),),
        postgres=(PostgresTarget(name="orders", dsn=Secret("postgresql://127.0.0.1")),),
    )
    return Settings(
        instance="shop-eu-1",
        state_dir=folder,
        targets=targets,
        web=Web(**({"port": 0} | web)),
    )


@pytest.fixture
def open_house(
    database: str, tmp_path: Path
) -> Callable[..., contextlib.AbstractAsyncContextManager[House]]:
    """
    Open a house on the store, or on `dsn`, with this bus; other arguments are keys of `web:`.
    """

    @contextlib.asynccontextmanager
    async def opened(
        dsn: str = database, bus: Bus | None = None, **web: Any
    ) -> AsyncIterator[House]:
        settings = make_settings(tmp_path, **web)
        telemetry = Telemetry()
        queue = Queue(settings.store.queue_events, telemetry)
        window, bus = Window(), bus or Bus()
        intake = Intake(int(time.time() * 1000), queue, window, bus)
        for name, kind in TARGETS.items():
            window.expect(name, kind)
        async with open_pool(Store(), dsn, settings.instance, telemetry) as store:
            ports = Ports(
                settings=settings,
                window=window,
                bus=bus,
                store=store,
                requests=RequestReader(store),
                metrics=MetricReader(store),
                logs=LogReader(store),
                telemetry=telemetry,
                kpis=kpis.load(assets.folder("config") / "kpis.yaml"),
                assets=static.load(assets.folder("web/dist")),
                checks=dict,
            )
            house = House(ports, queue, intake)
            writing = asyncio.create_task(Writer(store, queue, telemetry).run())
            try:
                async with house.server:
                    yield house
            finally:
                writing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await writing

    return opened


@pytest_asyncio.fixture
async def house(open_house: Any) -> AsyncIterator[House]:
    """
    A house in use: every target up, fourteen minutes of requests and samples stored.
    """
    async with open_house() as opened:
        opened.fill()
        await opened.stored()
        yield opened


@pytest_asyncio.fixture
async def empty_house(open_house: Any) -> AsyncIterator[House]:
    """
    A house nothing has come to yet.
    """
    async with open_house() as opened:
        yield opened


@pytest_asyncio.fixture(scope="session")
async def chromium() -> AsyncIterator[Any]:
    """
    A running Chromium of this machine.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for found in map(shutil.which, names) if found), None)
    if path is None and os.environ.get("MONITORD_REQUIRE_BROWSER"):
        pytest.fail("MONITORD_REQUIRE_BROWSER is set, and there is no Chromium on PATH")
    if path is None:
        pytest.skip("no Chromium on PATH")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


class Visit:
    """Opens pages, and keeps what the browser complained of: errors, warnings, CSP violations."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._contexts: list[Any] = []
        self.complaints: list[str] = []

    async def __call__(
        self, url: str, width: int = 1440, height: int = 900, zone: str = "Europe/Berlin"
    ) -> Any:
        """Return the page at `url`, loaded, in a browser of this size and time zone."""
        context = await self._browser.new_context(
            viewport={"width": width, "height": height}, timezone_id=zone, locale="en-GB"
        )
        self._contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        await page.goto(url)
        return page

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    @contextlib.contextmanager
    def forgiving(self, pattern: str) -> Iterator[None]:
        """Within the block, complaints that match are what the test is about."""
        before = len(self.complaints)
        yield
        new = self.complaints[before:]
        self.complaints[before:] = [text for text in new if not re.search(pattern, text)]

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()


@pytest_asyncio.fixture
async def visit(chromium: Any) -> AsyncIterator[Visit]:
    """
    Open pages; the test fails when the browser complained of anything.
    """
    visit = Visit(chromium)
    yield visit
    await visit.close()
    assert visit.complaints == []


@pytest.fixture
def screenshot() -> Callable[..., Any]:
    """
    Keep a picture of the page, for people to look at.
    """

    async def take(page: Any, name: str, whole: bool = False) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        width = page.viewport_size["width"]
        await page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=whole)

    return take
