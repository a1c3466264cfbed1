"""Nothing acknowledged is lost, nothing is counted twice, whatever happens to daemon and store."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from tests.acceptance.faults import FAULTS, NEED_SMALL_DISKS
from tests.acceptance.house import House, house
from tests.acceptance.oracle import (
    PATIENCE_SECONDS,
    always_rolled_up,
    rolled_up,
    settled,
    traces,
    verdict,
)
from tests.acceptance.producer import Producer, event


# `make torture` sets it: seconds of faults, one after another, drawn by chance.
TORTURE_SECONDS = float(os.environ.get("MONITORD_TORTURE_SECONDS", "0"))
BATCHES_PER_SECOND = 50
PACE = (0.3, 1.5)

Note = Callable[[str, object], None]


async def suffer(built: House, names: Iterable[str], draw: random.Random) -> Producer:
    """Let an application push events while the faults happen one after another; return it."""
    producer = Producer(built.ingest, BATCHES_PER_SECOND, draw.randrange(2**32))
    watching = asyncio.create_task(always_rolled_up(built.dsn))
    try:
        async with (
            asyncio.timeout(TORTURE_SECONDS + PATIENCE_SECONDS),
            asyncio.TaskGroup() as group,
        ):
            group.create_task(producer.run())
            await happen(built, names, draw)
            producer.finish()
    except TimeoutError:
        raise AssertionError(f"a batch never got its answer\n{built.log_tail()}") from None
    finally:
        watching.cancel()
    # Raises what it saw.
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    return producer


async def happen(built: House, names: Iterable[str], draw: random.Random) -> None:
    for name in names:
        await asyncio.sleep(draw.uniform(*PACE))
        await FAULTS[name](built, draw)
    await asyncio.sleep(1.0)


async def judge(built: House, producer: Producer) -> None:
    assert producer.acknowledged, built.log_tail()
    expected = producer.acknowledged - built.touched
    stored = await settled(built.web, built.dsn, expected)
    assert verdict(expected, stored) == "", built.log_tail()
    rows, counted = await rolled_up(built.dsn)
    assert rows == counted
    await fresh_event_flows(built)


async def fresh_event_flows(built: House) -> None:
    """After all of it one more event is taken, stored and counted."""
    fresh = uuid4()
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{built.ingest}/v1/ingest", json=[event(fresh)]) as reply,
    ):
        assert reply.status == 202
    for _ in range(100):
        if fresh in await traces(built.dsn):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"a fresh event is not stored\n{built.log_tail()}")


@pytest.mark.parametrize("name", FAULTS)
async def test_one_fault(name: str, tmp_path: Path) -> None:
    """
    Through a fault of each kind, twice in a row, every acknowledged event is stored exactly once.
    """
    async with house(tmp_path) as built:
        if name in NEED_SMALL_DISKS and not built.disks.small:
            pytest.skip("a small file system cannot be mounted here")
        producer = await suffer(built, [name, name], random.Random(name))
        await judge(built, producer)


async def test_all_faults_in_a_row(tmp_path: Path, record_property: Note) -> None:
    """
    Faults of all kinds, one upon another, in an order drawn by chance: still exactly once.
    """
    seed = random.randrange(2**32)
    record_property("seed", seed)
    draw = random.Random(seed)
    async with house(tmp_path) as built:
        producer = await suffer(built, drawn(draw, possible(built)), draw)
        await judge(built, producer)


def possible(built: House) -> list[str]:
    """Return the faults that can be done on this machine."""
    return sorted(FAULTS if built.disks.small else FAULTS.keys() - NEED_SMALL_DISKS)


def drawn(draw: random.Random, names: list[str]) -> Iterator[str]:
    """Yield each fault once, then others for as long as is asked."""
    until = time.monotonic() + TORTURE_SECONDS
    yield from draw.sample(names, len(names))
    while time.monotonic() < until:
        yield draw.choice(names)
