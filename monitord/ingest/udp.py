"""
Every protocol over UDP: datagrams in, batches out, never an answer.

What decides about loss is how long the loop is kept from reading, not the rate: hence a large
receive buffer and a bounded turn. What the kernel still dropped is read from it and shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from collections import deque
from collections.abc import Callable, Generator, Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from monitord.errors import SettingsError
from monitord.ingest import kernel
from monitord.ingest.counts import Counts
from monitord.ingest.decoded import Code, Decoded
from monitord.ingest.protocols import Sorted
from monitord.ingest.senders import Senders
from monitord.intake.intake import SteppedSink
from monitord.listen import bound_sockets, bound_unix_socket, is_loopback
from monitord.model import Batch, Sink
from monitord.settings import Ingest
from monitord.telemetry import Telemetry


# So many are read before the loop goes on with other things.
TURN_DATAGRAMS = 256
# After all there was is read, nothing is read for so long: who keeps pace with the senders is woken
# for every datagram, which costs several times what the datagram does. The kernel's buffer holds
# what comes meanwhile, 250 of them if it is a small one.
REST_SECONDS = 0.001
# A batch is at most this much: some 4 ms of work, in which nothing is read.
BATCH_DATAGRAMS = 2_048
BATCH_BYTES = 512 * 1024
# How long the first datagram of a batch waits for others: each batch costs as much as 300 events.
HOLD_SECONDS = 0.02
DATAGRAM_BYTES = 65_536
# Above this the kernel's buffer keeps what comes, until what was read is decoded.
BACKLOG_BYTES = 8 * 1024 * 1024
LAST_TURNS = 1_000
LOSSES_EVERY_SECONDS = 2.0
KNOWN_SOURCES = 4_096
# Settings of ports that take the same as `ingest.port`.
FURTHER_PORTS = ("statsd_port", "syslog_port", "gelf_port")

log = structlog.get_logger()


class _Drain:
    """What was read together, until it is decoded and offered."""

    def __init__(self, steps: Iterator[None], size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._steps = steps

    def step(self) -> bool:
        """Go on, for some milliseconds at most; say whether that was the end."""
        return next(self._steps, self) is self


class UdpListener:
    """
    Reads the UDP side of the ingest port while its context is open.

    A source is checked only when others than this machine can send. `senders` are those the HTTP
    side hears of as well. Raises SettingsError on entering: no address to bind, or others can send
    and `allow_from` names none.
    """

    def __init__(
        self,
        ingest: Ingest,
        sink: Sink,
        telemetry: Telemetry,
        senders: Senders | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ingest = ingest
        self._sink = sink
        self._telemetry = telemetry
        self._senders = senders or Senders(telemetry)
        self._now = now
        self._protocols = Sorted()
        self._counts = {name: Counts(telemetry, name) for name in self._protocols.names}
        self._strangers = telemetry.rejected.labels("udp", "source_not_allowed")
        self._cut = telemetry.rejected.labels("udp", Code.ITEM_TOO_LARGE)
        self._lost = telemetry.dropped.labels("udp")
        self._guarded = not is_loopback(ingest.host)
        self._sources: dict[str, bool] = {}
        self._sockets: list[socket.socket] = []
        self._inodes: list[str] = []
        self._buffer = bytearray(DATAGRAM_BYTES)
        self._view = memoryview(self._buffer)
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._backlog: deque[_Drain] = deque()
        self._backlog_bytes = 0
        self._rests: dict[socket.socket, asyncio.TimerHandle] = {}
        self._flush_timer: asyncio.TimerHandle | None = None
        self._losses_timer: asyncio.TimerHandle | None = None
        self.port = ingest.port

    async def __aenter__(self) -> Self:
        host, udp = self._ingest.host, self._ingest.udp
        if self._guarded and not udp.allow_from:
            raise SettingsError(
                f"ingest.udp.allow_from: {host or 'every address'} can be reached by other"
                " machines, which needs the networks that may send; UDP cannot carry a token"
            )
        self._sockets = await self._bound(host)
        self.port = self._sockets[0].getsockname()[1]
        # Who sends to a unix socket waits while it is full: it drops nothing.
        by_network = [sock for sock in self._sockets if sock.family != socket.AF_UNIX]
        self._inodes = [kernel.inode(sock) for sock in by_network]
        self._enlarge(udp.receive_buffer_bytes)
        for sock in self._sockets:
            self._wait_for(sock)
        self._watch_losses()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._losses_timer is not None:
            self._losses_timer.cancel()
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
            if rest := self._rests.pop(sock, None):
                rest.cancel()
            # What has arrived is taken along; a flood must not hold the end up for ever.
            for _turn in range(LAST_TURNS):
                read = self._turn(sock)
                self._finish()
                if not read:
                    break
        self._flush()
        self._finish()
        self.read_drops()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        if self._ingest.statsd_socket is not None:
            self._ingest.statsd_socket.unlink(missing_ok=True)

    async def _bound(self, host: str) -> list[socket.socket]:
        """Return sockets on the port of all protocols, and on those other systems send to."""
        ingest = self._ingest
        sockets = await bound_sockets(socket.SOCK_DGRAM, host, self.port, "ingest")
        try:
            for name in FURTHER_PORTS:
                port = getattr(ingest, name)
                if port is not None:
                    sockets += await _bound_further(host, port, name)
            if ingest.statsd_socket is not None:
                _check_unread(ingest.statsd_socket, "ingest.statsd_socket")
                sockets.append(bound_unix_socket(ingest.statsd_socket, "ingest.statsd_socket"))
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        return sockets

    def read_drops(self) -> None:
        """Read from the kernel what it dropped since the socket was opened, and show it."""
        drops = kernel.dropped(self._inodes)
        if drops is not None:
            self._telemetry.kernel_drops.set(drops)

    def _watch_losses(self) -> None:
        self.read_drops()
        self._senders.settle()
        loop = asyncio.get_running_loop()
        self._losses_timer = loop.call_later(LOSSES_EVERY_SECONDS, self._watch_losses)

    def _enlarge(self, asked_bytes: int) -> None:
        size = min(kernel.enlarge(sock, asked_bytes) for sock in self._sockets)
        self._telemetry.receive_buffer.set(size)
        address = f"{self._ingest.host}:{self.port}"
        log.info("ingest.listening", protocol="udp", address=address, receive_buffer_bytes=size)
        if size * 2 <= asked_bytes:
            log.warning(
                "ingest.small_receive_buffer",
                receive_buffer_bytes=size,
                asked_bytes=asked_bytes,
                remedy=f"sysctl -w net.core.rmem_max={asked_bytes}",
            )

    def _wait_for(self, sock: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(sock, self._begin, sock)

    def _begin(self, sock: socket.socket) -> None:
        """Something came: read by the clock from now on, until nothing comes any more."""
        asyncio.get_running_loop().remove_reader(sock)
        self._poll(sock)

    def _poll(self, sock: socket.socket) -> None:
        full = self._backlog_bytes >= BACKLOG_BYTES
        read = 0 if full else self._turn(sock)
        if full or read:
            # A unix socket's queue may be as short as 10 datagrams, and who finds it full waits.
            busy = read == TURN_DATAGRAMS or sock.family == socket.AF_UNIX
            rest = 0 if busy and not full else REST_SECONDS
            self._rests[sock] = asyncio.get_running_loop().call_later(rest, self._poll, sock)
        else:
            self._rests.pop(sock, None)
            self._wait_for(sock)

    def _turn(self, sock: socket.socket) -> int:
        """Read what is there, up to a full turn; return how many datagrams it was."""
        read = self._receive(sock)
        if len(self._held) >= BATCH_DATAGRAMS or self._held_bytes >= BATCH_BYTES:
            self._flush()
        elif self._held and self._flush_timer is None:
            loop = asyncio.get_running_loop()
            self._flush_timer = loop.call_later(HOLD_SECONDS, self._flush)
        return read

    def _flush(self) -> None:
        """Decode what is held and offer it, after what is not done yet."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        datagrams, self._held = self._held, []
        size_bytes, self._held_bytes = self._held_bytes, 0
        if not datagrams:
            return
        steps = self._taking(datagrams, size_bytes, self._now())
        self._backlog.append(_Drain(steps, size_bytes))
        self._backlog_bytes += size_bytes
        if len(self._backlog) == 1:
            self._decode()

    def _decode(self) -> None:
        """Do one step of the backlog; the loop has its turn before the next."""
        try:
            self._step()
        finally:
            if self._backlog:
                asyncio.get_running_loop().call_soon(self._decode)

    def _step(self) -> None:
        if not self._backlog:  # the listener was closed meanwhile
            return
        drain = self._backlog[0]
        if drain.step():
            self._backlog.popleft()
            self._backlog_bytes -= drain.size_bytes

    def _finish(self) -> None:
        while self._backlog:
            self._step()

    def _taking(self, datagrams: list[bytes], size_bytes: int, now: float) -> Iterator[None]:
        """Decode one drain and offer it, a batch a protocol; pause where that takes long."""
        found: dict[str, Decoded] = {}
        yield from self._protocols.decoding(datagrams, now, found)
        self._telemetry.datagrams.inc(len(datagrams))
        for protocol, decoded in found.items():
            self._counts[protocol].count(decoded)
            self._senders.hear(decoded.envelopes)
            if decoded.accepted:
                kept = yield from self._offering(decoded.batch(now, size_bytes))
                if not kept:
                    self._lost.inc(decoded.accepted)

    def _offering(self, batch: Batch) -> Generator[None, None, bool]:
        if isinstance(self._sink, SteppedSink):
            return (yield from self._sink.offering(batch))
        return self._sink.offer(batch)

    def _receive(self, sock: socket.socket) -> int:
        read: Callable[[bytearray], int] = sock.recv_into
        if sock.family == socket.AF_UNIX:
            read = partial(self._read_whole, sock)
        elif self._guarded:
            read = partial(self._read_known, sock)
        held, buffer, view, before = self._held, self._buffer, self._view, len(self._held)
        try:
            for _ in range(TURN_DATAGRAMS):
                size = read(buffer)
                held.append(bytes(view[:size]))
                self._held_bytes += size
                if self._held_bytes >= BATCH_BYTES:
                    break
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            log.warning("ingest.udp_read_failed", error=str(error))
        return len(held) - before

    def _read_whole(self, sock: socket.socket, buffer: bytearray) -> int:
        """Read one datagram of a unix socket; of one that is larger than any of UDP, nothing."""
        size, _, flags, _ = sock.recvmsg_into([buffer])
        if not flags & socket.MSG_TRUNC:
            return size
        self._cut.inc()
        return 0

    def _read_known(self, sock: socket.socket, buffer: bytearray) -> int:
        """Read one datagram; from a stranger, an empty one."""
        size, address = sock.recvfrom_into(buffer)
        if self._allowed(address[0]):
            return size
        self._strangers.inc()
        return 0

    def _allowed(self, source: str) -> bool:
        known = self._sources.get(source)
        if known is None:
            if len(self._sources) >= KNOWN_SOURCES:
                self._sources.clear()
            known = self._sources[source] = self._in_networks(source)
        return known

    def _in_networks(self, source: str) -> bool:
        with contextlib.suppress(ValueError):
            address = ip_address(source.partition("%")[0])
            return any(address in network for network in self._ingest.udp.allow_from)
        return False


async def _bound_further(host: str, port: int, name: str) -> list[socket.socket]:
    """
    Return sockets on a further port, set as `ingest.<name>`.

    Raises SettingsError: no such host, or the port is taken.
    """
    try:
        return await bound_sockets(socket.SOCK_DGRAM, host, port, "ingest")
    except SettingsError as error:
        raise SettingsError(str(error).replace("ingest.port:", f"ingest.{name}:", 1)) from error


def _check_unread(path: Path, key: str) -> None:
    """Raises SettingsError: a process has its socket there, which must not be taken from it."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:  # what a crash has left
            return
        except OSError as error:
            why = error.strerror or str(error)
        else:
            why = "it is read"
    raise SettingsError(f"{key}: {path} is another process's: {why}; name another, or stop it")
