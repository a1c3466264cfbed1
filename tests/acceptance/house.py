"""One monitord as a process of its own beside a PostgreSQL that faults are done to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import aiohttp
import psutil
import yaml

from monitord.embedded import EmbeddedPostgres, PostgresOptions
from tests.acceptance.disks import small_disk


# Nothing pulls the plug here, so what the kernel was given survives; commits must not be delayed.
STORE = {"fsync": "off", "full_page_writes": "off"}
READY_SECONDS = 30.0
STOP_SECONDS = 30.0
STATE_DISK_MIB = 128
STORE_DISK_MIB = 512


class Disks(NamedTuple):
    """Where state and store are; `small`: on file systems of their own, which can be filled."""

    state: Path
    store: Path
    small: bool


class House:
    """
    A monitord that can be killed and started again on the same ports and folder.

    `touched` are the events of records that something happened to on disk: they may be lost.
    """

    def __init__(self, folder: Path, store: EmbeddedPostgres, disks: Disks) -> None:
        self.folder = folder
        self.disks = disks
        self.dsn = store.dsn()
        self.store = store
        self.state = disks.state / "state"
        self.starts: list[float] = []
        self.touched: set[UUID] = set()
        self._ports = dict(zip(("web", "ingest"), free_ports(), strict=True))
        self._process: asyncio.subprocess.Process | None = None
        (folder / "monitord.yaml").write_text(
            yaml.safe_dump(
                {
                    "state_dir": str(self.state),
                    "store": {"dsn": self.dsn},
                    # The disk is small: it must be full before it counts as full.
                    "spool": {"keep_free": "1MiB"},
                    "targets": {"host": {"enabled": False}},
                    "log": {"format": "json"},
                    **{name: {"port": port} for name, port in self._ports.items()},
                }
            )
        )

    @property
    def ingest(self) -> str:
        return f"http://127.0.0.1:{self._ports['ingest']}"

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self._ports['web']}"

    async def start(self) -> None:
        """Start it and wait until it takes events; how long that was is noted in `starts`."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MONITORD_")}
        config = str(self.folder / "monitord.yaml")
        began = asyncio.get_running_loop().time()
        with (self.folder / "monitord.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "monitord", "run", "--config", config),
                stderr=log,
                env=environment,
            )
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
            while not await self._answers(session):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.02)
        self.starts.append(asyncio.get_running_loop().time() - began)

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise RuntimeError(f"monitord ended:\n{self.log_tail()}")
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"{self.ingest}/healthz") as reply:
                return reply.status == 200
        return False

    async def kill(self) -> None:
        """End it as a crash would: nothing is flushed, nothing is said."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
            finally:
                if self._process.returncode is None:
                    await self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def rss_bytes(self) -> int:
        assert self._process is not None
        return int(psutil.Process(self.pid).memory_info().rss)

    def most_rss_bytes(self) -> int:
        """Return the most memory it has had in RAM since its start."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        [line] = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def log_tail(self, lines: int = 20) -> str:
        return "\n".join((self.folder / "monitord.log").read_text().splitlines()[-lines:])

    def store_processes(self) -> Iterator[psutil.Process]:
        """Yield the server's processes, the postmaster first."""
        assert self.store.pid is not None
        server = psutil.Process(self.store.pid)
        yield server
        yield from server.children(recursive=True)


def free_ports() -> tuple[int, int]:
    """Return two free ports; both are held until both are known."""
    with socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


@contextlib.asynccontextmanager
async def house(folder: Path, *, small_disks: bool = True) -> AsyncIterator[House]:
    """
    Run a monitord on a PostgreSQL of its own; both end with the block.

    Each has a small disk of its own, where that can be had.
    """
    state, data = folder / "state disk", folder / "store disk"
    with (
        small_disk(state, STATE_DISK_MIB if small_disks else 0) as one,
        small_disk(data, STORE_DISK_MIB if small_disks else 0) as other,
    ):
        options = PostgresOptions(settings=STORE)
        async with EmbeddedPostgres(data / "postgres", options) as store:
            built = House(folder, store, Disks(state, data, small=one and other))
            try:
                await built.start()
                yield built
            finally:
                await built.stop()
