"""The store as everything else sees it: up or down, since when and why, and connections to it."""

from __future__ import annotations

import asyncio
import contextlib
import time

from collections.abc import AsyncIterator, Iterator

import structlog

from monitord import settings
from monitord.backoff import backoff
from monitord.errors import MonitordError, StoreError, StoreUnreachable
from monitord.store.connection import Connection, Connections, connect, turn
from monitord.store.failures import ENCODING, ROOTS, Failure, describe, judge
from monitord.store.hosts import Host, find_or_add
from monitord.store.migrate import migrate
from monitord.telemetry import Telemetry


log = structlog.get_logger(__name__)

# A frozen server is noticed after at most PROBE_EVERY_SECONDS + PROBE_TIMEOUT_SECONDS seconds.
PROBE_EVERY_SECONDS = 3.0
PROBE_TIMEOUT_SECONDS = 5.0

FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 3.0

# A stop asks again after this: asyncpg may answer the first time with an error of its own.
STOP_TIMEOUT_SECONDS = 3.0
STOP_ATTEMPTS = 3

# Nothing but a person ends these, and each attempt is a line in the server's log.
WAIT_FOR_MENDING_SECONDS = 30.0


class Store:
    """
    The PostgreSQL monitord writes to. It may be away at any moment, and comes back by itself.

    `since` is Unix seconds of the last change of `up`; `detail` says why it is not.
    """

    def __init__(
        self, config: settings.Store, dsn: str, instance: str, telemetry: Telemetry
    ) -> None:
        self.since = time.time()
        self.detail = "connecting"
        self.timeout = config.timeout
        self.retention = config.retention
        self.names = config.names
        # Grows with every connecting: it may be another server, or one restored from a backup, and
        # what was remembered of the store may be wrong.
        self.epoch = 0
        self._dsn = dsn
        self._instance = instance
        self._telemetry = telemetry
        self._connections: Connections | None = None
        # Half of the connections each, so that slow pages never hold up the writer.
        self._reading = asyncio.Semaphore(max(1, config.connections // 2))
        self._writing = asyncio.Semaphore(max(1, config.connections - config.connections // 2))
        self._host: Host | None = None
        self._connected: bool | None = None
        self._refusal = ""
        self._ready = asyncio.Event()
        self._suspected = asyncio.Event()

    @property
    def host_id(self) -> int:
        """
        The number of this instance in every row.

        Raises StoreUnreachable: the store has not answered since the start.
        """
        return self._known_host().number

    @property
    def first_seen_at(self) -> float:
        """
        When this instance was first here, Unix seconds: before that nobody counted.

        Raises StoreUnreachable: the store has not answered since the start.
        """
        return self._known_host().first_seen_at

    def _known_host(self) -> Host:
        if self._host is None:
            raise StoreUnreachable(f"store: {self.detail}")
        return self._host

    @property
    def up(self) -> bool | None:
        """Whether the store answers and takes what is written; None until that is known."""
        return False if self._refusal else self._connected

    async def ready(self) -> None:
        """Return when the store answers."""
        await self._ready.wait()

    def report_writing(self, refusal: str) -> None:
        """Say why the store refuses what is written, or by an empty text that it takes it."""
        if bool(refusal) is not bool(self._refusal):
            self.since = time.time()
        self._refusal = refusal
        self.detail = refusal
        self._telemetry.store_up.set(int(bool(self.up)))

    def count_failure(self) -> None:
        """Count an attempt to write that came to nothing."""
        self._telemetry.store_failures.inc()

    def count_damage(self) -> None:
        """Count something stored that cannot be read any more."""
        self._telemetry.store_damage.inc()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """
        Lend a connection to read. Every call on it ends after `timeout` seconds at the latest.

        Raises StoreUnreachable: the store is down or went away meanwhile. StoreError: it refuses
        what monitord needs. An error of a value or a row passes through as it is.
        """
        async with self._lend(self._reading) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """
        Lend a connection to write, in a transaction that is committed at the end.

        An error rolls back. After a StoreUnreachable out of the commit nobody knows whether it
        was made.

        Raises: as `connection`.
        """
        async with self._lend(self._writing) as connection:
            await connection.execute("BEGIN")
            try:
                yield connection
            except BaseException as error:
                if judge(error) is Failure.ROW:
                    await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")

    @contextlib.asynccontextmanager
    async def _lend(self, share: asyncio.Semaphore) -> AsyncIterator[Connection]:
        with self._translated():
            async with turn(share, self.timeout):
                if self._connections is None:
                    raise StoreUnreachable(f"store: {self.detail}")
                async with self._connections.lend() as connection:
                    try:
                        yield connection
                    except BaseException as error:
                        if judge(error) is not Failure.ROW:
                            # Its state is unknown; the server rolls back when the socket closes.
                            connection.terminate()
                        raise

    async def run(self) -> None:
        """Keep the store connected until cancelled: connect, watch, and again when it went away."""
        try:
            while True:
                self._connections = await self._connect()
                self._change(True, "")
                reason = await self._watch()
                self._end_connections()
                self._change(False, reason)
        except Exception as error:
            # A fault of our own ends the watching; the page must not go on saying "up".
            self._change(False, f"internal error: {error!r}")
            raise
        finally:
            self._end_connections()

    async def _connect(self) -> Connections:
        """Return once the store answers and its schema is up to date."""
        waits = backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        while True:
            try:
                connection = await connect(
                    self._dsn, within=PROBE_TIMEOUT_SECONDS, per_call=PROBE_TIMEOUT_SECONDS
                )
                try:
                    await self._prepare_watched(connection)
                finally:
                    connection.terminate()
            except (*ROOTS, MonitordError) as error:
                self._change(False, describe(error))
                mend = judge(error) is Failure.STORE
                await asyncio.sleep(WAIT_FOR_MENDING_SECONDS if mend else next(waits))
            except ENCODING:
                # A name or a port no socket takes. Its text may quote the dsn.
                self._change(False, "the dsn cannot be understood")
                await asyncio.sleep(WAIT_FOR_MENDING_SECONDS)
            else:
                return Connections(self._dsn, within=PROBE_TIMEOUT_SECONDS, per_call=self.timeout)

    async def _prepare_watched(self, connection: Connection) -> None:
        """
        Prepare the store. A migration may take hours; a server that freezes meanwhile ends it.

        Raises StoreUnreachable: it does not answer others either. Else as `_prepare`.
        """
        frozen = ""

        async def watch() -> None:
            nonlocal frozen
            await asyncio.sleep(PROBE_EVERY_SECONDS)  # nearly always there is nothing to migrate
            frozen = await self._watch()
            connection.terminate()

        watching = asyncio.create_task(watch(), name="store migration watch")
        try:
            await self._prepare(connection)
        except ROOTS as error:
            if frozen:
                raise StoreUnreachable(frozen) from error
            raise
        finally:
            await end(watching)

    async def _prepare(self, connection: Connection) -> None:
        applied = await migrate(connection, waiting=self._say_waiting)
        if applied:
            log.info("store.migrated", migrations=applied)
        self._host = await find_or_add(connection, self._instance)
        self.epoch += 1

    def _say_waiting(self) -> None:
        self._change(False, "another session migrates the store; waiting for it")

    async def _watch(self) -> str:
        """Probe the store on a connection of its own; return what it said when it went away."""
        try:
            probe = await connect(
                self._dsn, within=PROBE_TIMEOUT_SECONDS, per_call=PROBE_TIMEOUT_SECONDS
            )
            try:
                while True:
                    async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                        await probe.execute("SELECT 1")
                    await self._pause()
            finally:
                probe.terminate()
        except ROOTS as error:
            return describe(error)

    async def _pause(self) -> None:
        """Wait until the next probe is due, or until a call has failed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PROBE_EVERY_SECONDS):
                await self._suspected.wait()
        self._suspected.clear()

    def _end_connections(self) -> None:
        """End every connection: calls that still wait for a frozen server fail now."""
        if self._connections is not None:
            self._connections.end()
            self._connections = None

    def _change(self, up: bool, detail: str) -> None:
        if up is not self._connected:
            away = round(time.time() - self.since, 1)
            if up:
                log.info("store.up", after_seconds=away)
            else:
                log.warning("store.down", reason=detail)
            self.since = time.time()
        self._connected, self.detail = up, detail or self._refusal
        self._telemetry.store_up.set(int(bool(self.up)))
        (self._ready.set if up else self._ready.clear)()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn asyncpg's errors into the two of ours; those of a row or a value pass."""
        try:
            yield
        except ROOTS as error:
            kind = judge(error)
            if kind is Failure.PASSING:
                self._suspected.set()
                raise StoreUnreachable(f"store: {describe(error)}") from error
            if kind is Failure.STORE:
                raise StoreError(f"store: {describe(error)}") from error
            raise


@contextlib.asynccontextmanager
async def open_pool(
    config: settings.Store, dsn: str, instance: str, telemetry: Telemetry
) -> AsyncIterator[Store]:
    """
    Keep a store connected as long as the block runs; a store that is down is no error here.

    `instance` is the name by which the rows of this daemon are told from those of others.
    """
    store = Store(config, dsn, instance, telemetry)
    task = asyncio.create_task(store.run(), name="store")
    try:
        yield store
    finally:
        await end(task)


async def end(task: asyncio.Task[None]) -> None:
    """
    End a task without waiting for ever for a server that has frozen.

    Raises: what the task had ended by.
    """
    for _ in range(STOP_ATTEMPTS):
        task.cancel()
        await asyncio.wait([task], timeout=STOP_TIMEOUT_SECONDS)
        if task.done():
            break
    else:
        log.warning("store.left", reason="it did not end in time")
        return
    if not task.cancelled():
        task.result()
