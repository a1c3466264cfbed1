"""One connection: counted in and out, and ended when a request's head is late."""

from __future__ import annotations

import asyncio
import socket

from typing import cast

import structlog

from aiohttp import web
from aiohttp.typedefs import Handler


UNACKNOWLEDGED_MS = 30_000  # TCP_USER_TIMEOUT: a client that reads nothing is let go

log = structlog.get_logger()


class Door:
    """Counts a listener's connections, and holds the deadline of a request's head in seconds."""

    def __init__(self, key: str, most: int, head_seconds: float) -> None:
        self._key = key
        self._most = most
        self._open = 0
        self.head_seconds = head_seconds

    def admit(self) -> bool:
        """Count one connection in; False when there are as many as are allowed."""
        self._open += 1
        if self._open == self._most + 1:
            log.warning("http.connections_full", listener=self._key, limit=self._most)
        return self._open <= self._most

    def leave(self) -> None:
        """Count one connection out."""
        self._open -= 1


class Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's handler, and ends a connection whose head is late."""

    def __init__(self, door: Door, handler: asyncio.Protocol) -> None:
        self._door = door
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._admitted = False
        self._busy = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._admitted = self._door.admit()
        if not self._admitted:
            self._abort()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        self._arm()
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy and self._deadline is None:
            self._arm()
        self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received()

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._door.leave()
        self._transport = None
        if self._admitted:
            self._handler.connection_lost(exc)

    def head_came(self) -> None:
        """A whole head was read: from here on the request's own deadlines count."""
        self._busy = True
        self._disarm()

    def answered(self) -> None:
        """The request is done; the first byte of the next one starts its deadline."""
        self._busy = False

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._door.head_seconds, self._abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@web.middleware
async def note_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    transport = request.transport
    connection = transport.get_protocol() if transport is not None else None
    if not isinstance(connection, Connection):
        return await handler(request)
    connection.head_came()
    try:
        return await handler(request)
    finally:
        connection.answered()
