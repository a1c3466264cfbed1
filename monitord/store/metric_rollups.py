"""
Puts samples together by minute and hour once these are over, and again where one comes late.

A mark per tier says how far that has come. A write shares the marks until it is committed and a
roll holds them alone, so every sample is either counted by the roll or known to be late: behind a
mark the rollups equal the samples at every moment, whatever the clocks say.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitord.store.connection import Connection
from monitord.store.copying import one_us
from monitord.store.partitions import Partitions, day_in, day_of, start_of
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.requests import moment
from monitord.store.samples import SampleColumns
from monitord.store.tiers import DAY, HOUR, MINUTE, floor


# Samples of a minute that come later than this after its end are rolled up one by one.
LAG = timedelta(seconds=15)

# At most so much is rolled up in one transaction, when there is much to catch up with.
MINUTES_AT_ONCE = timedelta(hours=1)
HOURS_AT_ONCE = timedelta(days=1)


class MetricRollups:
    """Moves the marks of one instance on as time goes by."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._partitions = Partitions(store)

    async def roll(self, now: datetime) -> bool:
        """
        Roll up what is over by `now`, a portion of it; say whether there was anything to do.

        Raises StoreUnreachable, StoreError.
        """
        marks = await self._marks()
        if marks is None:
            return False
        over = rounded(now - LAG, MINUTE)
        minutes = min(over, marks[MINUTE] + MINUTES_AT_ONCE)
        if minutes > marks[MINUTE]:
            await self._roll(MINUTE, marks[MINUTE], minutes)
            return True
        hours = min(rounded(marks[MINUTE], HOUR), marks[HOUR] + HOURS_AT_ONCE)
        if hours > marks[HOUR]:
            await self._roll(HOUR, marks[HOUR], hours)
            return True
        return False

    async def _roll(self, tier: int, since: datetime, until: datetime) -> None:
        table, name = {
            MINUTE: ("metric_rollup_minutes", "roll_minutes"),
            HOUR: ("metric_rollup_hours", "roll_hours"),
        }[tier]
        days = {day_of(since.timestamp()), day_of(until.timestamp())}
        await self._partitions.ensure(table, days)
        host_id = self._store.host_id
        async with self._store.transaction() as connection:
            # Another daemon of this instance may have come further meanwhile.
            if await queries().hold_mark(connection, host_id=host_id, tier=tier) == since:
                roll = getattr(queries(), name)
                await roll(connection, host_id=host_id, since=since, until=until)
                await queries().move_mark(connection, host_id=host_id, tier=tier, until=until)

    async def _marks(self) -> dict[int, datetime] | None:
        """Return the marks, set at the oldest day of samples at first; None without samples."""
        host_id = self._store.host_id
        async with self._store.connection() as connection:
            marks = await read_marks(connection, host_id)
            if len(marks) == 2:
                return marks
            rows = queries().partitions_of(connection, parent="metrics")
            names = [row["name"] async for row in rows]
        days = sorted(day for name in names if (day := day_in(name)) is not None)
        if not days:
            return None
        # A day more, for a write that is on its way with the first samples of an older day.
        first = moment(start_of(days[0])) - timedelta(days=1)
        async with self._store.transaction() as connection:
            for tier in (MINUTE, HOUR):
                await queries().start_mark(connection, host_id=host_id, tier=tier, until=first)
            return await read_marks(connection, host_id)


async def read_marks(connection: Connection, host_id: int) -> dict[int, datetime]:
    """Return how far each tier has come."""
    rows = queries().read_marks(connection, host_id=host_id)
    return {row["tier"]: row["until"] async for row in rows}


async def roll_late(
    connection: Connection, points: SampleColumns, host_id: int, kept_seconds: float
) -> None:
    """
    Roll up again what these samples, just written, belong to behind the marks.

    Samples about to be dropped, older than `kept_seconds`, are left alone: with their neighbours
    gone the rollups know better.
    """
    if not len(points):
        return
    rows = queries().share_marks(connection, host_id=host_id)
    marks = {row["tier"]: row["until"] async for row in rows}
    oldest = one_us(datetime.now(UTC).timestamp() - kept_seconds + DAY)
    for tier, again in (
        (MINUTE, queries().roll_minutes_again),
        (HOUR, queries().roll_hours_again),
    ):
        if tier not in marks:
            continue
        mark = one_us(marks[tier].timestamp())
        late = points.take((points.at_us < mark) & (points.at_us >= oldest))
        if len(late):
            series_ids, ats_us = late.series_id.tolist(), late.at_us.tolist()
            await again(connection, host_id=host_id, series_ids=series_ids, ats_us=ats_us)


def rounded(at: datetime, tier: int) -> datetime:
    """Return the start of the minute, hour or day a moment lies in."""
    return moment(floor(at.timestamp(), tier))
