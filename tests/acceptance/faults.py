"""What can happen to a daemon and its store, each done for real. Every one ends by itself."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import psutil

from monitord.store.failures import ROOTS
from tests.acceptance.disks import fill
from tests.acceptance.house import House
from tests.acceptance.injuries import INJURIES, injure


FREEZE_SECONDS = 6.0

Fault = Callable[[House, random.Random], Awaitable[None]]


async def crash(house: House, draw: random.Random) -> None:
    """kill -9 of monitord, and a start."""
    await house.kill()
    await asyncio.sleep(draw.uniform(0, 0.5))
    await house.start()


async def store_stops_at_once(house: House, draw: random.Random) -> None:
    """An immediate stop of PostgreSQL: transactions are cut off, crash recovery follows."""
    if house.store.pid is not None:
        psutil.Process(house.store.pid).send_signal(signal.SIGQUIT)
    await asyncio.sleep(draw.uniform(1, 3))


async def store_freezes(house: House, draw: random.Random) -> None:
    """Every process of PostgreSQL stands still for a while: no answer, and no refusal either."""
    with frozen(house):
        await asyncio.sleep(FREEZE_SECONDS * draw.uniform(0.5, 1.5))


@contextlib.contextmanager
def frozen(house: House) -> Iterator[None]:
    """Let PostgreSQL stand still for as long as the block lasts."""
    processes = list(house.store_processes())
    try:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


async def sessions_are_ended(house: House, draw: random.Random) -> None:
    """Somebody ends all of monitord's sessions, in whatever they are."""
    with contextlib.suppress(*ROOTS):
        connection = await asyncpg.connect(house.dsn, timeout=5)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        finally:
            await connection.close()
    await asyncio.sleep(draw.uniform(0, 0.5))


async def disk_is_full(point: Path, draw: random.Random) -> None:
    """Somebody else fills the disk, and makes room again."""
    balloon = fill(point)
    try:
        await asyncio.sleep(draw.uniform(2, 4))
    finally:
        balloon.unlink()


async def store_disk_is_full(house: House, draw: random.Random) -> None:
    """PostgreSQL has no room left for rows and WAL, and crashes over it or not."""
    await disk_is_full(house.disks.store, draw)


async def spool_disk_is_full(house: House, draw: random.Random) -> None:
    """There is no room for what is to be acknowledged."""
    await disk_is_full(house.disks.state, draw)


async def spool_is_damaged(house: House, draw: random.Random) -> None:
    """While monitord is down and has much in its spool, something happens to a segment of it."""
    with frozen(house):
        await asyncio.sleep(draw.uniform(1, 2))
        await house.kill()
        for name in draw.sample(sorted(INJURIES), 2):
            house.touched |= injure(house.state / "spool", name, draw)
    await house.start()


FAULTS: dict[str, Fault] = {
    "crash": crash,
    "store stops at once": store_stops_at_once,
    "store freezes": store_freezes,
    "sessions are ended": sessions_are_ended,
    "store disk is full": store_disk_is_full,
    "spool disk is full": spool_disk_is_full,
    "spool is damaged": spool_is_damaged,
}

# Never done to a disk that others use too.
NEED_SMALL_DISKS = frozenset({"store disk is full", "spool disk is full"})
