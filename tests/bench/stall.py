"""How long a question to the daemon waits while it is under load: what keeps its loop."""

from __future__ import annotations

import contextlib
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
    """Asks `/healthz` of the ingest port again and again, from a process of its own."""

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
        return [
            Row(f"{load}: answer under load, p99.9", p999, "ms", f"<= {P999_MS}", p999 <= P999_MS),
            Row(f"{load}: answer, worst", worst, "ms", f"<= {WORST_MS}", worst <= WORST_MS),
        ]


def ask(port: int, stop: Event, answers: Answers[list[float]]) -> None:
    """Ask over one connection, on loopback alone, until told to stop."""
    question = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    found = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not stop.is_set():
            began = time.perf_counter()
            connection.sendall(question)
            connection.recv(4_096)
            found.append((time.perf_counter() - began) * 1_000)
            time.sleep(EVERY_SECONDS)
    answers.put(sorted(found))
