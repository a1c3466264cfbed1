"""
How long a question to the daemon waits while it is under load: what keeps its loop.

Questions go by a timetable: one that could not be asked yet waits as well, and its wait counts.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import socket
import time

from collections.abc import Iterator
from multiprocessing.synchronize import Event

from tests.bench.table import Row


EVERY_SECONDS = 0.005
P999_MS = 50
WORST_MS = 100

Answers = multiprocessing.Queue  # of list[float]: milliseconds, sorted


class Probe:
    """Asks `/healthz` of the ingest port at a pace, from a process of its own."""

    def __init__(self) -> None:
        self.answers_ms: list[float] = []

    @contextlib.contextmanager
    def running(self, port: int) -> Iterator[None]:
        """Ask for as long as the block lasts."""
        context = multiprocessing.get_context("spawn")
        answers: Answers[list[float]] = context.Queue()
        stop = context.Event()
        process = context.Process(target=ask, args=(port, stop, answers))
        process.start()
        try:
            yield
        finally:
            stop.set()
            self.answers_ms = answers.get(timeout=30)
            process.join()

    def rows(self, load: str) -> list[Row]:
        """Return what was seen; both figures include how long the processors were busy."""
        found = self.answers_ms
        p999, worst = found[int(len(found) * 0.999)], found[-1]
        unit = f"ms (of {len(found):,})"
        return [
            Row(f"{load}: answer under load, p99.9", p999, unit, f"<= {P999_MS}", p999 <= P999_MS),
            Row(f"{load}: answer, worst", worst, unit, f"<= {WORST_MS}", worst <= WORST_MS),
        ]


def ask(port: int, stop: Event, answers: Answers[list[float]]) -> None:
    """
    Ask over one connection, on loopback alone, until told to stop and nothing is due any more.

    A delay counts from when its question was due: an answer that takes 200 ms makes those due
    meanwhile late too, as it would anybody who asked then.
    """
    question = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    found, ended = [], math.inf
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        due = time.perf_counter()
        while due < ended:
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.sendall(question)
            assert connection.recv(4_096).startswith(b"HTTP/1.1 200")
            found.append((time.perf_counter() - due) * 1_000)
            due += EVERY_SECONDS
            if stop.is_set():
                ended = min(ended, time.perf_counter())
    answers.put(sorted(found))
