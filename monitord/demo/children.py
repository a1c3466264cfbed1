"""The demo's own programs, shop and visitors, each a process that ends with us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp

from monitord.demo.databases import SHOP
from monitord.embedded import EmbeddedPostgres, EmbeddedValkey
from monitord.embedded.child import Child, tail
from monitord.embedded.supervisor import Supervisor
from monitord.errors import EmbeddedError


LOOPBACK = "127.0.0.1"
SHOP_START_SECONDS = 60.0
SHOP_POLL_SECONDS = 0.1
SHOP_STEPS = ((signal.SIGTERM, 1.0),)
TRAFFIC_STEPS = ((signal.SIGTERM, 0.5),)


@contextlib.asynccontextmanager
async def shop(
    folder: Path,
    environ: Mapping[str, str],
    postgres: EmbeddedPostgres,
    valkey: EmbeddedValkey,
    ingest_port: int,
) -> AsyncIterator[str]:
    """
    Run the shop as its own process; entered once it answers, with its URL.

    We listen for it and hand the socket down: the port is the kernel's choice, known before the
    shop runs, and stays the same should the shop have to be started again. Each start of the demo
    is another version of the shop.
    """
    log = folder / "shop.log"
    with socket.create_server((LOOPBACK, 0)) as listener:
        url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        environment = {
            **environ,
            "SHOP_DATABASE": postgres.dsn(SHOP, SHOP),
            "SHOP_CACHE": valkey.url,
            "SHOP_LISTEN_DESCRIPTOR": str(listener.fileno()),
            "SHOP_VERSION": time.strftime("%y.%m.%d-%H%M"),
            "MONITORD_ADDRESS": f"{LOOPBACK}:{ingest_port}",
        }

        async def start() -> Child:
            child = python("monitord.demo.shop", log, environment, listener.fileno())
            try:
                await answers(url, child, log)
            except BaseException:
                await child.stop(*SHOP_STEPS)
                raise
            return child

        async with Supervisor("shop", start, SHOP_STEPS):
            yield url


@contextlib.asynccontextmanager
async def traffic(
    folder: Path, environ: Mapping[str, str], url: str, ingest_port: int
) -> AsyncIterator[None]:
    """
    Run the visitors as their own process.
    """
    log = folder / "traffic.log"
    address = f"{LOOPBACK}:{ingest_port}"
    environment = {**environ, "TRAFFIC_URL": url, "MONITORD_ADDRESS": address}

    async def start() -> Child:
        return python("monitord.demo.traffic", log, environment)

    async with Supervisor("traffic", start, TRAFFIC_STEPS):
        yield


def python(module: str, log: Path, environment: Mapping[str, str], *descriptors: int) -> Child:
    """Start a module of ours in a Python of its own that is killed when we die."""
    here = str(Path(__file__).parents[2])  # a checkout that is not installed works as well
    path = os.pathsep.join(filter(None, (here, environment.get("PYTHONPATH"))))
    log.unlink(missing_ok=True)
    return Child.start(
        [sys.executable, "-m", module],
        log=log,
        environment={**environment, "PYTHONPATH": path},
        pass_fds=descriptors,
    )


async def answers(url: str, child: Child, log: Path) -> None:
    """
    Return once the shop answers. Raises EmbeddedError: it ended, or took too long.
    """
    timeout = aiohttp.ClientTimeout(total=1.0)
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(SHOP_START_SECONDS),
            aiohttp.ClientSession(timeout=timeout) as web,
        ):
            while child.returncode is None:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with web.get(f"{url}/healthz") as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(SHOP_POLL_SECONDS)
    raise EmbeddedError(f"the demo's shop did not start; {log}: {tail(log)}")
