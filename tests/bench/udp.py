"""UDP, one event a datagram, at a fixed pace: every one must be counted in PostgreSQL."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import socket
import time

from pathlib import Path

import aiohttp
import asyncpg

from tests.bench.daemon import daemon
from tests.bench.table import Row


RATE_PER_S = 50_000
SECONDS = 20
ROUTES = 200


async def run(folder: Path, dsn: str) -> list[Row]:
    """Send, wait until the store stops growing, and compare what was sent with what is stored."""
    async with daemon(folder, store={"dsn": dsn}, targets={"host": {"enabled": False}}) as running:
        before = running.usage.cpu_times()
        context = multiprocessing.get_context("spawn")
        answers: multiprocessing.Queue[tuple[int, float]] = context.Queue()
        sender = context.Process(
            target=send, args=(running.ingest_port, RATE_PER_S, SECONDS, answers)
        )
        sender.start()
        sent, elapsed = await asyncio.to_thread(answers.get)
        await asyncio.to_thread(sender.join)
        stored = await settled_count(dsn)
        after = running.usage.cpu_times()
        rss = running.usage.memory_info().rss / 1e6
        counters = await self_metrics(running.web)
    cpu_us = (after.user + after.system - before.user - before.system) / sent * 1e6
    rate = sent / elapsed
    drops = counters.get("monitord_ingest_udp_kernel_drops", 0)
    promised = f">= {RATE_PER_S:,} for {SECONDS} s"
    return [
        Row("UDP, 1 event a datagram: sent", rate, "events/s", promised, rate >= RATE_PER_S * 0.99),
        Row("UDP: lost (sent - rows in PostgreSQL)", sent - stored, "events", "0", sent == stored),
        Row("UDP: kernel drops reported", drops, "datagrams", "", None),
        Row("UDP: daemon CPU an event", cpu_us, "us", "", None),
        Row("UDP: daemon RSS after", rss, "MB", "", None),
    ]


def send(
    port: int, rate: int, seconds: int, answers: multiprocessing.Queue[tuple[int, float]]
) -> None:
    """Send `rate` datagrams a second in bursts of 5 ms, for `seconds`, to loopback alone."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", port))
    bodies = [datagram(number) for number in range(2_000)]
    burst, sent, started = rate // 200, 0, time.perf_counter()
    for turn in range(seconds * 200):
        for _ in range(burst):
            stamp, rest = bodies[sent % len(bodies)]
            sock.send(stamp % time.time() + rest)
            sent += 1
        ahead = started + (turn + 1) / 200 - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
    answers.put((sent, time.perf_counter() - started))


def datagram(number: int) -> tuple[bytes, bytes]:
    """Return one event as two parts around its time, so that sending costs one formatting."""
    draw = random.Random(number)
    route = int(draw.expovariate(1) * 20) % ROUTES
    status = 500 if draw.random() < 0.03 else 200
    rest = (
        f',"service":"shop","method":"GET","route":"/resource{route}/{{id}}","status":{status},'
        f'"duration_ms":{draw.lognormvariate(2.5, 0.8):.3f},'
        f'"trace_id":"{draw.getrandbits(128):032x}"}}'
    )
    return b'{"type":"request","time":%.6f', rest.encode()


async def settled_count(dsn: str) -> int:
    """Return the rows of `requests` once they have not grown for 3 s (at most 60 s)."""
    connection = await asyncpg.connect(dsn)
    try:
        count, still = -1, 0
        for _ in range(60):
            now = await connection.fetchval("SELECT count(*) FROM requests")
            still = still + 1 if now == count else 0
            count = now
            if still == 3:
                break
            await asyncio.sleep(1)
        return count
    finally:
        await connection.close()


async def self_metrics(web: str) -> dict[str, float]:
    """Return the daemon's own unlabelled metrics."""
    async with aiohttp.ClientSession() as session, session.get(f"{web}/metrics") as reply:
        text = await reply.text()
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
    return {name: float(value) for name, value in pairs if "{" not in name}
