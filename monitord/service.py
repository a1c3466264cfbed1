"""Runs one monitord: everything starts here in order, and stops in the reverse one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog

from msgspec import Struct
from msgspec.structs import asdict, replace

from monitord.app import App, build
from monitord.embedded.lock import FolderLock
from monitord.embedded.postgres import EmbeddedPostgres
from monitord.errors import SettingsError, SpoolError
from monitord.ingest import tcp
from monitord.ingest.tail import Tails
from monitord.ingest.udp import UdpListener
from monitord.intake.spool.spool import SpoolLimits, open_spool
from monitord.settings import Settings
from monitord.store.pool import Store, open_pool
from monitord.telemetry import Telemetry


log = structlog.get_logger(__name__)

# How long a stop waits for the spool to be stored; a store that is away is not waited for. What is
# left is safe, and stored after the next start.
DRAIN_SECONDS = 5.0


class Addresses(Struct, frozen=True):
    """Where a running monitord listens: the page's URL and the two port numbers."""

    url: str
    web_port: int
    ingest_port: int


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    ready: Callable[[Addresses], None],
    store_dsn: str | None = None,
) -> None:
    """
    Run until `stop` is set. `ready` is called once, when both ports are open.

    A store that is down delays nothing. `store_dsn` goes over the settings' store.

    Raises MonitordError: the settings, the state folder or an embedded server cannot be used.
    """
    telemetry = Telemetry()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(state_folder(settings.state_dir))
        limits = SpoolLimits(settings.spool.size_bytes, settings.spool.keep_free_bytes)
        run = int(time.time() * 1000)
        spool = await stack.enter_async_context(
            open_spool(settings.state_dir / "spool", run, limits)
        )
        dsn = store_dsn or settings.store.dsn.reveal()
        if not dsn:
            dsn = await stack.enter_async_context(embedded_store(settings.state_dir))
        instance = settings.instance or kept_instance(settings.state_dir)
        store = await stack.enter_async_context(open_pool(settings.store, dsn, instance, telemetry))
        app = build(settings, spool, store, telemetry)
        await stack.enter_async_context(running(storing(app)))
        stack.push_async_callback(drained, app)
        await stack.enter_async_context(app.web)
        await stack.enter_async_context(app.ingest)
        if settings.ingest.udp.enabled:
            # The same number for both; where the kernel chose it, HTTP has it already.
            ingest = replace(settings.ingest, port=app.ingest.port)
            udp = UdpListener(ingest, app.intake, telemetry, app.ingest.senders)
            await stack.enter_async_context(udp)
        for protocol in (tcp.SYSLOG, tcp.GELF):
            listener = tcp.TcpListener(protocol, settings.ingest, app.intake, telemetry)
            await stack.enter_async_context(listener)
        tails = Tails(settings.ingest, settings.state_dir, app.intake, telemetry)
        jobs = {"schedule": app.schedule.run(), "tails": tails.run()}
        await stack.enter_async_context(running(jobs))
        addresses = Addresses(app.web.url, app.web.port, app.ingest.port)
        log.info("monitord.ready", **asdict(addresses))
        ready(addresses)
        await stop.wait()
        log.info("monitord.stopping")


def storing(app: App) -> Mapping[str, Coroutine[Any, Any, None]]:
    """Return what runs on the store's side of the spool, by the names of the tasks."""
    return {
        "writer": app.writer.run(),
        "compactor": app.compactor.run(),
        "keeper": app.keeper.run(),
        "archiver": app.archiver.run(),
        "thinner": app.thinner.run(),
    }


@contextlib.asynccontextmanager
async def running(jobs: Mapping[str, Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """
    Run the jobs as long as the block lasts. The first failure ends block and jobs, and is raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job, name=name) for name, job in jobs.items()]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as errors:
        # What the block raised is for the caller to tell by its type.
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from None
        raise


async def drained(app: App) -> None:
    """Return when everything in the spool is stored, or DRAIN_SECONDS have passed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            # What could not be written is counted; what was before is stored all the same.
            with contextlib.suppress(SpoolError):
                await app.spool.settled()
            # A store that has been away for long is not waited for; no event tells that.
            while app.spool.backlog.events and not is_gone(app.store):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    if app.spool.backlog.events:
        log.info("monitord.left_in_spool", events=app.spool.backlog.events, store=app.store.detail)


def is_gone(store: Store) -> bool:
    """Whether the store has been down so long that a stop need not wait for it."""
    return store.up is False and time.time() - store.since > DRAIN_SECONDS


@contextlib.contextmanager
def state_folder(folder: Path) -> Iterator[None]:
    """
    Make the state folder, for its owner alone, and hold its lock.

    Raises SettingsError: it cannot be made. EmbeddedError: another monitord uses it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"state_dir: {folder} cannot be made ({error.strerror}); name another folder with "
            "state_dir: or MONITORD_STATE_DIR"
        ) from error
    with FolderLock(folder):
        yield


@contextlib.asynccontextmanager
async def embedded_store(state_dir: Path) -> AsyncIterator[str]:
    """Run the embedded PostgreSQL; yield the address of its default database."""
    async with EmbeddedPostgres(state_dir / "postgres") as server:
        log.info("store.embedded", folder=str(state_dir / "postgres"), postgresql=server.major)
        yield server.dsn()


def kept_instance(state_dir: Path) -> str:
    """
    Return the name this instance drew at its first start: a UUID kept in the state folder.

    Raises SettingsError: the folder cannot be written.
    """
    path = state_dir / "instance"
    try:
        kept = path.read_text().strip() if path.exists() else ""
        if not kept:
            # Whole or not at all: with half a name the rows so far would be another instance's.
            kept = str(uuid.uuid4())
            draft = path.with_suffix(".new")
            with draft.open("w") as file:
                file.write(f"{kept}\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
    except OSError as error:
        raise SettingsError(f"state_dir: {path}: {error.strerror}") from error
    return kept
