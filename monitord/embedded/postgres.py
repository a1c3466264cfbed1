"""The embedded PostgreSQL: a server of our own on a unix socket, no TCP, gone when we are."""

from __future__ import annotations

import asyncio
import signal

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote

import asyncpg

from msgspec import Struct

from monitord.embedded import cluster, sockets
from monitord.embedded.binaries import PostgresBinaries, find_postgres, postgres_folders
from monitord.embedded.child import Child, tail
from monitord.embedded.server import EmbeddedServer
from monitord.embedded.supervisor import Supervisor
from monitord.errors import EmbeddedError


PORT = 5432  # names the socket file; nothing listens on TCP
READY_POLL_SECONDS = 0.05
LOG_LIMIT_BYTES = 4 * 1024 * 1024

# A light neighbour, and durable: fsync and synchronous_commit stay on.
SETTINGS: dict[str, str] = {
    "listen_addresses": "",
    "shared_buffers": "64MB",
    "effective_cache_size": "256MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_worker_processes": "4",
    "max_parallel_workers": "2",
    "jit": "off",
    "wal_buffers": "4MB",
    "min_wal_size": "64MB",
    "max_wal_size": "512MB",
    "checkpoint_timeout": "10min",
    "checkpoint_completion_target": "0.9",
    "max_wal_senders": "4",
    "track_io_timing": "on",
    "track_activity_query_size": "4096",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # What a client does wrong is the client's to report; the log keeps starts, stops and crashes.
    "log_min_messages": "log",
    "log_checkpoints": "off",
}
STATEMENTS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "2000",
}


class PostgresOptions(Struct, frozen=True, kw_only=True):
    """
    How the server runs; `settings` go over the defaults, `binaries` is another `bin` folder.

    Times in seconds.
    """

    settings: Mapping[str, str] = {}
    binaries: Path | None = None
    start_timeout: float = 60.0
    stop_timeout: float = 2.0


class EmbeddedPostgres(EmbeddedServer):
    """
    One PostgreSQL server with its data in *folder*, running from `async with` to its end.

    It is started again when it dies; the address stays. Entering raises EmbeddedError, one line:
    no programs, the folder is in use or not ours, another major version's data, or no start.
    """

    def __init__(self, folder: Path, options: PostgresOptions | None = None) -> None:
        super().__init__("postgres", folder, folder / "data")
        self._options = options or PostgresOptions()
        self._binaries: PostgresBinaries
        self._sockets: Path

    @property
    def major(self) -> int:
        """The server's major version."""
        return self._binaries.major

    @property
    def has_statements(self) -> bool:
        """Whether pg_stat_statements is preloaded."""
        return self._binaries.has_statements

    def dsn(self, database: str = "postgres", user: str = cluster.SUPERUSER) -> str:
        """Return the address of one database; no password, the socket's folder is private."""
        user, database, host = (quote(x, safe="") for x in (user, database, str(self._sockets)))
        return f"postgresql://{user}@/{database}?host={host}&port={PORT}"

    async def _prepared(self, stack: AsyncExitStack) -> Supervisor:
        named = self._options.binaries
        self._binaries = await find_postgres(
            self._account, [named] if named else postgres_folders()
        )
        exists = cluster.check(self._data, self._binaries)
        self._turn_log()
        if not exists:
            durable = self._options.settings.get("fsync") != "off"
            await cluster.make(self._data, self._binaries, self._account, self._log, durable)
        record = self._folder / "sockets"
        self._sockets = sockets.make_folder(record, self._account)
        stack.callback(sockets.forget_folder, record)
        patience = self._options.stop_timeout
        return Supervisor(
            "postgres", self._start, [(signal.SIGINT, patience), (signal.SIGQUIT, 1.0)]
        )

    def _turn_log(self) -> None:
        if self._log.exists() and self._log.stat().st_size > LOG_LIMIT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))

    async def _start(self) -> Child:
        """
        Start the server and return once it answers.

        What a server that just died has left (itself, its last processes) is waited out.
        """
        deadline = asyncio.get_running_loop().time() + self._options.start_timeout
        while (pid := cluster.running_server(self._data)) is not None:
            if asyncio.get_running_loop().time() > deadline:
                raise EmbeddedError(
                    f"{self._data}: a PostgreSQL server that is not ours (process {pid}) runs on "
                    f"this folder; end it with `kill -INT {pid}`"
                )
            await asyncio.sleep(READY_POLL_SECONDS)
        cluster.forget_dead_server(self._data)
        while True:
            child = self._spawn()
            try:
                async with asyncio.timeout_at(deadline):
                    if await self._ready(child):
                        return child
                    if "still in use" not in tail(self._log):
                        raise self._failure(f"ended with status {child.returncode}")
                    await asyncio.sleep(READY_POLL_SECONDS)
            except BaseException as error:
                await child.stop((signal.SIGQUIT, 2.0))
                if isinstance(error, TimeoutError):
                    seconds = self._options.start_timeout
                    raise self._failure(f"does not answer after {seconds:g} s") from None
                raise

    def _failure(self, what: str) -> EmbeddedError:
        return EmbeddedError(f"{self._data}: PostgreSQL {what}; {self._log}: {tail(self._log)}")

    def _spawn(self) -> Child:
        settings = {**SETTINGS, **(STATEMENTS if self._binaries.has_statements else {})}
        settings |= {"unix_socket_directories": str(self._sockets), "port": str(PORT)}
        settings |= self._options.settings
        with cluster.entered(self._data) as (path, descriptor):
            return Child.start(
                [
                    self._binaries.postgres,
                    *("-D", path if self._account else self._data),
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                log=self._log,
                death_signal=signal.SIGINT,  # a fast, clean shutdown
                account=self._account,
                environment=cluster.ENVIRONMENT,
                pass_fds=(descriptor,),
            )

    async def _ready(self, child: Child) -> bool:
        """
        Return True once the server answers a query, False when it ended first.
        """
        while child.returncode is None:
            try:
                connection = await asyncpg.connect(self.dsn(), timeout=5.0)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(READY_POLL_SECONDS)
                continue
            await connection.close(timeout=5.0)
            return True
        return False
