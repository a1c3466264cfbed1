"""The shop as its own process on real servers, and an ear where monitord would listen."""

import asyncio
import json
import os

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from aiohttp import web as http

from monitord.demo.children import shop
from monitord.demo.databases import make_databases
from monitord.embedded import EmbeddedPostgres, EmbeddedValkey, PostgresOptions


FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
PATIENCE_SECONDS = 30.0

Event = dict[str, Any]


class Ear(asyncio.DatagramProtocol):
    """Keeps every event the shop sends."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def datagram_received(self, data: bytes, _: Any) -> None:
        self.events += [json.loads(line) for line in data.splitlines() if line]

    async def posted(self, request: http.Request) -> http.Response:
        """Take what is to be acknowledged."""
        self.datagram_received(await request.read(), None)
        return http.json_response({"accepted": 1, "rejected": 0, "errors": []}, status=202)

    async def hear(
        self, wanted: Callable[[Event], bool], seconds: float = PATIENCE_SECONDS
    ) -> Event:
        """Return the newest event like that, once there is one."""
        async with asyncio.timeout(seconds):
            while True:
                for event in reversed(self.events):
                    if wanted(event):
                        return event
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture(scope="package")
async def demo_postgres(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of its own, with the demo's databases and roles."""
    options = PostgresOptions(settings=FAST)
    async with EmbeddedPostgres(tmp_path_factory.mktemp("demo"), options) as server:
        await make_databases(server)
        yield server


@pytest_asyncio.fixture(scope="package")
async def ear() -> AsyncIterator[Ear]:
    """What the shop says to monitord, by UDP and by HTTP to one port."""
    ear = Ear()
    app = http.Application()
    app.router.add_post("/v1/ingest", ear.posted)
    runner = http.AppRunner(app)
    await runner.setup()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            site = http.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            ear.port = runner.addresses[-1][1]
            try:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: ear, local_addr=("127.0.0.1", ear.port)
                )
                break
            except OSError:  # the kernel's choice for one may be taken for the other
                await site.stop()
    yield ear
    transport.close()
    await runner.cleanup()


@pytest_asyncio.fixture(scope="package")
async def shop_url(
    tmp_path_factory: pytest.TempPathFactory,
    demo_postgres: EmbeddedPostgres,
    valkey_server: EmbeddedValkey,
    ear: Ear,
) -> AsyncIterator[str]:
    """The shop, filled and open."""
    folder: Path = tmp_path_factory.mktemp("shop")
    async with shop(folder, os.environ, demo_postgres, valkey_server, ear.port) as url:
        yield url


@pytest_asyncio.fixture
async def web(shop_url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A visitor's client; paths are those of the shop."""
    async with aiohttp.ClientSession(shop_url) as session:
        yield session
