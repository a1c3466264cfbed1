"""
P50, P95 and P99 of 200 endpoints over any window up to 30 days, as the traffic grows.

As in a running daemon, a window that ends now is read from rollups and from deltas that wait to be
merged into them. Each figure is the worst of its repeated calls, over caches the calls before have
warmed.
"""

from __future__ import annotations

import time

from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import asyncpg

from monitord.store.endpoint_stats import EndpointReader
from monitord.store.pool import Store
from monitord.store.requests import RequestReader
from monitord.store.tiers import DAY, HOUR, MINUTE, floor
from tests.bench import deltas, month, stored
from tests.bench.sizes import size
from tests.bench.table import Row


PER_DAY = 50_000_000
RUNS = 20
LIMIT_MS = 100

Window = tuple[float, float]
Read = Callable[[float, float], Awaitable[object]]


async def run(folder: Path, dsn: str) -> list[Row]:
    """Measure at a fiftieth, a fifth and the whole of the promised traffic."""
    most = size("QUANTILES_PER_DAY", PER_DAY)
    rows = []
    async with stored.opened(dsn) as store:
        for per_day in (most // 50, most // 5, most):
            rows += await measured(store, dsn, per_day, promised=per_day == most)
    return rows


async def measured(store: Store, dsn: str, per_day: int, *, promised: bool) -> list[Row]:
    """Fill the store for one amount of traffic and time what is read of every window."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("TRUNCATE request_rollups, request_rollup_deltas")
        a_day = await month.fill(store, per_day)
        read, waiting = await with_deltas(store, per_day)
        # As autovacuum does by itself.
        await connection.execute("VACUUM ANALYZE request_rollups, request_rollup_deltas")
        held = await connection.fetchval(
            "SELECT sum(count)::int8 FROM request_rollups WHERE tier = $1", DAY
        )
    finally:
        await connection.close()
    found = await EndpointReader(store).stats(time.time() - month.DAYS * DAY, time.time())
    name, expected = f"{per_day / 1e6:g} M a day", a_day * (month.DAYS + 1)
    unit, some = f"of {len(found)} endpoints", f"{deltas.PENDING} pending deltas"
    rows = [
        Row(f"{name}: requests in rollups", held, unit, f"{expected:,}", held == expected),
        Row(f"{name}: requests read of {some}", read, "", f"{waiting:,}", read == waiting),
    ]
    rows += await timed(EndpointReader(store).stats, f"{name}, each endpoint", promised)
    if promised:
        rows += await timed(RequestReader(store).stats, f"{name}, all together", promised)
    return rows


async def with_deltas(store: Store, per_day: int) -> tuple[int, int]:
    """Let deltas wait; return how many requests they add to an answer, and how many they hold."""
    now, reader = time.time(), EndpointReader(store)
    before = sum(one.count for one in await reader.stats(now - HOUR, now))
    waiting = await deltas.fill(store, per_day, now)
    after = sum(one.count for one in await reader.stats(now - HOUR, now))
    return after - before, waiting


async def timed(read: Read, name: str, promised: bool) -> list[Row]:
    """Return a row a window: the worst of RUNS calls."""
    rows = []
    for window, (start, end) in windows(time.time()).items():
        taken = [await timed_ms(read, start, end) for _ in range(RUNS)]
        worst = max(taken)
        good = worst < LIMIT_MS if promised else None
        unit = f"ms (worst of {RUNS}; median {median(taken):.3g})"
        target = f"< {LIMIT_MS}" if promised else ""
        rows.append(Row(f"P50/95/99, {name}, {window}", worst, unit, target, good))
    return rows


def windows(now: float) -> dict[str, Window]:
    """
    Return the windows to read, Unix seconds.

    Those that end now have the deltas in them too. One ends on no border; up to 2 days edges are
    read by the minute, so the most rows are those of two days less a minute at both ends.
    """
    today = floor(now, DAY)
    plain = {"5 min": 5 * MINUTE, "1 h": HOUR, "24 h": DAY, "7 d": 7 * DAY, "30 d": 30 * DAY}
    return {
        **{
            f"{name} and {deltas.PENDING} deltas": (now - seconds, now)
            for name, seconds in plain.items()
        },
        "30 d less 37 min at both ends": (now - 30 * DAY + 37 * MINUTE, now - 37 * MINUTE),
        "2 days less 1 min at both ends": (today - 2 * DAY + MINUTE, today - MINUTE),
    }


async def timed_ms(read: Read, start: float, end: float) -> float:
    began = time.perf_counter()
    await read(start, end)
    return (time.perf_counter() - began) * 1000
