"""How far the kept quantiles are from those of the rows, of every endpoint."""

from __future__ import annotations

import time

from pathlib import Path

import asyncpg
import numpy as np

from monitord.histogram import RELATIVE_ERROR
from monitord.store.endpoint_stats import EndpointReader, EndpointStats
from tests.bench import stored
from tests.bench.load import AT_LEAST, ENDPOINTS
from tests.bench.sizes import size
from tests.bench.table import Row


ROWS = 1_000_000

EXACT = """
SELECT
    route,
    count(*) AS count,
    percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration_us) AS us
FROM requests
JOIN endpoints USING (host_id, endpoint_id)
GROUP BY route
"""


async def run(folder: Path, dsn: str) -> list[Row]:
    """Store requests, then ask for three quantiles of each endpoint both ways."""
    count = size("QUANTILE_ERROR_ROWS", ROWS)
    async with stored.opened(dsn) as store:
        await stored.write(store, folder, stored.frames(count))
        await stored.merge(store)
        now = time.time()
        found = await EndpointReader(store).stats(now - 2 * stored.SPAN_S, now)
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(EXACT)
    finally:
        await connection.close()
    errors = relative_errors(found, rows) * 100
    total, fewest = sum(row["count"] for row in rows), min(row["count"] for row in rows)
    counted = sum(one.count for one in found)
    whole = counted == total and len(errors) == 3 * ENDPOINTS and fewest >= AT_LEAST
    limit = RELATIVE_ERROR * 100
    pairs = f"% of {len(errors)} quantiles"
    return [
        Row(
            f"quantiles against percentile_disc: requests of {len(rows)} endpoints",
            counted,
            f"(fewest {fewest} of one)",
            f"{total:,}",
            whole,
        ),
        Row("quantiles: relative error, median", float(np.median(errors)), pairs, "", None),
        Row(
            "quantiles: relative error, greatest",
            float(errors.max()),
            pairs,
            f"<= {limit:g}",
            bool(errors.max() <= limit),
        ),
    ]


def relative_errors(
    found: list[EndpointStats], rows: list[asyncpg.Record]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return how far each kept quantile is from the true one, as a part of the true one."""
    kept = {one.route: (one.p50_ms, one.p95_ms, one.p99_ms) for one in found}
    near = np.array([kept[row["route"]] for row in rows])
    true = np.array([row["us"] for row in rows]) / 1000
    return (np.abs(near - true) / true).ravel()
