"""Kill -9 again and again under load: nothing lost, nothing twice, and soon ready again."""

from __future__ import annotations

import asyncio
import random
import shutil
import time

from pathlib import Path

from monitord.intake.spool.spool import Spool, SpoolLimits, open_spool
from monitord.model import Batch, Frame, Request
from tests.acceptance.faults import crash
from tests.acceptance.house import House, house
from tests.acceptance.oracle import settled
from tests.acceptance.producer import EVENTS, Producer
from tests.bench.exactly_once import lost_or_twice
from tests.bench.sizes import size
from tests.bench.table import Row


KILLS = size("KILLS", 100)
RATE_PER_S = 1_000
SPOOL_MIB = size("SPOOL_MIB", 1_000)
READY_S = 5


async def run(folder: Path, _: str) -> list[Row]:
    """Kill and start KILLS times; then start on a spool that is full, of either kind of frames."""
    return [
        *await killed(folder / "house"),
        await started_full(folder / "frames of 100", together=100),
        await started_full(folder / "frames of 1", together=1),
    ]


async def killed(folder: Path) -> list[Row]:
    draw = random.Random(0)
    async with house(folder, small_disks=False) as built:
        producer = Producer(built.ingest, RATE_PER_S / EVENTS)
        posting = asyncio.create_task(producer.run())
        for _ in range(KILLS):
            await asyncio.sleep(draw.uniform(0.05, 1))
            await crash(built, draw)
        producer.finish()
        await posting
        stored = await settled(built.web, built.dsn, producer.acknowledged)
        longest = max(built.starts)
    name = f"{KILLS} x kill -9"
    return [
        lost_or_twice(name, producer.acknowledged, stored),
        Row(f"{name}: start, longest", longest, "s", f"< {READY_S}", longest < READY_S),
    ]


async def started_full(folder: Path, together: int) -> Row:
    """Return how long a start takes with a spool of SPOOL_MIB whose end no run has sealed."""
    async with house(folder, small_disks=False) as built:
        await built.stop()
        path = built.state / "spool"
        shutil.rmtree(path)
        limits = SpoolLimits(spool_bytes=(2 * SPOOL_MIB + 64) * 2**20, free_bytes=0)
        async with open_spool(path, 1, limits) as spool:
            await fill(spool, together)
        seconds = await start_of(built)
    name = f"Start with a spool of {SPOOL_MIB} MiB, {together} events a frame"
    return Row(name, seconds, "s", f"< {READY_S}", seconds < READY_S)


async def start_of(built: House) -> float:
    await built.start()
    return built.starts[-1]


async def fill(spool: Spool, together: int) -> None:
    trace = f"{random.getrandbits(128):032x}"
    event = Request(time.time(), "shop", "GET", "/orders/{id}", 200, 12.5, trace)
    batch = Batch(time.time(), [event] * together)
    while spool.disk_bytes < SPOOL_MIB * 2**20:
        for _ in range(1_000):
            assert isinstance(spool.append(batch), Frame)
        await spool.settled()
