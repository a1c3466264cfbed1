"""What watching a library adds to each of its calls: in a trace, and outside of any."""

from __future__ import annotations

import socket
import time

from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import Any

from monitord.emit import Emitter
from monitord.emit.hooks.keys import KeyTypes
from monitord.emit.hooks.redis import ONE, Watch
from monitord.emit.hooks.statement import query
from monitord.emit.hooks.step import Args, Kwargs, Recorder, Step
from tests.bench.sizes import size
from tests.bench.table import Row


CALLS = 1_000
ROUNDS = size("HOOKS_ROUNDS", 100)


class Client:
    """Has what a redis-py client is asked for, and does nothing."""

    def __init__(self) -> None:
        self.connection_pool = self
        self.connection_kwargs = {"host": "127.0.0.1", "port": 6379, "db": 0}

    def execute_command(self, *args: Any) -> bytes:
        return b"value"


def run() -> list[Row]:
    """Measure against a socket nobody reads; the sender works between rounds, not within them."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sink:
        sink.bind(("127.0.0.1", 0))
        emitter = Emitter(f"127.0.0.1:{sink.getsockname()[1]}", flush_every=3_600)
        try:
            return [*rows("query", emitter, asking), *rows("GET", emitter, getting)]
        finally:
            emitter.close(0.1)


def rows(
    what: str, emitter: Emitter, made: Callable[[Emitter], tuple[Callable[[], object], Any]]
) -> list[Row]:
    call, bare = made(emitter)
    return [
        Row(f"watched {what}, {where}", added(call, bare, emitter, traced), "us", "", None)
        for where, traced in (("outside of a trace", False), ("in a trace", True))
    ]


def asking(emitter: Emitter) -> tuple[Callable[[], object], Any]:
    """Return a query that does nothing, watched and not."""
    text = "SELECT id, note FROM orders WHERE id = $1 AND customer = $2"

    def told(args: Args, kwargs: Kwargs) -> Step:
        return query(text, "postgresql", "shop", "127.0.0.1", 5432)

    def sent(statement: str) -> None:
        pass

    watched = Recorder(emitter).blocking(told)(sent)
    return lambda: watched(text), lambda: sent(text)


def getting(emitter: Emitter) -> tuple[Callable[[], object], Any]:
    """Return a look-up that does nothing, watched and not."""
    client = Client()
    watched = Watch(Recorder(emitter), KeyTypes()).blocking(ONE)(Client.execute_command)
    return lambda: watched(client, "GET", "cart:17"), lambda: client.execute_command("GET", "a")


def added(
    call: Callable[[], object], bare: Callable[[], object], emitter: Emitter, traced: bool
) -> float:
    """Return what the hook adds to a call, in microseconds: the best round of each."""
    best = {call: float("inf"), bare: float("inf")}
    for _ in range(ROUNDS):
        for each in (call, bare):
            with emitter.span("page") if traced else nullcontext():
                began = time.perf_counter()
                for _ in range(CALLS):
                    each()
                best[each] = min(best[each], (time.perf_counter() - began) / CALLS)
            emitter.flush(5)
    return (best[call] - best[bare]) * 1e6
