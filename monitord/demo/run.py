"""`monitord demo` from its first line to its last process: servers, daemon, shop, traffic."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol, TextIO

from msgspec.structs import replace

from monitord.demo.children import shop, traffic
from monitord.demo.databases import SHOP, STORE, WATCHER, make_databases
from monitord.demo.ports import check_free
from monitord.demo.steps import Steps
from monitord.embedded import EmbeddedPostgres, EmbeddedValkey, PostgresOptions, ValkeyOptions
from monitord.errors import EmbeddedError, SettingsError
from monitord.settings import LogSettings, PostgresTarget, RedisTarget, Secret, Settings, Targets
from monitord.settings_file import load


NEEDED = ("starlette", "uvicorn")

# All patience together stays below the five seconds a Ctrl-C may take.
POSTGRES = PostgresOptions(stop_timeout=1.5)
VALKEY = ValkeyOptions(settings={"maxmemory": "16mb"}, stop_timeout=0.5)


class Addresses(Protocol):
    """Where the daemon listens once it is ready: the page's URL, the ingest port."""

    @property
    def url(self) -> str: ...

    @property
    def ingest_port(self) -> int: ...


class Serve(Protocol):
    """
    Runs the daemon until *stop*; calls *ready* once everything listens, and raises what ends it.
    """

    async def __call__(
        self,
        settings: Settings,
        *,
        store_dsn: str | None = None,
        stop: asyncio.Event,
        ready: Callable[[Addresses], None],
    ) -> None: ...


async def run(
    environ: Mapping[str, str],
    serve: Serve,
    stop: asyncio.Event,
    out: TextIO = sys.stderr,
) -> None:
    """
    Run the demo until *stop* is set; every process it started has ended when it returns.

    Raises MonitordError, one line: a taken port, a missing extra, a server that does not start.
    """
    steps = Steps(out)
    settings = read_settings(environ)
    check_extra()
    check_free(settings)
    demo = asyncio.create_task(_run(environ, settings, serve, stop, steps), name="demo")
    stopped = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait((demo, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not demo.done():
            steps.say("", "Stopping")
    finally:
        for task in (demo, stopped):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await demo
    steps.say("Stopped; nothing is left running.")


async def _run(
    environ: Mapping[str, str],
    settings: Settings,
    serve: Serve,
    stop: asyncio.Event,
    steps: Steps,
) -> None:
    """
    Start one thing after the other, wait to be cancelled, and end them in the opposite order.
    """
    folder = settings.state_dir
    make_folder(folder)
    async with AsyncExitStack() as stack:
        async with steps.step("Starting PostgreSQL and Valkey"):
            postgres = await stack.enter_async_context(
                EmbeddedPostgres(folder / "postgres", POSTGRES)
            )
            valkey = await stack.enter_async_context(EmbeddedValkey(folder / "valkey", VALKEY))
            await make_databases(postgres)
        settings = replace(settings, targets=targets(settings, postgres, valkey))
        store = postgres.dsn(STORE, STORE)
        async with steps.step("Starting monitord"):
            addresses = await stack.enter_async_context(daemon(serve, settings, store, stop))
        async with steps.step("Opening the shop (the first time its shelves are filled)"):
            url = await stack.enter_async_context(
                shop(folder, environ, postgres, valkey, addresses.ingest_port)
            )
        async with steps.step("Letting visitors in, about 50 requests a second"):
            await stack.enter_async_context(traffic(folder, environ, url, addresses.ingest_port))
        announce(steps, settings, addresses, url)
        await asyncio.get_running_loop().create_future()


def read_settings(environ: Mapping[str, str]) -> Settings:
    """
    Return the default settings with the environment's ports, and `demo` below the state folder.

    The user's own monitord.yaml is left out: the demo watches its own servers.
    """
    own = {name: value for name, value in environ.items() if name != "MONITORD_CONFIG"}
    settings = load(None, own)
    quiet = LogSettings(level="warning")
    return replace(settings, instance="demo", state_dir=settings.state_dir / "demo", log=quiet)


def targets(settings: Settings, postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> Targets:
    """Return what the demo watches: the shop's cache, the shop's database, this machine."""
    cache = RedisTarget(name="shop-cache", url=Secret(valkey.url), every=5.0)
    database = PostgresTarget(name="shop-db", dsn=Secret(postgres.dsn(SHOP, WATCHER)), every=5.0)
    host = replace(settings.targets.host, every=5.0)
    return Targets(redis=(cache,), postgres=(database,), host=host)


def make_folder(folder: Path) -> None:
    """Make the demo's folder, closed to others. Raises SettingsError: it cannot be made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"state_dir: {folder} cannot be made ({error.strerror}); name another folder with "
            "MONITORD_STATE_DIR"
        ) from error


def check_extra() -> None:
    """Raise EmbeddedError when the packages of the shop are missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise EmbeddedError(
            f"the demo's shop needs {' and '.join(missing)}: run \"pip install 'monitord[demo]'\""
        )


@contextlib.asynccontextmanager
async def daemon(
    serve: Serve, settings: Settings, store_dsn: str, stop: asyncio.Event
) -> AsyncIterator[Addresses]:
    """
    Run monitord itself in this process; entered once it listens. Should it end by itself, *stop*
    is set, and what ended it is raised.
    """
    listening: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    halt = asyncio.Event()
    serving = asyncio.create_task(
        serve(settings, store_dsn=store_dsn, stop=halt, ready=listening.set_result), name="daemon"
    )
    serving.add_done_callback(lambda _: None if halt.is_set() else stop.set())
    try:
        await asyncio.wait((serving, listening), return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            yield listening.result()
    finally:
        halt.set()
        await serving


def announce(steps: Steps, settings: Settings, addresses: Addresses, url: str) -> None:
    """Say where to look; the page's address stands out."""
    line = "=" * (len(addresses.url) + 27)
    steps.say(
        "",
        line,
        f"   monitord is running:  {addresses.url}",
        line,
        f"   the shop it watches:  {url}/",
        f"   its state and logs:   {settings.state_dir}",
        f"   ready after {steps.elapsed_seconds:.1f} s; Ctrl-C ends everything",
        "",
    )
