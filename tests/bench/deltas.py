"""Deltas that wait to be merged: those of a minute of writes, made by the writer's own function."""

from __future__ import annotations

import numpy as np

from monitord.model import Batch, Frame
from monitord.settings import Store as StoreSettings
from monitord.store import apply
from monitord.store.copying import one_us
from monitord.store.dictionaries import Dictionaries
from monitord.store.pool import Store
from monitord.store.tiers import DAY
from tests.bench.load import NAMES, draw_requests


# A delta waits until its minute has been over for 15 s: 75 to 375 wait at a write each 0.2 s.
PENDING = 300
EVERY_SECONDS = StoreSettings().flush_every


async def fill(store: Store, per_day: int, now: float) -> int:
    """
    Put the deltas of the last PENDING writes up to `now`; return how many requests they sum up.

    The requests of a write are all of one moment, so it has one delta.
    """
    ids = np.array(await Dictionaries(store).endpoints.numbers(NAMES))
    draw = np.random.default_rng(per_day)
    each = max(1, round(per_day / DAY * EVERY_SECONDS))
    async with store.transaction() as connection:
        for seq in range(PENDING):
            at = now - seq * EVERY_SECONDS
            requests = draw_requests(draw, each).columns(ids, np.full(each, one_us(at)))
            await apply.add_deltas(
                connection, requests, Frame(1, seq + 1, Batch(at)), store.host_id
            )
    return PENDING * each
