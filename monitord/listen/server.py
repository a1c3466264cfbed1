"""
Serves one aiohttp application, with the deadlines and the quiet that aiohttp lacks.

aiohttp waits 3,630 s for the rest of a request's head and for ever for the rest of its body, and
logs a traceback for each malformed request. Here a head has 10 s, a body 30 s (`read_body`), and a
malformed request is one line at debug.
"""

from __future__ import annotations

import asyncio
import socket
import ssl

from types import TracebackType
from typing import Any, Self

import structlog

from aiohttp import web

from monitord.listen.connection import Connection, Door, note_request
from monitord.listen.quiet import ServerLog
from monitord.listen.sockets import bound_sockets


HEAD_SECONDS = 10.0
IDLE_SECONDS = 75.0
HANDSHAKE_SECONDS = 10.0
CONNECTIONS = 1_024
READ_BUFFER_BYTES = 65_536

log = structlog.get_logger()


class HttpServer:
    """
    Serves one aiohttp application: bound connections, deadlines, TLS, and a quiet log.

    It puts one middleware of its own before the application's. `key` is the section of the
    settings that errors name; `handler_options` go to aiohttp's request handler.
    """

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        key: str = "web",
        connections: int = CONNECTIONS,
        head_seconds: float = HEAD_SECONDS,
        shutdown_seconds: float = 3.0,
        **handler_options: Any,
    ) -> None:
        app.middlewares.insert(0, note_request)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=ServerLog(key),
            keepalive_timeout=IDLE_SECONDS,
            read_bufsize=READ_BUFFER_BYTES,
            shutdown_timeout=shutdown_seconds,
            **handler_options,
        )
        self._host = host
        self._tls = tls
        self._key = key
        self._servers: list[asyncio.Server] = []
        self._door = Door(key, connections, head_seconds)
        self.port = port

    async def __aenter__(self) -> Self:
        sockets = await bound_sockets(socket.SOCK_STREAM, self._host, self.port, self._key)
        try:
            await self._runner.setup()
            while sockets:
                self._servers.append(await self._start(sockets[-1]))
                self.port = sockets.pop().getsockname()[1]
        except BaseException:
            for sock in sockets:
                sock.close()
            await self._stop()
            raise
        scheme = "https" if self._tls else "http"
        log.info("http.listening", listener=self._key, address=f"{scheme}://{self.address}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._stop()

    @property
    def address(self) -> str:
        """Host and port as they are written in an address."""
        host = self._host or "localhost"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    async def _start(self, sock: socket.socket) -> asyncio.Server:
        seconds = HANDSHAKE_SECONDS if self._tls else None
        return await asyncio.get_running_loop().create_server(
            self._connection,
            sock=sock,
            ssl=self._tls,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=seconds,
        )

    def _connection(self) -> Connection:
        server = self._runner.server
        assert server is not None  # setup() came before the first connection
        return Connection(self._door, server())

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        await self._runner.cleanup()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
