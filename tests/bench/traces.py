"""
The requests of one trace among those of a week: near a known moment, and anywhere.

Each look-up is for another trace, and the worst of them is judged. Caches are warm: the rows were
written and read shortly before, and one look-up of each kind goes before those that are timed.
"""

from __future__ import annotations

import os
import time

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import NamedTuple
from uuid import UUID

import asyncpg
import numpy as np

from monitord.store import apply
from monitord.store.copying import DAY_US, one_us
from monitord.store.dictionaries import Dictionaries
from monitord.store.partitions import day_of, make, start_of
from monitord.store.pool import Store
from monitord.store.request_events import RequestEvents
from monitord.store.request_rows import RequestColumns
from monitord.store.sums import Ints
from monitord.store.tiers import DAY
from tests.bench import stored
from tests.bench.load import NAMES, draw_requests
from tests.bench.sizes import size
from tests.bench.table import Row


LOADED = 10_000_000
PER_DAY = 50_000_000
DAYS = 7
RUNS = 20
HINTED_MS, ANYWHERE_MS = 50, 2_000

# Rows a COPY; the first trace of some of them is looked for later.
CHUNK = 100_000

# Traces that are stored, and when.
Known = list[tuple[UUID, float]]


class Taken(NamedTuple):
    """The ms of each look-up, and how many of the known traces were found."""

    empty: list[float]
    hinted: list[float]
    anywhere: list[float]
    found: int


async def run(folder: Path, dsn: str) -> list[Row]:
    """Load a day, look traces up in it, and say what seven days of the promised traffic cost."""
    count = size("TRACES_ROWS", LOADED)
    async with stored.opened(dsn) as store:
        began = time.perf_counter()
        known = await loaded(store, count)
        rate = count / (time.perf_counter() - began)
        rows, index = await settled(dsn)
        taken = await looked_up(RequestEvents(store), known)
    fixed = median(taken.empty)
    hour, day = (at_promised(max(ms), fixed, rows) for ms in (taken.hinted, taken.anywhere))
    loaded_day = f"{rows / 1e6:g} M rows"
    right = taken.found == len(known)
    return [
        Row("traces: found near their moment", taken.found, "", f"{len(known)}", right),
        Row("traces: loaded by COPY", rows, f"rows ({rate:,.0f}/s)", f"{count:,}", rows == count),
        Row("traces: index of trace ids", index / rows, "B a row", "", None),
        Row("trace by id in a day without rows, median", fixed, "ms", "", None),
        Row(
            "trace by id, its hour known, of 50 M a day, warm",
            hour,
            f"ms (from {seen(taken.hinted)} in a day of {loaded_day})",
            f"< {HINTED_MS}",
            hour < HINTED_MS,
        ),
        Row(
            f"trace by id, nowhere in {DAYS} days of 50 M, warm",
            DAYS * day,
            f"ms ({DAYS} x, from {seen(taken.anywhere)} in a day of {loaded_day})",
            f"< {ANYWHERE_MS:,}",
            DAYS * day < ANYWHERE_MS,
        ),
    ]


def seen(taken_ms: list[float]) -> str:
    return f"the worst of {len(taken_ms)}, {max(taken_ms):.3g}; median {median(taken_ms):.3g};"


def at_promised(ms: float, empty_ms: float, rows: int) -> float:
    """Return what a look-up takes in a day of PER_DAY rows: what is not fixed grows with them."""
    return empty_ms + (ms - empty_ms) * PER_DAY / rows


async def loaded(store: Store, count: int) -> Known:
    """Store yesterday's requests as the writer does, rows alone; return some of the traces."""
    day = day_of(time.time()) - timedelta(days=1)
    async with store.transaction() as connection:
        await make(connection, "requests", day)
        await make(connection, "requests", day - timedelta(days=1))
    ids = np.array(await Dictionaries(store).endpoints.numbers(NAMES))
    known = []
    for part in parts(one_us(start_of(day)), count, ids):
        async with store.transaction() as connection:
            await apply.copy_requests(connection, part, store.host_id)
        at = start_of(day) + (int(part.at_us[0]) % DAY_US) / 1e6
        known.append((UUID(bytes=part.trace[0].tobytes()), at))
    places = np.linspace(0, len(known) - 1, RUNS).astype(int)
    return [known[place] for place in places]


def parts(first_us: int, count: int, ids: Ints) -> Iterator[RequestColumns]:
    """Yield the columns of a day's requests, in the order of their time."""
    draw = np.random.default_rng(1)
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        drawn = draw_requests(draw, n)
        since_us = np.sort(draw.uniform(start, start + n, n)) * (DAY_US / count)
        yield drawn.columns(ids, first_us + since_us.astype(np.int64))


async def settled(dsn: str) -> tuple[int, int]:
    """Do what autovacuum does after a while; return the rows and the bytes of the trace index."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("VACUUM (ANALYZE) requests")
        rows = await connection.fetchval("SELECT count(*) FROM requests")
        index = await connection.fetchval(
            "SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree('requests_trace_id')"
        )
        return rows, int(index)
    finally:
        await connection.close()


async def looked_up(events: RequestEvents, known: Known) -> Taken:
    """Time look-ups: in a day without rows, in a trace's hour, and of traces that are nowhere."""
    await timed_ms(events, *known[0])
    await timed_ms(events, UUID(bytes=os.urandom(16)), None)
    empty, hinted, anywhere, right = [], [], [], 0
    for trace, at in known:
        empty.append((await timed_ms(events, trace, at - DAY))[0])
        ms, found = await timed_ms(events, trace, at)
        hinted.append(ms)
        right += found == 1
        anywhere.append((await timed_ms(events, UUID(bytes=os.urandom(16)), None))[0])
    return Taken(empty, hinted, anywhere, right)


async def timed_ms(events: RequestEvents, trace: UUID, near: float | None) -> tuple[float, int]:
    """Return how long a look-up took, and how many requests it found."""
    began = time.perf_counter()
    found = await events.of_trace(trace, near)
    return (time.perf_counter() - began) * 1000, len(found)
