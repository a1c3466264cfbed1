"""
What the middleware costs of a whole request: the same trivial Starlette endpoint in uvicorn, with
it and without it, asked for as many answers a second as there are.

One core has the server, its emitter's thread included, another one who asks; on a single core they
share it. Both servers run all the time, and only one is asked at a time: without, with, without,
with. The figure is the median of the ratios of neighbours, so that what changes the machine's pace
for longer than that is in both; where their quartiles lie far apart the machine had other things
to do, and the figure is worth nothing. Datagrams go to a socket nobody reads: sending is in the
figure, the daemon is not. Beside it stands what a request takes of the server's core, which
somebody else's load changes less.
"""

from __future__ import annotations

import multiprocessing
import os
import selectors
import socket
import time

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from statistics import median, quantiles
from typing import NamedTuple, NoReturn

import psutil
import uvicorn

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from monitord.emit import Emitter, MonitordMiddleware
from tests.bench.sizes import size
from tests.bench.table import Row


ROUNDS = size("OVERHEAD_ROUNDS", 21)
MILLISECONDS = size("OVERHEAD_MS", 1_500)
LIMIT_PERCENT = 3

CONNECTIONS = 16
START_SECONDS = 30
STOP_SECONDS = 10
ASKED = b"GET /orders/17 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
WELL, END = b"HTTP/1.1 200 ", b"\r\n\r\nok"


class Pace(NamedTuple):
    """Answers a second, and the us of the server's core that each took."""

    per_second: float
    cpu_us: float


class Server(NamedTuple):
    process: psutil.Process
    port: int


def run() -> list[Row]:
    """Ask both servers in turns, after a first turn that does not count."""
    serving, asking = cores()
    with ExitStack() as stack:
        sink = stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        sink.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{sink.getsockname()[1]}"
        bare = stack.enter_context(server(serving, ""))
        watched = stack.enter_context(server(serving, address))
        stack.enter_context(pinned(asking))
        turns = [(asked(bare), asked(watched)) for _ in range(ROUNDS + 1)][1:]
    return rows(turns)


def rows(turns: list[tuple[Pace, Pace]]) -> list[Row]:
    """Return the rows of turns, each without and with the middleware."""
    percents = [(bare.per_second / watched.per_second - 1) * 100 for bare, watched in turns]
    low, slower, high = quantiles(percents, n=4)
    pace = median(bare.per_second for bare, _ in turns)
    cpu_us = median(watched.cpu_us - bare.cpu_us for bare, watched in turns)
    whole_us = median(bare.cpu_us for bare, _ in turns)
    return [
        Row(
            "uvicorn: a request with the middleware takes longer by",
            slower,
            f"% (quartiles {low:.3g} and {high:.3g}; without it {pace:,.0f}/s)",
            f"<= {LIMIT_PERCENT}",
            slower <= LIMIT_PERCENT,
        ),
        Row(
            "uvicorn: the same, of the server's core",
            cpu_us,
            f"us (without it {whole_us:.0f})",
            "",
            None,
        ),
    ]


def cores() -> tuple[int, int]:
    """Return the core of the server and of who asks: two where there are two."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Let this thread run on one core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def server(core: int, address: str) -> Iterator[Server]:
    """Run a server as a process of its own; it is watched where there is an address to send to."""
    context = multiprocessing.get_context("spawn")
    ports: multiprocessing.Queue[int] = context.Queue()
    process = context.Process(target=serve, args=(core, address, ports), daemon=True)
    process.start()
    try:
        yield Server(psutil.Process(process.pid), ports.get(timeout=START_SECONDS))
    finally:
        process.terminate()
        process.join(STOP_SECONDS)
        process.kill()
        process.join()


def serve(core: int, address: str, ports: multiprocessing.Queue[int]) -> None:
    """Serve as `uvicorn --no-access-log` would, until it is terminated."""
    os.sched_setaffinity(0, {core})
    app = Starlette(routes=[Route("/orders/{number:int}", order)])
    if address:
        app.add_middleware(MonitordMiddleware, emitter=Emitter(address, service="bench"))
    listening = socket.create_server(("127.0.0.1", 0))
    ports.put(listening.getsockname()[1])
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run([listening])


async def order(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


def asked(server: Server) -> Pace:
    """Ask over some connections at once, on each again when it is answered."""
    with ExitStack() as stack, selectors.DefaultSelector() as ready:
        for _ in range(CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", server.port))
            ready.register(stack.enter_context(connection), selectors.EVENT_READ, bytearray())
            connection.sendall(ASKED)
        before, began = server.process.cpu_times(), time.perf_counter()
        answers = answered(ready, began + MILLISECONDS / 1000)
        seconds, after = time.perf_counter() - began, server.process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return Pace(answers / seconds, cpu / answers * 1e6)


def answered(ready: selectors.BaseSelector, until: float) -> int:
    """
    Return how many answers came, one at the least; each is followed by another question.

    Raises RuntimeError: there is no answer, or it is none of those expected.
    """
    answers = 0
    while not answers or time.perf_counter() < until:
        for key, _ in ready.select(START_SECONDS) or no_answer(b""):
            connection, answer = key.fileobj, key.data
            answer += connection.recv(4_096)
            if not answer.startswith(WELL):
                no_answer(answer)
            if answer.endswith(END):
                answers += 1
                answer.clear()
                connection.sendall(ASKED)
    return answers


def no_answer(instead: bytes) -> NoReturn:
    raise RuntimeError(f"uvicorn answered {bytes(instead)!r}")
