"""What monitoring costs the application: recording one request, and the whole middleware."""

from __future__ import annotations

import socket
import time

from collections.abc import Awaitable, Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any

from monitord.emit import Emitter, MonitordMiddleware
from tests.bench.table import Row


# A round is what is recorded between two turns of the sender: at 20,000 requests/s, 50 ms of them.
CALLS = 1_000
ROUNDS = 300
SUSTAINED = 200_000

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
        address = f"127.0.0.1:{sink.getsockname()[1]}"
        emitter = Emitter(address, service="bench", flush_every=3_600)
        sending = Emitter(address, service="bench", limit=SUSTAINED)
        try:
            record, shared = recording(emitter), sustained(sending)
            plain, joining = middleware(emitter, CLIENT), middleware(emitter, BROWSER, routed=True)
        finally:
            emitter.close()
            sending.close()
    return [
        Row("recording a request, beyond two clock reads", record, "us", "< 0.6", record < 0.6),
        Row("recording, with its share of encoding and sending", shared, "us", "", None),
        Row("the whole ASGI middleware, null app", plain, "us", "< 3", plain < 3),
        Row("the same with a route, 12 headers, joining a trace", joining, "us", "", None),
    ]


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
