"""The whole daemon on real servers: from an event on the ingest port to a number on the page."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest
import yaml

from monitord.errors import MonitordError
from monitord.service import Addresses, kept_instance, serve, state_folder
from monitord.settings_file import load


SUMMARY = "/api/monitoring/advanced/summary"


class Daemon:
    """A monitord in this process, and how a test asks it."""

    def __init__(self, addresses: Addresses, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.web = f"http://127.0.0.1:{addresses.web_port}"
        self.ingest = f"http://127.0.0.1:{addresses.ingest_port}"

    async def get(self, path: str) -> Any:
        async with self.session.get(self.web + path) as reply:
            return await reply.json()

    async def post(self, *events: dict[str, Any]) -> Any:
        body = "\n".join(json.dumps(event) for event in events)
        headers = {"Content-Type": "application/x-ndjson"}
        url = f"{self.ingest}/v1/ingest"
        async with self.session.post(url, data=body, headers=headers) as reply:
            return await reply.json()


@contextlib.asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[Daemon]:
    """Run a monitord on ports of the kernel's choice, with these sections of the settings."""
    file = folder / "monitord.yaml"
    ports = {"web": {"port": 0}, "ingest": {"port": 0}, "state_dir": str(folder / "state")}
    file.write_text(yaml.safe_dump(ports | settings))
    stop = asyncio.Event()
    ready: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(load(file, {}), stop=stop, ready=ready.set_result))
    try:
        await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        async with aiohttp.ClientSession() as session:
            yield Daemon(ready.result(), session)
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def until(
    ask: Callable[[], Awaitable[Any]], right: Callable[[Any], bool], seconds: float = 30.0
) -> Any:
    """Ask until the answer is right; return the last answer either way."""
    deadline = time.monotonic() + seconds
    while not right(answer := await ask()) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    return answer


def request(**changes: Any) -> dict[str, Any]:
    event = {"type": "request", "service": "shop", "method": "GET", "route": "/orders/{id}"}
    return event | {"time": time.time(), "status": 200, "duration_ms": 12.5} | changes


async def test_acknowledged_request_is_in_the_summary_within_two_seconds(
    tmp_path: Path, database: str
) -> None:
    """
    What the ingest port has acknowledged, the summary counts at most 2 s later.
    """
    async with running(tmp_path, store={"dsn": database}) as daemon:
        await until(lambda: daemon.get("/readyz"), lambda answer: answer["status"] == "ready")

        reply = await daemon.post(*[request() for _ in range(9)], request(status=500))
        summary = await until(
            lambda: daemon.get(SUMMARY), lambda answer: answer["api"]["request_count"] == 10, 2.0
        )

    assert reply["accepted"] == 10
    assert summary["api"]["request_count"] == 10
    assert summary["api"]["error_count"] == 1
    assert summary["api"]["error_rate"] == pytest.approx(10.0)
    assert summary["api"]["p50_latency_ms"] == pytest.approx(12.5, rel=0.006)


async def test_everything_acknowledged_is_stored_at_the_stop(tmp_path: Path, database: str) -> None:
    """
    A stop waits until what was acknowledged is stored: rows, log lines and samples.
    """
    async with running(tmp_path, store={"dsn": database}) as daemon:
        await until(lambda: daemon.get("/readyz"), lambda answer: answer["status"] == "ready")
        for _ in range(20):
            await daemon.post(*[request() for _ in range(100)])
        log = {"type": "log", "service": "shop", "level": "ERROR", "message": "boom"}
        await daemon.post({"time": time.time(), **log})

    connection = await asyncpg.connect(database)
    try:
        stored = await connection.fetchval("SELECT count(*) FROM requests")
        messages = await connection.fetch("SELECT message FROM logs")
    finally:
        await connection.close()

    assert stored == 2_000
    assert [row["message"] for row in messages] == ["boom"]


async def test_every_value_of_the_page_is_live(tmp_path: Path, database: str, valkey: str) -> None:
    """
    With all three targets and some traffic, every card, row and chart holds a real value.
    """
    targets = {
        "redis": {"main": {"url": valkey, "every": "1s"}},
        "postgres": {"main": {"dsn": database, "every": "1s"}},
        "host": {"every": "1s"},
    }
    async with running(tmp_path, store={"dsn": database}, targets=targets) as daemon:
        await daemon.post(request(), request(status=404))
        lookups = asyncio.create_task(look_up(valkey))
        try:
            overview = await until(
                lambda: daemon.get("/api/v1/overview?range=15m"), lambda answer: not holes(answer)
            )
        finally:
            lookups.cancel()
        charts = {
            name: await daemon.get(f"/api/v1/charts/{name}?range=15m")
            for name in ("latency", "redis_memory", "postgres_connections", "system")
        }

    assert holes(overview) == []
    assert len(overview["cards"]) == 6
    assert len(overview["rows"]) == 24
    for name, chart in charts.items():
        assert any(v is not None for line in chart["series"] for v in line["values"]), name


async def look_up(url: str) -> None:
    """Give the cache a limit, hits and misses, so that it has a share of memory and a hit rate."""
    import redis.asyncio

    async with redis.asyncio.from_url(url) as client:
        await client.config_set("maxmemory", "64mb")
        await client.set("product:1", "x")
        while True:
            await client.get("product:1")
            await client.get("product:2")
            await asyncio.sleep(0.05)


def holes(overview: dict[str, Any]) -> list[str]:
    """Return the ids of the cards and rows without a value."""
    items = [*overview["cards"], *overview["rows"]]
    return [item["id"] for item in items if item["value"] is None and item["state"] == "unknown"]


async def test_a_store_that_is_down_stops_neither_scraping_nor_the_live_view(
    tmp_path: Path, valkey: str
) -> None:
    """
    Without its store monitord opens its ports, scrapes, takes events and says what is missing.
    """
    targets = {"redis": {"main": {"url": valkey, "every": "1s"}}}
    dead = f"postgresql://nobody@127.0.0.1:{unused_port()}/none"
    async with running(tmp_path, store={"dsn": dead}, targets=targets) as daemon:
        reply = await daemon.post(request())
        summary = await until(
            lambda: daemon.get(SUMMARY), lambda answer: answer["redis"]["connected"]
        )
        overview = await daemon.get("/api/v1/overview?range=15m")
        async with daemon.session.get(f"{daemon.web}/readyz") as ready:
            status = ready.status

    assert reply["accepted"] == 1
    assert summary["redis"]["connected"] is True
    assert summary["redis"]["memory_used_mb"] > 0
    assert summary["api"]["request_count"] == 1
    assert overview["store"]["up"] is False
    assert any("store" in item["text"].lower() for item in overview["banner"]["items"])
    assert status == 503


def unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_a_taken_port_is_one_line(tmp_path: Path, database: str) -> None:
    """
    A port that is taken ends the start with an error that names it.
    """
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(MonitordError, match=str(port)):
            async with running(tmp_path, store={"dsn": database}, web={"port": port}):
                pass


async def started(folder: Path) -> asyncio.subprocess.Process:
    """Start `monitord run` without a configuration; return it once it is ready."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MONITORD_")}
    environment |= {
        "MONITORD_STATE_DIR": str(folder / "state"),
        "MONITORD_WEB_PORT": "0",
        "MONITORD_INGEST_PORT": "0",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitord", "run"),
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stderr is not None
    async with asyncio.timeout(60):
        async for line in process.stderr:
            if b"monitord.ready" in line:
                return process
    raise AssertionError("monitord ended before it was ready")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_nothing_is_left_behind(tmp_path: Path, number: signal.Signals) -> None:
    """
    Without configuration it runs on its embedded store; however it ends, no process stays behind.
    """
    process = await started(tmp_path)
    children = psutil.Process(process.pid).children(recursive=True)

    process.send_signal(number)
    assert process.stderr is not None
    await asyncio.wait_for(process.stderr.read(), 30)
    code = await asyncio.wait_for(process.wait(), 10)
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 10)

    assert children
    assert alive == []
    assert code == (-9 if number is signal.SIGKILL else 0)


async def test_a_stop_waits_for_a_store_that_is_still_connecting(
    tmp_path: Path, database: str
) -> None:
    """
    What was acknowledged before the store had answered for the first time is stored all the same.
    """
    async with running(tmp_path, store={"dsn": database}) as daemon:
        reply = await daemon.post(*[request() for _ in range(100)])

    connection = await asyncpg.connect(database)
    try:
        stored = await connection.fetchval("SELECT count(*) FROM requests")
    finally:
        await connection.close()

    assert reply["accepted"] == stored == 100


def test_an_instance_keeps_its_name(tmp_path: Path) -> None:
    """
    The name drawn at the first start stays; a file that a full disk left empty is no name.
    """
    (tmp_path / "instance").touch()

    first = kept_instance(tmp_path)

    assert first
    assert kept_instance(tmp_path) == first


def test_a_state_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    """
    A lock file that cannot be written ends the start with an error that names the folder.
    """
    (tmp_path / "lock").mkdir()

    with pytest.raises(MonitordError, match=str(tmp_path)), state_folder(tmp_path):
        pass
