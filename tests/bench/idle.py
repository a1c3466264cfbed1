"""What the daemon costs while nothing happens, and what an idle live log costs."""

from __future__ import annotations

import asyncio
import time

from pathlib import Path

import aiohttp

from tests.bench.daemon import Daemon, daemon
from tests.bench.table import Row


SETTLE_S = 30
WINDOW_S = 60


async def run(folder: Path, dsn: str, redis_url: str) -> list[Row]:
    """Watch PostgreSQL, Valkey and the host at the default pace; measure after a settling time."""
    targets = {"redis": {"main": {"url": redis_url}}, "postgres": {"main": {"dsn": dsn}}}
    async with daemon(folder, store={"dsn": dsn}, targets=targets) as running:
        await asyncio.sleep(SETTLE_S)
        cpu, rss = await usage(running)
        per_hour = await idle_stream(running)
    return [
        Row("idle with three targets: CPU", cpu * 100, "% of a core", "<= 1", cpu <= 0.01),
        Row("idle with three targets: RSS", rss, "MB", "<= 90", rss <= 90),
        Row("idle live log", per_hour, "KB/hour", "< 100", per_hour < 100),
    ]


async def usage(running: Daemon) -> tuple[float, float]:
    """Return the CPU share of one core over the window and the RSS in MB at its end."""
    before, started = running.usage.cpu_times(), time.perf_counter()
    await asyncio.sleep(WINDOW_S)
    after, elapsed = running.usage.cpu_times(), time.perf_counter() - started
    busy = after.user + after.system - before.user - before.system
    return busy / elapsed, running.usage.memory_info().rss / 1e6


async def idle_stream(running: Daemon) -> float:
    """Return the KB an hour that a live log without lines receives, from one minute of it."""
    received = 0
    timeout = aiohttp.ClientTimeout(total=None)
    url = f"{running.web}/api/v1/logs/stream"
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as reply:
        try:
            async with asyncio.timeout(WINDOW_S):
                async for chunk in reply.content.iter_any():
                    received += len(chunk)
        except TimeoutError:
            pass
    return received * 3600 / WINDOW_S / 1000
