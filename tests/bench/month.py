"""A month of rollups by the product's own functions: one day summed up, then repeated."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Iterator

import numpy as np

from monitord.store import sums
from monitord.store.dictionaries import Dictionaries
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.requests import moment
from monitord.store.sums import Rollup
from monitord.store.tiers import DAY, HOUR, MINUTE, floor
from tests.bench.load import NAMES, draw_requests


DAYS = 30

# How many days back from today each tier is there; minutes are kept for 7.
KEPT = {DAY: DAYS, HOUR: DAYS, MINUTE: 7}

REPEAT = """
INSERT INTO request_rollups
SELECT host_id, tier, start - $3 * interval '1 day', count, errors, client_errors, sum_us, max_us,
    total_cells, tallies, quantiles, statuses, cells
FROM request_rollups
WHERE tier = $1 AND start >= $2
"""


async def fill(store: Store, per_day: int) -> int:
    """
    Put rollups of so many requests a day for today and the DAYS before; return what a day holds.

    Today is there to its end already: a window that ends now finds as much as on any other day.
    """
    ids = np.array(await Dictionaries(store).endpoints.numbers(NAMES))
    draw = np.random.default_rng(per_day)
    start = floor(time.time(), DAY)
    hours, per_minute = [], max(1, per_day * MINUTE // DAY)
    for first in range(start, start + DAY, HOUR):
        minutes = await asyncio.to_thread(lambda: list(built(draw, ids, per_minute)))
        hours.append(await asyncio.to_thread(sums.merge, minutes))
        await put(store, MINUTE, first, minutes)
    await put(store, HOUR, start, hours)
    await put(store, DAY, start, [await asyncio.to_thread(sums.merge, hours)])
    for tier, days in KEPT.items():
        for back in range(1, days + 1):
            async with store.transaction() as connection:
                await connection.execute(REPEAT, tier, moment(start), back)
    return per_minute * (DAY // MINUTE)


def built(draw: np.random.Generator, ids: sums.Ints, per_minute: int) -> Iterator[Rollup]:
    """Yield the rollups of the minutes of one hour."""
    for _ in range(HOUR // MINUTE):
        drawn = draw_requests(draw, per_minute)
        failed = np.zeros(per_minute, np.bool_)
        yield sums.build(ids[drawn.endpoint], drawn.status, failed, drawn.duration_us)


async def put(store: Store, tier: int, first: int, rollups: list[Rollup]) -> None:
    async with store.transaction() as connection:
        for place, rollup in enumerate(rollups):
            row = sums.to_row(rollup, with_quantiles=True)
            start = moment(first + place * tier)
            await queries().put_rollup(
                connection, host_id=store.host_id, tier=tier, start=start, **row
            )
