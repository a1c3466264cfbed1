"""The embedded Valkey: a cache on a loopback port the kernel chose; nothing is kept on disk."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec import Struct

from monitord.embedded.binaries import find_valkey
from monitord.embedded.child import Child, tail
from monitord.embedded.cluster import ENVIRONMENT
from monitord.embedded.server import EmbeddedServer
from monitord.embedded.supervisor import Supervisor
from monitord.errors import EmbeddedError


HOST = "127.0.0.1"
PORT_ATTEMPTS = 10
READY_POLL_SECONDS = 0.02

SETTINGS = {
    "bind": HOST,
    "protected-mode": "yes",
    "save": "",
    "appendonly": "no",
    "daemonize": "no",
    "maxmemory": "64mb",
    "maxmemory-policy": "allkeys-lru",
}


class ValkeyOptions(Struct, frozen=True, kw_only=True):
    """How the server runs; `settings` go over the defaults. Times in seconds."""

    settings: Mapping[str, str] = {}
    start_timeout: float = 20.0
    stop_timeout: float = 2.0


class EmbeddedValkey(EmbeddedServer):
    """
    One Valkey server, running from `async with` to its end; *folder* holds its log and lock.

    It is started again, on the same port, when it dies. Entering raises EmbeddedError, one line.
    """

    def __init__(self, folder: Path, options: ValkeyOptions | None = None) -> None:
        super().__init__("valkey", folder, folder)
        self._options = options or ValkeyOptions()
        self._program: Path
        self._port = 0

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """The address of its database 0."""
        return f"redis://{HOST}:{self._port}/0"

    async def _prepared(self, stack: AsyncExitStack) -> Supervisor:
        self._program = await find_valkey(self._account)
        self._log.unlink(missing_ok=True)
        return Supervisor("valkey", self._start, [(signal.SIGTERM, self._options.stop_timeout)])

    async def _start(self) -> Child:
        """
        Start the server and return once it answers.

        Between choosing a free port and the server's bind somebody else may take it: another
        port is tried then, unless clients know this one already.
        """
        known = self._port
        for _ in range(PORT_ATTEMPTS):
            self._port = known or _free_port()
            child = self._spawn()
            try:
                async with asyncio.timeout(self._options.start_timeout):
                    if await self._ready(child):
                        return child
            except BaseException as error:
                await child.stop((signal.SIGTERM, 1.0))
                if isinstance(error, TimeoutError):
                    raise self._failure("does not answer") from None
                raise
            if known or "already in use" not in tail(self._log):
                break
        raise self._failure("did not start")

    def _failure(self, what: str) -> EmbeddedError:
        return EmbeddedError(f"{self._program}: {what}; {self._log}: {tail(self._log)}")

    def _spawn(self) -> Child:
        settings = {**SETTINGS, **self._options.settings, "port": str(self._port)}
        switches = [text for name, value in settings.items() for text in (f"--{name}", value)]
        return Child.start(
            [self._program, *switches],
            log=self._log,
            death_signal=signal.SIGTERM,
            account=self._account,
            environment=ENVIRONMENT,
        )

    async def _ready(self, child: Child) -> bool:
        """
        Return True once this very process answers on the port, False when it ended first.
        """
        while child.returncode is None:
            with contextlib.suppress(OSError):
                if await _process_at(self._port) == child.pid:
                    return True
            await asyncio.sleep(READY_POLL_SECONDS)
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def _process_at(port: int) -> int | None:
    """
    Ask the server on *port* for its process id; None when it says none.
    """
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(b"INFO server\r\nQUIT\r\n")
        found = re.search(rb"process_id:(\d+)", await reader.read())
        return int(found[1]) if found else None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
