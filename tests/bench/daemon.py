"""A real daemon as its own process for the benchmarks; its ports are read from its own log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml


@dataclass
class Daemon:
    """A running `monitord run`. Ports are the ones the kernel chose."""

    process: asyncio.subprocess.Process
    web_port: int = 0
    ingest_port: int = 0
    tail: list[str] = field(default_factory=list)

    @property
    def usage(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"


@asynccontextmanager
async def daemon(folder: Path, **settings: object) -> AsyncIterator[Daemon]:
    """
    Start `monitord run` with these settings over a state folder of its own; stop it at the end.

    Raises RuntimeError: it was not ready within 30 s; its last log lines are in the message.
    """
    path = folder / "monitord.yaml"
    path.write_text(yaml.safe_dump(merged(folder, settings)))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MONITORD_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitord", "run", "--config", str(path)),
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        limit=1 << 20,
    )
    running = Daemon(process)
    reader = asyncio.create_task(follow(running))
    try:
        await wait_until_ready(running, reader)
        yield running
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 20)
        await reader


def merged(folder: Path, settings: dict[str, object]) -> dict[str, object]:
    base: dict[str, object] = {
        "state_dir": str(folder / "state"),
        "web": {"port": 0},
        "ingest": {"port": 0},
        "log": {"format": "json"},
    }
    return base | settings


async def follow(running: Daemon) -> None:
    """Read the daemon's log to its end, keeping the ports and the last lines."""
    assert running.process.stderr is not None
    async for raw in running.process.stderr:
        line = raw.decode(errors="replace").rstrip()
        running.tail = [*running.tail[-19:], line]
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("event") == "monitord.ready":
            running.web_port, running.ingest_port = entry["web_port"], entry["ingest_port"]


async def wait_until_ready(running: Daemon, reader: asyncio.Task[None]) -> None:
    for _ in range(300):
        if running.web_port or reader.done():
            break
        await asyncio.sleep(0.1)
    if not running.web_port:
        raise RuntimeError("monitord was not ready:\n" + "\n".join(running.tail))
