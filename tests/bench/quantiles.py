"""P50, P95 and P99 of 200 endpoints over any window up to 30 days, as the traffic grows."""

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
from tests.bench import month, stored
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
        await connection.execute("TRUNCATE request_rollups")
        a_day = await month.fill(store, per_day)
        await connection.execute("VACUUM ANALYZE request_rollups")  # as autovacuum does by itself
        held = await connection.fetchval(
            "SELECT sum(count)::int8 FROM request_rollups WHERE tier = $1", DAY
        )
    finally:
        await connection.close()
    found = await EndpointReader(store).stats(*windows(time.time())["30 d"])
    name, expected = f"{per_day / 1e6:g} M a day", a_day * (month.DAYS + 1)
    unit = f"of {len(found)} endpoints"
    rows = [Row(f"{name}: requests in rollups", held, unit, f"{expected:,}", held == expected)]
    rows += await timed(EndpointReader(store).stats, f"{name}, each endpoint", promised)
    if promised:
        rows += await timed(RequestReader(store).stats, f"{name}, all together", promised)
    return rows


async def timed(read: Read, name: str, promised: bool) -> list[Row]:
    """Return a row a window: the median of RUNS calls beside the worst, by which it is judged."""
    rows = []
    for window, (start, end) in windows(time.time()).items():
        taken = [await timed_ms(read, start, end) for _ in range(RUNS)]
        good = max(taken) < LIMIT_MS if promised else None
        unit = f"ms (worst of {RUNS}: {max(taken):.3g})"
        target = f"< {LIMIT_MS}" if promised else ""
        rows.append(Row(f"P50/95/99, {name}, {window}", median(taken), unit, target, good))
    return rows


def windows(now: float) -> dict[str, Window]:
    """
    Return the windows to read, Unix seconds.

    One ends on no border; up to 2 days edges are read by the minute, so the most rows are those of
    two days less a minute at both ends.
    """
    today = floor(now, DAY)
    plain = {"5 min": 5 * MINUTE, "1 h": HOUR, "24 h": DAY, "7 d": 7 * DAY, "30 d": 30 * DAY}
    return {
        **{name: (now - seconds, now) for name, seconds in plain.items()},
        "30 d less 37 min at both ends": (now - 30 * DAY + 37 * MINUTE, now - 37 * MINUTE),
        "2 days less 1 min at both ends": (today - 2 * DAY + MINUTE, today - MINUTE),
    }


async def timed_ms(read: Read, start: float, end: float) -> float:
    began = time.perf_counter()
    await read(start, end)
    return (time.perf_counter() - began) * 1000
