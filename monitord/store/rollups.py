"""Moves deltas into minutes, hours and days, all three at once, so that pages read few rows."""

from __future__ import annotations

import asyncio

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from monitord.errors import MonitordError
from monitord.store import sums
from monitord.store.connection import Connection
from monitord.store.failures import describe
from monitord.store.metric_rollups import MetricRollups
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.sums import Rollup
from monitord.store.tiers import TIERS, floor


log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0

# A minute is merged once, when its stragglers have come; before that only if its deltas are so
# many that reading them would be slower than rewriting its hour and day.
CLOSED_AFTER = timedelta(seconds=75)
MANY = 256

# Minutes merged in one transaction: some 10 ms of work and 200 KB of rows each.
MINUTES = 15


class Compactor:
    """
    Keeps the deltas few. A merge is one transaction: a minute, its hour and its day hold the same
    requests at every moment, and a late event needs no mark, only another merge.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._metrics = MetricRollups(store)

    async def run(self) -> None:
        """Merge until cancelled; whatever fails is tried again at the next turn."""
        while True:
            await self._store.ready()
            try:
                while await self.merge(datetime.now(UTC)):
                    pass
                while await self._metrics.roll(datetime.now(UTC)):
                    pass
            except MonitordError as error:
                log.debug("compactor.postponed", reason=str(error))
            except Exception as error:
                log.error("compactor.failed", reason=describe(error), exc_info=error)
            await asyncio.sleep(EVERY_SECONDS)

    async def merge(self, now: datetime, *, all_minutes: bool = False) -> int:
        """
        Merge the deltas of some minutes that are due; return how many minutes it were.

        Raises StoreUnreachable, StoreError: nothing was merged.
        """
        host_id = self._store.host_id
        async with self._store.transaction() as connection:
            if not await queries().try_compaction(connection, host_id=host_id):
                return 0
            taken = queries().take_deltas(
                connection,
                host_id=host_id,
                closed_before=now - CLOSED_AFTER,
                many=1 if all_minutes else MANY,
                minutes=MINUTES,
            )
            deltas = [row async for row in taken]
            if not deltas:
                return 0
            parts = await asyncio.to_thread(by_tier, deltas)
            stored = await held(connection, host_id, parts)
            for row in await asyncio.to_thread(added, parts, stored):
                await queries().put_rollup(connection, host_id=host_id, **row)
        return len({row["minute"] for row in deltas})


# A rollup's place: its tier in seconds and its start.
Place = tuple[int, datetime]


def by_tier(deltas: Sequence[Mapping[str, Any]]) -> dict[Place, Rollup]:
    """Return the sum of the deltas for every minute, hour and day they lie in."""
    parts: dict[Place, list[Rollup]] = {}
    for row in deltas:
        rollup = sums.of_row(row)
        for tier in TIERS:
            start = datetime.fromtimestamp(floor(row["minute"].timestamp(), tier), UTC)
            parts.setdefault((tier, start), []).append(rollup)
    return {place: sums.merge(several) for place, several in parts.items()}


async def held(
    connection: Connection, host_id: int, places: Mapping[Place, object]
) -> dict[Place, Mapping[str, Any]]:
    """Return the rows that are at these places already, locked."""
    tiers, starts = map(list, zip(*places, strict=True))
    rows = queries().lock_rollups(connection, host_id=host_id, tiers=tiers, starts=starts)
    return {(row["tier"], row["start"]): row async for row in rows}


def added(
    parts: Mapping[Place, Rollup], stored: Mapping[Place, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows to write: what was stored and what is added to it."""
    rows = []
    for (tier, start), part in parts.items():
        before = stored.get((tier, start))
        whole = part if before is None else sums.merge([sums.of_row(before), part])
        rows.append({"tier": tier, "start": start, **sums.to_row(whole, with_quantiles=True)})
    return rows
