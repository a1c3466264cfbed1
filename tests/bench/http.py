"""
HTTP, a hundred events a request over 16 connections: how many are acknowledged a second.

All of them must be stored. No body is sent twice: each connection has a pool of bodies made before
the clock starts, in whose place of the times and trace ids every request gets new ones. That costs
the sender some 20 us a request, before the request's own clock starts.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import socket
import time

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.daemon import daemon
from tests.bench.sizes import size
from tests.bench.table import Row
from tests.bench.udp import STAMP, TRACE, event, settled_count


CONNECTIONS = 16
BODIES = 20
EVENTS = 100
SECONDS = size("HTTP_SECONDS", 10)
RATE_PER_S = 200_000
P99_MS = 60

LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n", re.IGNORECASE)
ANSWER_SECONDS = 30
PLACES = re.compile(b"(" + STAMP + b"|" + TRACE + b")")
TRACE_DIGITS = 32


@dataclass
class Posted:
    """What was answered: how long each 202 took, in ms, and how many answers were none."""

    durations_ms: list[float] = field(default_factory=list)
    refused: int = 0
    elapsed: float = 0.0

    @property
    def acknowledged(self) -> int:
        return len(self.durations_ms) * EVENTS


async def run(folder: Path, dsn: str) -> list[Row]:
    """Post over CONNECTIONS as fast as the answers come, then count what is stored."""
    async with daemon(folder, store={"dsn": dsn}, targets={"host": {"enabled": False}}) as running:
        before = running.usage.cpu_times()
        posted = await posted_by(running.ingest_port)
        stored = await settled_count(dsn)
        after = running.usage.cpu_times()
    acknowledged, durations = posted.acknowledged, posted.durations_ms
    cpu_us = (after.user + after.system - before.user - before.system) / acknowledged * 1e6
    rate, p99 = acknowledged / posted.elapsed, durations[int(len(durations) * 0.99)]
    return [
        Row(
            f"HTTP, 100 events a request, {CONNECTIONS} connections: acknowledged",
            rate,
            "events/s",
            f">= {RATE_PER_S:,}",
            rate >= RATE_PER_S,
        ),
        Row("HTTP: answers other than 202", posted.refused, "requests", "", None),
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


async def posted_by(port: int) -> Posted:
    """Post from a process of its own; return what was answered."""
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[Posted] = context.Queue()
    sender = context.Process(target=post, args=(port, answers))
    sender.start()
    posted = await asyncio.to_thread(answers.get, timeout=SECONDS + 60)
    await asyncio.to_thread(sender.join)
    return posted


def post(port: int, answers: multiprocessing.Queue[Posted]) -> None:
    """Post for SECONDS over keep-alive connections, a thread each, to loopback alone."""
    pools = [pool(number, port) for number in range(CONNECTIONS)]
    started = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        parts = list(
            threads.map(lambda bodies: post_in_turn(port, bodies, started + SECONDS), pools)
        )
    whole = Posted(elapsed=time.perf_counter() - started)
    whole.durations_ms = sorted(duration for part in parts for duration in part.durations_ms)
    whole.refused = sum(part.refused for part in parts)
    answers.put(whole)


def post_in_turn(port: int, bodies: list[Body], until: float) -> Posted:
    """Post one body after another; only what was answered with 202 is acknowledged."""
    posted, turn = Posted(), 0
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
        while time.perf_counter() < until:
            request = bodies[turn % len(bodies)].fresh()
            turn += 1
            began = time.perf_counter()
            connection.sendall(request)
            if answer(connection).startswith(b"HTTP/1.1 202"):
                posted.durations_ms.append((time.perf_counter() - began) * 1_000)
            else:
                posted.refused += 1
                time.sleep(0.01)  # asked to come again
    return posted


def answer(connection: socket.socket) -> bytes:
    """
    Return a whole answer.

    Raises ConnectionError: the connection ended before it.
    """
    received = b""
    while True:
        more = connection.recv(65_536)
        if not more:
            raise ConnectionError(f"the daemon hung up after {received[:200]!r}")
        received += more
        head, end, rest = received.partition(b"\r\n\r\n")
        if end and (length := LENGTH.search(head + b"\r\n")) and len(rest) >= int(length[1]):
            return received


class Body:
    """A whole request of EVENTS events, cut where their times and trace ids go."""

    def __init__(self, first: int, port: int) -> None:
        lines = b"\n".join(event(first + place) for place in range(EVENTS))
        self._parts = PLACES.split(lines)
        self._times = slice(self._parts.index(STAMP), None, 4)
        self._traces = slice(self._parts.index(TRACE), None, 4)
        self._head = (
            f"POST /v1/ingest HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
        ).encode()

    def fresh(self) -> bytes:
        """Return the request with this moment for its times, and with trace ids of its own."""
        digits = os.urandom(EVENTS * TRACE_DIGITS // 2).hex().encode()
        self._parts[self._times] = [b"%.6f" % time.time()] * EVENTS
        self._parts[self._traces] = [
            digits[at : at + TRACE_DIGITS] for at in range(0, len(digits), TRACE_DIGITS)
        ]
        lines = b"".join(self._parts)
        return self._head % len(lines) + lines


def pool(number: int, port: int) -> list[Body]:
    """Return the bodies of one connection; no other has one of them."""
    first = number * BODIES
    return [Body((first + place) * EVENTS, port) for place in range(BODIES)]
