"""HTTP, a hundred events a request: how many are acknowledged a second, and all of them stored."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import threading
import time

from pathlib import Path

from tests.bench.daemon import daemon
from tests.bench.table import Row
from tests.bench.udp import STAMP, event, settled_count


CONNECTIONS = 16
EVENTS = 100
SECONDS = 10
RATE_PER_S = 200_000
P99_MS = 60


async def run(folder: Path, dsn: str) -> list[Row]:
    """Post from 8 connections as fast as the answers come, then count what is stored."""
    async with daemon(folder, store={"dsn": dsn}, targets={"host": {"enabled": False}}) as running:
        before = running.usage.cpu_times()
        context = multiprocessing.get_context("spawn")
        answers: multiprocessing.Queue[tuple[int, float, list[float]]] = context.Queue()
        sender = context.Process(target=post, args=(running.ingest_port, answers))
        sender.start()
        acknowledged, elapsed, durations = await asyncio.to_thread(answers.get)
        await asyncio.to_thread(sender.join)
        stored = await settled_count(dsn)
        after = running.usage.cpu_times()
    cpu_us = (after.user + after.system - before.user - before.system) / acknowledged * 1e6
    rate, p99 = acknowledged / elapsed, durations[int(len(durations) * 0.99)]
    promised = f">= {RATE_PER_S:,}"
    return [
        Row(
            "HTTP, 100 events a request: acknowledged",
            rate,
            "events/s",
            promised,
            rate >= RATE_PER_S,
        ),
        Row(
            "HTTP: acknowledged - rows in PostgreSQL",
            acknowledged - stored,
            "events",
            "0",
            acknowledged == stored,
        ),
        Row("HTTP: answer, p50", durations[len(durations) // 2], "ms", "", None),
        Row("HTTP: answer, p99", p99, "ms", f"< {P99_MS}", p99 < P99_MS),
        Row("HTTP: daemon CPU an event", cpu_us, "us", "", None),
    ]


def post(port: int, answers: multiprocessing.Queue[tuple[int, float, list[float]]]) -> None:
    """Post for SECONDS over keep-alive connections, a thread each, to loopback alone."""
    durations: list[list[float]] = [[] for _ in range(CONNECTIONS)]
    until = time.perf_counter() + SECONDS
    threads = [
        threading.Thread(target=post_in_turn, args=(port, number, until, durations[number]))
        for number in range(CONNECTIONS)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    whole = sorted(duration for some in durations for duration in some)
    answers.put((len(whole) * EVENTS, elapsed, whole))


def post_in_turn(port: int, number: int, until: float, durations: list[float]) -> None:
    """Post one body after another; only what was answered with 202 counts."""
    request = body(number, port)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while (began := time.perf_counter()) < until:
            connection.sendall(request)
            if connection.recv(65_536).startswith(b"HTTP/1.1 202"):
                durations.append((time.perf_counter() - began) * 1_000)
            else:
                time.sleep(0.01)  # refused for now: asked to come again


def body(number: int, port: int) -> bytes:
    """Return a whole request; its events are of when it is made: of one minute or two."""
    stamp = b"%.6f" % time.time()
    events = (event(number * EVENTS + place) for place in range(EVENTS))
    lines = b"\n".join(events).replace(STAMP, stamp)
    head = (
        f"POST /v1/ingest HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/x-ndjson\r\nContent-Length: {len(lines)}\r\n\r\n"
    )
    return head.encode() + lines
