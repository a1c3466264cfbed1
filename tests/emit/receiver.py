"""A receiver with real sockets that reads the wire strictly, and a real ASGI server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvicorn


PATIENCE_S = 10.0
BUFFER_BYTES = 4 * 1024 * 1024


@dataclass
class Post:
    """One HTTP request as it came in, at monotonic seconds."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)


@dataclass
class Receiver:
    """
    What a daemon would be sent: datagrams and POSTs to one port, kept in order of arrival.

    `answers` are the (status, body) of the next POSTs, the last one is used from then on; status 0
    ends the connection without one. `posts` are those that were taken or got no answer, `refused`
    the others, which were told to `retry_after`.
    """

    port: int = 0
    datagrams: list[bytes] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    refused: list[Post] = field(default_factory=list)
    retry_after: str = ""
    answers: list[tuple[int, bytes]] = field(
        default_factory=lambda: [(202, b'{"accepted":1,"rejected":0,"errors":[]}')]
    )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def lines(self) -> list[dict[str, Any]]:
        """Return every event, each line of each body parsed by the strictest reader there is."""
        bodies = [*self.datagrams, *(post.body for post in self.posts)]
        assert all(body.endswith(b"\n") for body in bodies)
        return [strict(line) for body in bodies for line in body.decode().split("\n")[:-1]]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one type, without the emitter's own reports."""
        return [
            line
            for line in self.lines()
            if line["type"] == kind and not line.get("name", "").startswith("monitord.")
        ]

    def wait(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until as many events of a type are here."""
        wait_until(lambda: len(self.events(kind)) >= count)
        return self.events(kind)


def strict(line: str) -> dict[str, Any]:
    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    parsed = json.loads(line, parse_constant=refused)
    assert isinstance(parsed, dict)
    return parsed


def wait_until(true: Callable[[], object]) -> None:
    """Wait for something another thread or process brings about; fail after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@contextlib.contextmanager
def receiving(port: int = 0, host: str = "127.0.0.1") -> Iterator[Receiver]:
    """Receive on a port, the kernel's choice by default, until the block ends."""
    receiver = Receiver()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server, udp = both(receiver, family, host, port)
    with udp:
        threads = [
            threading.Thread(target=read, args=(udp, receiver)),
            threading.Thread(target=server.serve_forever, args=(0.01,)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            server.server_close()
            with socket.socket(family, socket.SOCK_DGRAM) as last:
                last.sendto(b"", (host, receiver.port))
            for thread in threads:
                thread.join()


def both(
    receiver: Receiver, family: int, host: str, port: int
) -> tuple[ThreadingHTTPServer, socket.socket]:
    """Bind one port for both protocols; the kernel's choice of one may be taken for the other."""
    while True:
        server = http_server(receiver, family, host, port)
        udp = socket.socket(family, socket.SOCK_DGRAM)
        # A thread that waits for the interpreter must find everything that came meanwhile.
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        receiver.port = server.server_address[1]
        try:
            udp.bind((host, receiver.port))
        except OSError:
            udp.close()
            server.server_close()
            continue
        return server, udp


def read(udp: socket.socket, receiver: Receiver) -> None:
    """Keep datagrams until an empty one."""
    while data := udp.recv(65_536):
        receiver.datagrams.append(data)


def http_server(receiver: Receiver, family: int, host: str, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 1.0  # so that a kept connection does not hold the test up at its end

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = receiver.answers[0]
            if len(receiver.answers) > 1:
                receiver.answers.pop(0)
            where = receiver.posts if status < 400 else receiver.refused
            where.append(Post(self.path, dict(self.headers), body))
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            if status >= 400 and receiver.retry_after:
                self.send_header("Retry-After", receiver.retry_after)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = family
        daemon_threads = True

    return Server((host, port), Handler)


@contextlib.asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[str]:
    """Serve an ASGI application by uvicorn; the value is its URL."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", **options
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([sock]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
