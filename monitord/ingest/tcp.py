"""
Syslog and GELF over TCP: a stream in, batches out, never an answer.

A sender that waits is an application that waits: while there is no room nothing is read, but not
for long. What is read then is shown, not kept, and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from collections.abc import Callable
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self

import structlog

from msgspec import Struct

from monitord.errors import NotTaken, SettingsError
from monitord.ingest import gelf, syslog
from monitord.ingest.counts import Counts
from monitord.ingest.decoded import Decoded, Refused
from monitord.ingest.framing import Framing, Message, NulFraming, SyslogFraming
from monitord.listen import bound_sockets, is_loopback
from monitord.model import DurableSink
from monitord.settings import Ingest
from monitord.telemetry import Telemetry


CONNECTIONS = 256
# Closing an idle one costs its sender a message, which it would not even notice; keep-alive finds
# those whose sender is gone.
IDLE_SECONDS = 86_400.0
BUFFER_BYTES = 32 * 1024
# Cut into messages at once: of the shortest ones, some 4,000.
READ_BYTES = 8 * 1024
# Looked into before others get a turn, some 3 ms: bytes, and what each message costs beside them.
STEP_BYTES = 16 * 1024
MESSAGE_COST_BYTES = 128
# A batch is at most this much, and waits so long for others: each costs as much as 300 events.
BATCH_BYTES = 64 * 1024
HOLD_SECONDS = 0.02
# How long senders wait for room, all in all, before what they send is let go.
PATIENCE_SECONDS = 5.0
ROOM_EVERY_SECONDS = 0.1
CLOSING_SECONDS = 2.0

log = structlog.get_logger()


class LineProtocol(Struct, frozen=True):
    """A protocol over TCP: its label, the setting of its port, its framing and its decoder."""

    name: str
    setting: str
    framing: Callable[[], Framing]
    decode: Callable[[int, bytes, float, Decoded], Any]


SYSLOG = LineProtocol("syslog", "syslog_port", SyslogFraming, syslog.decode_message)
GELF = LineProtocol("gelf", "gelf_port", NulFraming, gelf.decode_message)


class TcpListener:
    """
    Reads one protocol's connections while its context is open; nothing where its port is not set.

    Raises SettingsError on entering: no address to bind, or others can connect and
    `ingest.udp.allow_from` names none.
    """

    def __init__(
        self,
        protocol: LineProtocol,
        ingest: Ingest,
        sink: DurableSink,
        telemetry: Telemetry,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._protocol = protocol
        self._ingest = ingest
        self._sink = sink
        self._now = now
        self._counts = Counts(telemetry, protocol.name)
        self._strangers = telemetry.rejected.labels(protocol.name, "source_not_allowed")
        self._lost = telemetry.dropped.labels(protocol.name)
        self._guarded = not is_loopback(ingest.host)
        self._servers: list[asyncio.Server] = []
        self._open: dict[asyncio.Task[None], asyncio.StreamReader] = {}
        self._crowded = False
        self._held = Decoded()
        self._held_bytes = 0
        self._flush_timer: asyncio.TimerHandle | None = None
        self._full_since: float | None = None
        # One connection's step a turn of the loop, however many there are.
        self._turn = asyncio.Lock()
        self._looked_into = 0
        self.port: int | None = getattr(ingest, protocol.setting)

    async def __aenter__(self) -> Self:
        if self.port is None:
            return self
        host, key = self._ingest.host, f"ingest.{self._protocol.setting}"
        if self._guarded and not self._ingest.udp.allow_from:
            raise SettingsError(
                f"ingest.udp.allow_from: {host or 'every address'} can be reached by other"
                f" machines, which needs the networks that may send; {self._protocol.name} cannot"
                " carry a token"
            )
        sockets = await bound_sockets(socket.SOCK_STREAM, host, self.port, key)
        self.port = sockets[0].getsockname()[1]
        for sock in sockets:
            server = await asyncio.start_server(self._connected, sock=sock, limit=BUFFER_BYTES)
            self._servers.append(server)
        address = f"{host}:{self.port}"
        log.info("ingest.listening", protocol=f"{self._protocol.name}/tcp", address=address)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()
        tasks = list(self._open)
        for reader in self._open.values():
            reader.feed_eof()  # what has arrived is taken along
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSING_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._flush()
        self._servers.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one connection to its end; nothing a sender does is an error of ours."""
        task = asyncio.current_task()
        assert task is not None
        try:
            if self._admitted(writer):
                self._open[task] = reader
                await self._read(reader)
        except (OSError, TimeoutError) as error:
            log.debug("ingest.connection_ended", error=repr(error))
        finally:
            self._open.pop(task, None)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _admitted(self, writer: asyncio.StreamWriter) -> bool:
        """Say whether a connection is read: from a known network, and not one too many."""
        if self._guarded and not self._is_known(str(writer.get_extra_info("peername")[0])):
            self._strangers.inc()
            return False
        before, self._crowded = self._crowded, len(self._open) >= CONNECTIONS
        if self._crowded:
            if not before:
                name = self._protocol.name
                log.warning("ingest.connections_full", protocol=name, limit=CONNECTIONS)
            return False
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return True

    def _is_known(self, source: str) -> bool:
        with contextlib.suppress(ValueError):
            address = ip_address(source.partition("%")[0])
            return any(address in network for network in self._ingest.udp.allow_from)
        return False

    async def _read(self, reader: asyncio.StreamReader) -> None:
        framing = self._protocol.framing()
        try:
            while not framing.broken:
                async with asyncio.timeout(IDLE_SECONDS):
                    data = await reader.read(READ_BYTES)
                if not data:
                    break
                await self._room()
                async with self._turn:
                    await self._take(framing.feed(data))
        finally:
            async with self._turn:
                await self._take(framing.rest())

    async def _room(self) -> None:
        """Wait while the sink has no room, as long as patience lasts; with room it comes back."""
        clock = asyncio.get_running_loop().time
        while not self._has_room():
            if self._full_since is None:
                self._full_since = clock()
            if clock() - self._full_since >= PATIENCE_SECONDS:
                return
            await asyncio.sleep(ROOM_EVERY_SECONDS)
        self._full_since = None

    def _has_room(self) -> bool:
        try:
            self._sink.check_room()
        except NotTaken:
            return False
        return True

    async def _take(self, messages: list[Message]) -> None:
        now = self._now()
        for index, message in enumerate(messages):
            self._take_one(index, message, now)
            if self._looked_into > STEP_BYTES:
                self._looked_into = 0
                await asyncio.sleep(0)

    def _take_one(self, index: int, message: Message, now: float) -> None:
        self._looked_into += MESSAGE_COST_BYTES
        if isinstance(message, Refused):
            self._held.refuse(index, message)
        else:
            self._protocol.decode(index, message, now, self._held)
            self._held_bytes += len(message)
            self._looked_into += len(message)
        if self._held_bytes >= BATCH_BYTES:
            self._flush()
        elif self._flush_timer is None:
            loop = asyncio.get_running_loop()
            self._flush_timer = loop.call_later(HOLD_SECONDS, self._flush)

    def _flush(self) -> None:
        """Offer what is held as one batch."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        decoded, self._held = self._held, Decoded()
        size_bytes, self._held_bytes = self._held_bytes, 0
        self._counts.count(decoded)
        if decoded.accepted and not self._sink.offer(decoded.batch(self._now(), size_bytes)):
            self._lost.inc(decoded.accepted)
