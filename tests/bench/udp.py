"""UDP at fixed paces: every event must be counted in PostgreSQL, and every counter must agree."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import socket
import time

from pathlib import Path
from typing import NamedTuple

import aiohttp
import asyncpg

from tests.bench.daemon import daemon
from tests.bench.sizes import size
from tests.bench.stall import Probe
from tests.bench.table import Row


SECONDS = size("UDP_SECONDS", 20)
ROUTES = 200
TURNS_PER_S = 200

# What of the pace must be kept: the last turn ends a little late, however short the others are.
KEPT_PACE = 0.99


class Load(NamedTuple):
    """Events a second, events a datagram, and the receive buffer if it is not the default."""

    name: str
    rate: int
    together: int
    buffer: str = ""


LOADS = (
    Load("UDP, 1 event a datagram", 150_000, 1),
    Load("UDP, 10 events a datagram", 300_000, 10),
    # What an ordinary user may ask for where net.core.rmem_max is 4 MiB.
    Load("UDP, 1 event, 4 MiB buffer", 80_000, 1, "4MiB"),
)


async def run(folder: Path, dsn: str) -> list[Row]:
    """Measure each load with a daemon of its own."""
    rows: list[Row] = []
    for number, load in enumerate(LOADS):
        own = folder / str(number)
        own.mkdir()
        rows += await measure(own, dsn, load)
    return rows


async def measure(folder: Path, dsn: str, load: Load) -> list[Row]:
    """Send, wait until the store stops growing, and compare what was sent with what is stored."""
    udp = {"receive_buffer": load.buffer} if load.buffer else {}
    settings = {"store": {"dsn": dsn}, "targets": {"host": {"enabled": False}}}
    there = await settled_count(dsn, still_for=1)
    async with daemon(folder, **settings, ingest={"port": 0, "udp": udp}) as running:
        before = running.usage.cpu_times()
        probe = Probe()
        with probe.running(running.ingest_port):
            sent, elapsed = await sent_by(running.ingest_port, load)
        stored = await settled_count(dsn) - there
        after = running.usage.cpu_times()
        rss = running.usage.memory_info().rss / 1e6
        counters = await self_metrics(running.web)
    cpu_us = (after.user + after.system - before.user - before.system) / sent * 1e6
    rate = sent / elapsed
    least = load.rate * KEPT_PACE
    promised = f">= {least:,.0f} for {SECONDS} s"
    drops = counters["monitord_ingest_udp_kernel_drops"]
    missed = missing(counters, sent, stored, load)
    return [
        Row(f"{load.name}: sent", rate, "events/s", promised, rate >= least),
        Row(f"{load.name}: lost", sent - stored, "events", "0", sent == stored),
        Row(
            f"{load.name}: of these dropped by the kernel",
            drops * load.together,
            "events",
            "",
            None,
        ),
        Row(f"{load.name}: the counters miss", missed, "events", "0", missed == 0),
        Row(f"{load.name}: daemon CPU an event", cpu_us, "us", "", None),
        Row(f"{load.name}: daemon RSS after", rss, "MB", "", None),
        *probe.rows(load.name),
    ]


def missing(counters: dict[str, float], sent: int, stored: int, load: Load) -> float:
    """
    Return how far the self-metrics are from what was sent, from their own sums, and from the rows.

    It is 0 when they account for everything.
    """
    read = counters["monitord_ingest_datagrams_total"]
    dropped = counters["monitord_ingest_udp_kernel_drops"]
    decoded = counters["monitord_ingest_events_total"]
    kept = counters["monitord_spool_appended_events_total"]
    refused = counters.get("monitord_spool_refused_events_total", 0)
    found = counters["monitord_spool_found_events"]
    done = sum(counters.get(f"monitord_{name}_total", 0) for name in ENDS)
    pending = counters["monitord_spool_pending_events"]
    return (
        abs(sent // load.together - read - dropped)
        + abs(decoded - kept - refused)
        + abs(kept + found - done - pending)
        + abs(counters['monitord_store_events_total{type="request"}'] - stored)
    )


# Where an event may end that was taken.
ENDS = (
    "store_events",
    "store_refused_events",
    "store_duplicate_events",
    "spool_lost_events",
    "spool_damaged_events",
    "spool_misfit_events",
)


async def sent_by(port: int, load: Load) -> tuple[int, float]:
    """Send from a process of its own; return how many events, and in how many seconds."""
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[tuple[int, float]] = context.Queue()
    sender = context.Process(target=send, args=(port, load, SECONDS, answers))
    sender.start()
    sent = await asyncio.to_thread(answers.get, timeout=SECONDS + 60)
    await asyncio.to_thread(sender.join)
    return sent


def send(
    port: int, load: Load, seconds: int, answers: multiprocessing.Queue[tuple[int, float]]
) -> None:
    """
    Send at the pace in bursts of 5 ms, for `seconds`, to loopback alone.

    Every datagram has the time at which its burst began; the rest, trace ids too, is of a pool of
    2,000 events made before: more would cost the sender its pace.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", port))
    bodies = [datagram(number, load.together) for number in range(2_000 // load.together)]
    burst, sent, started = load.rate // load.together // TURNS_PER_S, 0, time.perf_counter()
    for turn in range(seconds * TURNS_PER_S):
        stamp = b"%.6f" % time.time()
        for _ in range(burst):
            sock.send(bodies[sent % len(bodies)].replace(STAMP, stamp))
            sent += 1
        ahead = started + (turn + 1) / TURNS_PER_S - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
    answers.put((sent * load.together, time.perf_counter() - started))


STAMP, TRACE = b"<time>", b"<trace>"


def datagram(number: int, together: int = 1) -> bytes:
    """Return some events; STAMP stands where their time goes."""
    return b"\n".join(traced(number * together + place) for place in range(together))


def traced(number: int) -> bytes:
    trace = f"{random.Random(number).getrandbits(128):032x}"
    return event(number).replace(TRACE, trace.encode())


def event(number: int) -> bytes:
    """Return one request as a line; STAMP and TRACE stand where its time and trace id go."""
    draw = random.Random(number)
    route = int(draw.expovariate(1) * 20) % ROUTES
    status = 500 if draw.random() < 0.03 else 200
    rest = (
        f',"service":"shop","method":"GET","route":"/resource{route}/{{id}}","status":{status},'
        f'"duration_ms":{draw.lognormvariate(2.5, 0.8):.3f},'
    )
    return b"".join(
        (b'{"type":"request","time":', STAMP, rest.encode(), b'"trace_id":"', TRACE, b'"}')
    )


async def settled_count(dsn: str, still_for: int = 3) -> int:
    """Return the rows of `requests` once they have not grown for some seconds (at most 60 s)."""
    connection = await asyncpg.connect(dsn)
    try:
        if await connection.fetchval("SELECT to_regclass('requests')") is None:
            return 0
        count, still = -1, 0
        for _ in range(60):
            now = await connection.fetchval("SELECT count(*) FROM requests")
            still = still + 1 if now == count else 0
            count = now
            if still == still_for:
                break
            await asyncio.sleep(1)
        return count
    finally:
        await connection.close()


async def self_metrics(web: str) -> dict[str, float]:
    """Return the daemon's own metrics: each by its labels, and summed over them by its name."""
    async with aiohttp.ClientSession() as session, session.get(f"{web}/metrics") as reply:
        text = await reply.text()
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line and line[0] != "#":
            name, value = line.rsplit(" ", 1)
            for one in {name, name.partition("{")[0]}:
                found[one] = found.get(one, 0.0) + float(value)
    return found
