"""StatsD at a fixed pace, a line a datagram: every line must be in the sums in PostgreSQL."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import socket
import time

from pathlib import Path
from typing import NamedTuple

import asyncpg

from tests.bench.daemon import daemon
from tests.bench.sizes import size
from tests.bench.stall import Probe
from tests.bench.table import Row
from tests.bench.udp import KEPT_PACE, TURNS_PER_S, Load, missing, self_metrics


SECONDS = size("STATSD_SECONDS", 20)
LINES_PER_S = 100_000
SERIES = 200
NAME = "StatsD, 1 line a datagram"

NO_REQUESTS = {'monitord_store_events_total{type="request"}': 0.0}

# A counter's increments are numbers of lines; every second line is a timer's.
STORED = """
SELECT
    (SELECT coalesce(sum(value), 0) FROM metrics JOIN series USING (host_id, series_id)
     WHERE service = 'shop' AND kind = 'counter')::int8,
    (SELECT coalesce(sum(count), 0) FROM metric_histograms JOIN series USING (host_id, series_id)
     WHERE service = 'shop')::int8,
    (SELECT count(*) FROM metrics JOIN series USING (host_id, series_id)
     WHERE service = 'shop')::int8
"""


class Stored(NamedTuple):
    """Lines counted in the store, by what they were, and the rows of counters they became."""

    counted: int
    observed: int
    rows: int

    @property
    def lines(self) -> int:
        return self.counted + self.observed


async def run(folder: Path, dsn: str) -> list[Row]:
    """Send, wait until the store stops growing, and compare what was sent with what is stored."""
    settings = {"store": {"dsn": dsn}, "targets": {"host": {"enabled": False}}}
    async with daemon(folder, **settings) as running:
        before = running.usage.cpu_times()
        probe = Probe()
        with probe.running(running.ingest_port):
            sent, elapsed = await sent_by(running.ingest_port)
        stored = await settled(dsn)
        after = running.usage.cpu_times()
        rss = running.usage.memory_info().rss / 1e6
        counters = await self_metrics(running.web)
    cpu_us = (after.user + after.system - before.user - before.system) / sent * 1e6
    rate, least = sent / elapsed, LINES_PER_S * KEPT_PACE
    drops = counters["monitord_ingest_udp_kernel_drops"]
    events = counters['monitord_ingest_events_total{protocol="statsd",type="metric"}']
    missed = missing(counters | NO_REQUESTS, sent, 0, Load(NAME, LINES_PER_S, 1))
    promised = f">= {least:,.0f} for {SECONDS} s"
    return [
        Row(f"{NAME}: sent", rate, "lines/s", promised, rate >= least),
        Row(f"{NAME}: lost", sent - stored.lines, "lines", "0", sent == stored.lines),
        Row(f"{NAME}: of these dropped by the kernel", drops, "lines", "", None),
        Row(f"{NAME}: the counters miss", missed, "events", "0", missed == 0),
        Row(f"{NAME}: lines an event", sent / events, "", "", None),
        Row(f"{NAME}: counters' rows stored", stored.rows / elapsed, "rows/s", "", None),
        Row(f"{NAME}: daemon CPU a line", cpu_us, "us", "", None),
        Row(f"{NAME}: daemon RSS after", rss, "MB", "", None),
        *probe.rows(NAME),
    ]


async def sent_by(port: int) -> tuple[int, float]:
    """Send from a process of its own; return how many lines, and in how many seconds."""
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[tuple[int, float]] = context.Queue()
    sender = context.Process(target=send, args=(port, SECONDS, answers))
    sender.start()
    sent = await asyncio.to_thread(answers.get, timeout=SECONDS + 60)
    await asyncio.to_thread(sender.join)
    return sent


def send(port: int, seconds: int, answers: multiprocessing.Queue[tuple[int, float]]) -> None:
    """Send at the pace in bursts of 5 ms, for `seconds`, to loopback alone."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", port))
    lines = [line(number) for number in range(10_000)]
    burst, sent, started = LINES_PER_S // TURNS_PER_S, 0, time.perf_counter()
    for turn in range(seconds * TURNS_PER_S):
        for _ in range(burst):
            sock.send(lines[sent % len(lines)])
            sent += 1
        ahead = started + (turn + 1) / TURNS_PER_S - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
    answers.put((sent, time.perf_counter() - started))


def line(number: int) -> bytes:
    """Return one line: a counter's, or a timer's of some milliseconds."""
    draw = random.Random(number)
    route = int(draw.expovariate(1) * 20) % SERIES
    rest = b"1|c" if number % 2 else b"%.3f|ms" % draw.lognormvariate(2.5, 0.8)
    return b"resource%d.requests:%b|#service:shop,region:eu" % (route, rest)


async def settled(dsn: str, still_for: int = 3) -> Stored:
    """Return what is stored once it has not grown for some seconds (at most 60 s)."""
    connection = await asyncpg.connect(dsn)
    try:
        stored, still = Stored(-1, -1, -1), 0
        for _ in range(60):
            now = Stored(*await connection.fetchrow(STORED))
            still = still + 1 if now == stored else 0
            stored = now
            if still == still_for:
                break
            await asyncio.sleep(1)
        return stored
    finally:
        await connection.close()
