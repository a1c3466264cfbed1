"""
What monitoring costs the application: recording a request, a span, the whole middleware; what
others charge for the like, in the same run; and what an hour without a daemon costs.
"""

from __future__ import annotations

import socket
import time
import tracemalloc

from collections.abc import Awaitable, Callable
from contextlib import closing
from statistics import median
from types import SimpleNamespace
from typing import Any

from monitord.emit import Emitter, MonitordMiddleware
from tests.bench import others
from tests.bench.sizes import size
from tests.bench.table import Row


# A round is what is recorded between two turns of the sender: at 20,000 requests/s, 50 ms of them.
CALLS = 1_000
ROUNDS = size("EMIT_ROUNDS", 300)
SUSTAINED = size("EMIT_SUSTAINED", 200_000)
# Others must take at least so many times as long as recording a request.
TIMES = 3

# An hour of 100 events/s, and how many are recorded between two turns of the sender, of which one
# is a log line too long for a datagram.
AWAY = size("EMIT_AWAY_EVENTS", 360_000)
PIECE = 100
LONG = "x" * 30_000
ROUTES = [f"/resource{number}/{{id}}" for number in range(40)]
GROWN_MB = 2
# How many times as long recording may take as beside a daemon that is there.
SLOWER = 1.25
TURN_SECONDS = 10

TRACE, SPAN = "ab" * 16, "cd" * 8
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"2")],
}
BODY = {"type": "http.response.body", "body": b"ok"}
# What an HTTP client sends by itself, and what a browser adds behind a proxy. Each header that is
# looked at costs some 40 ns.
CLIENT = [
    (b"host", b"shop.example"),
    (b"user-agent", b"Mozilla/5.0"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, br"),
    (b"connection", b"keep-alive"),
]
BROWSER = [
    *CLIENT,
    (b"accept-language", b"en"),
    (b"cookie", b"session=0123456789"),
    (b"referer", b"https://shop.example/"),
    (b"sec-fetch-site", b"same-origin"),
    (b"x-forwarded-for", b"192.0.2.1"),
    (b"x-forwarded-proto", b"https"),
    (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
]


def run() -> list[Row]:
    """Measure against a socket nobody reads; the sender works between rounds, not within them."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sink:
        sink.bind(("127.0.0.1", 0))
        port = sink.getsockname()[1]
        address = f"127.0.0.1:{port}"
        emitter = Emitter(address, service="bench", flush_every=3_600)
        sending = Emitter(address, service="bench", limit=SUSTAINED)
        try:
            record, shared = recording(emitter), sustained(sending)
            step, steps = span(emitter), span(emitter, {"db.system.name": "postgresql"})
            plain, joining = middleware(emitter, CLIENT), middleware(emitter, BROWSER, routed=True)
        finally:
            emitter.close()
            sending.close()
        beside = {
            "an OpenTelemetry SDK span, no exporter": others.opentelemetry_span(best),
            "prometheus-client, labels().observe()": others.prometheus_observation(best),
            "datadog, dogstatsd timing": others.dogstatsd_timing(best, port),
        }
    return [
        Row("recording a request, beyond two clock reads", record, "us", "< 0.6", record < 0.6),
        Row("recording, with its share of encoding and sending", shared, "us", "", None),
        Row("the whole ASGI middleware, null app", plain, "us", "< 3", plain < 3),
        Row("the same with a route, 12 headers, joining a trace", joining, "us", "", None),
        Row("a span around a block", step, "us", "", None),
        Row("the same with an attribute", steps, "us", "", None),
        *(against(record, what, cost) for what, cost in beside.items()),
        *away(),
    ]


def against(record: float, what: str, cost: float) -> Row:
    """Return the row of another library's cost, and how many times that of a request it is."""
    times = cost / record
    return Row(what, cost, f"us, {times:.0f} x a request", f">= {TIMES} x", times >= TIMES)


def recording(emitter: Emitter) -> float:
    """Return the us of `request` alone: the same loop without the call is taken off."""
    clock = time.perf_counter

    def timed() -> None:
        start = clock()
        emitter.request("GET", "/orders/{id}", 200, (clock() - start) * 1e3, TRACE, SPAN)

    def reads() -> None:
        start = clock()
        (clock() - start) * 1e3

    return best(timed, emitter.flush) - best(reads)


def span(emitter: Emitter, attributes: dict[str, str] | None = None) -> float:
    """Return the us of a span around an empty block, as a child of another."""

    def timed() -> None:
        with emitter.span("step", attributes=attributes):
            pass

    with emitter.span("outer"):
        return best(timed, emitter.flush)


def sustained(emitter: Emitter) -> float:
    """Return the us of wall time an event takes while the sender's thread keeps pace."""
    started = time.perf_counter()
    for _ in range(SUSTAINED):
        emitter.request("GET", "/orders/{id}", 200, 12.5, TRACE, SPAN)
    emitter.flush(60)
    return (time.perf_counter() - started) / SUSTAINED * 1e6


def middleware(
    emitter: Emitter, headers: list[tuple[bytes, bytes]], *, routed: bool = False
) -> float:
    """Return the us a request takes longer with the middleware than without it."""
    more: dict[str, Any] = {}
    if routed:
        route = SimpleNamespace(path="/orders/{id:int}", path_format="/orders/{id}")
        more = {"route": route, "router": object(), "app": object()}
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/orders/17",
        "root_path": "",
        "headers": headers,
        **more,
    }

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send(START)
        await send(BODY)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        pass

    def served(by: Callable[..., Awaitable[None]]) -> Callable[[], None]:
        return lambda: to_the_end(by(scope, receive, send))

    wrapped = served(MonitordMiddleware(app, emitter))
    return best(wrapped, emitter.flush) - best(served(app))


def to_the_end(coroutine: Any) -> None:
    """Run what never waits, without the cost of an event loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return


def best(call: Callable[[], None], between: Callable[[], object] = lambda: None) -> float:
    """Return the us of one call, the least of all rounds: what is above it is the machine's."""
    least = float("inf")
    for _ in range(ROUNDS):
        between()
        started = time.perf_counter()
        for _ in range(CALLS):
            call()
        least = min(least, time.perf_counter() - started)
    return least / CALLS * 1e6


def away() -> list[Row]:
    """
    Record an hour's events for a daemon that is not there, as fast as the sender takes them in.

    Memory is measured in a run of its own: tracing it makes everything slower.
    """
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sink:
        sink.bind(("127.0.0.1", 0))
        grown, held = grown_mb(nowhere())
        waiting, sent = p99s(nowhere(), f"127.0.0.1:{sink.getsockname()[1]}")
    return [
        Row(
            "an hour without monitord: memory, at its peak",
            grown,
            f"MB ({held:.3g} in the end; {AWAY:,} events)",
            f"<= {GROWN_MB}",
            grown <= GROWN_MB,
        ),
        Row(
            "an hour without monitord: recording a request, p99",
            waiting,
            f"us ({sent:.3g} with one, clock reads included)",
            f"<= {SLOWER} x",
            waiting <= SLOWER * sent,
        ),
    ]


def nowhere() -> str:
    """Return an address at which nobody listens."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


def grown_mb(address: str) -> tuple[float, float]:
    """Return what Python's memory grew by since the emitter was made: at its peak, in the end."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        emitter = Emitter(address, service="bench", flush_every=0.001)
        for _ in range(AWAY // PIECE):
            emitter.log("ERROR", LONG)
            for number in range(1, PIECE):
                emitter.request("GET", ROUTES[number % 40], 200, 12.5, TRACE, SPAN)
            taken_in(emitter)
        after, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    emitter.close(0.1)
    return (most - before) / 1e6, (after - before) / 1e6


def p99s(*addresses: str) -> list[float]:
    """Return the p99 of recording beside each daemon in us, in turns: the median of the rounds."""
    emitters = [Emitter(address, service="bench", flush_every=0.001) for address in addresses]
    taken: list[list[float]] = [[] for _ in emitters]
    for _ in range(AWAY // CALLS):
        for emitter, rounds in zip(emitters, taken, strict=True):
            rounds.append(p99_us(emitter))
            taken_in(emitter)
    for emitter in emitters:
        emitter.close(0.1)
    return [median(rounds) for rounds in taken]


def p99_us(emitter: Emitter) -> float:
    clock = time.perf_counter_ns
    taken = []
    for _ in range(CALLS):
        began = clock()
        emitter.request("GET", "/orders/{id}", 200, 12.5, TRACE, SPAN)
        taken.append(clock() - began)
    return sorted(taken)[CALLS * 99 // 100] / 1e3


def taken_in(emitter: Emitter) -> None:
    """Wait until the sender has what was recorded, to send it or to keep it."""
    until = time.monotonic() + TURN_SECONDS
    while emitter._pump.buffer and time.monotonic() < until:
        time.sleep(0.001)
