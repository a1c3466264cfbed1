"""Makes the days and hours to come and drops the days that are over, holding up no write."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta

import structlog

from monitord import settings
from monitord.errors import MonitordError
from monitord.model import Pending
from monitord.store.caution import Caution
from monitord.store.dropping import Dropper
from monitord.store.event_ids import WINDOW_US
from monitord.store.failures import describe
from monitord.store.partitions import (
    CLOSED,
    CLOSED_HOURS,
    DAILY,
    HOURLY,
    Partitions,
    day_of,
    end_of,
    hour_of,
    period_in,
    start_of,
)
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.requests import moment
from monitord.store.size_cap import SizeCap, StoreSize
from monitord.store.tiers import DAY, HOUR, MINUTE
from monitord.telemetry import Telemetry


log = structlog.get_logger(__name__)

DAYS_AHEAD = 2
HOURS_AHEAD = 2

WHY = "its day is over by store.retention"

# Measuring 500 partitions takes 40 ms; and at 150,000 events a second the store grows by 3 GB until
# it is measured again.
EVERY_SECONDS = 300.0
DROP_EVERY_SECONDS = 3_600.0
RETRY_SECONDS = 60.0

# A daemon that restarts in a loop under a wrong clock drops nothing.
FIRST_DROP_AFTER_SECONDS = 300.0

# What a run applied is kept for so long after its last frame at least. A day would do: it is small.
WRITERS_KEPT_SECONDS = 30.0 * DAY

# A name is kept for so much longer than any row: days may be dropped late.
NAMES_KEPT_SECONDS = 60.0 * DAY

# Ids are looked for within a day of a frame's arrival; so long after it none is asked for.
IDS_KEPT_SECONDS = WINDOW_US / 1e6


class Keeper:
    """
    Keeps two days and hours of partitions ahead, the store below its size, and old rows out of it.

    What is over is judged by clocks. So one run drops at most one day of each table, and only while
    the clocks make sense: this machine's and the server's agree, this machine's has not jumped
    against its monotonic one, and no more than a few days are over; else it holds for hours first.
    So a wrong clock that is put right costs nothing, one that stays costs a day of rows at a time,
    and says so. The size is judged by itself, more often, and without that caution.

    What tells a frame or an id that came before is kept as long as one still `pending` could ask.
    """

    def __init__(
        self,
        store: Store,
        config: settings.Store,
        pending: Pending,
        telemetry: Telemetry,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._sleep = sleep
        self._keep = config.retention
        self._pending = pending
        self._partitions = Partitions(store)
        self._dropper = Dropper(store, sleep)
        self._size_cap = SizeCap(store, self._dropper, config.size_bytes, telemetry)
        self._caution = Caution()

    @property
    def size(self) -> StoreSize | None:
        """What the store took when it was measured last; None before the first time."""
        return self._size_cap.size

    async def run(self) -> None:
        """Keep until cancelled; what fails is tried again soon."""
        next_drop = time.monotonic() + FIRST_DROP_AFTER_SECONDS
        while True:
            await self._store.ready()
            try:
                await self.make_ahead(time.time())
                await self._dropper.finish()
                await self._size_cap.enforce(time.time())
                if time.monotonic() >= next_drop:
                    await self.drop(time.time(), time.monotonic())
                    next_drop = time.monotonic() + DROP_EVERY_SECONDS
            except MonitordError as error:
                log.info("retention.postponed", reason=str(error))
                await self._sleep(RETRY_SECONDS)
            except Exception as error:
                log.error("retention.failed", reason=describe(error), exc_info=error)
                await self._sleep(RETRY_SECONDS)
            else:
                await self._sleep(EVERY_SECONDS)

    async def make_ahead(self, now: float) -> None:
        """
        Make the partitions of this day and hour, by Unix seconds, and of those ahead.

        Raises StoreUnreachable, StoreError.
        """
        self._partitions.forget()
        days = [day_of(now) + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
        hours = [hour_of(now) + timedelta(hours=ahead) for ahead in range(HOURS_AHEAD + 1)]
        for tables, periods in ((DAILY, days), (HOURLY, hours)):
            for table in tables:
                await self._partitions.ensure(table, periods)

    async def drop(self, now: float, monotonic: float) -> list[str]:
        """
        Drop what is over at `now`, Unix seconds; return the names of the partitions dropped.

        `monotonic` is the reading of a clock that does not jump, taken at the same moment.

        Raises StoreUnreachable, StoreError.
        """
        async with self._store.connection() as connection:
            server = await queries().server_clock(connection)
        held_since = min(now, self._pending.oldest_at or now)
        due = {
            table: over(await self._partitions_of(table), now - keep)
            for table, keep in self._kept().items()
        }
        backlog = max(map(len, due.values()))
        # Not among what makes the keeper wait: an id has nothing to show for itself, and after a
        # few days off all of them are over.
        ids = await self._partitions_of("event_ids")
        due["event_ids"] = over(ids, held_since - IDS_KEPT_SECONDS)
        if doubt := self._caution.doubt(now, monotonic, server.timestamp(), backlog):
            log.warning("retention.held", reason=doubt)
            return []
        await self._drop_rollups(now)
        await self._drop_notes(now)
        await self._forget_names(now)
        await self._forget_writers(min(now - WRITERS_KEPT_SECONDS, held_since - DAY))
        dropped = []
        for table, names in due.items():
            if names and await self._dropper.drop(table, names[0], WHY):
                dropped.append(names[0])
        return dropped

    def _kept(self) -> Mapping[str, float]:
        """Return how long each table with a day or hour a table keeps its rows, in seconds."""
        return {
            "requests": self._keep.requests,
            CLOSED: self._keep.requests,
            "request_archive": self._keep.requests,
            "spans": self._keep.spans,
            CLOSED_HOURS: self._keep.spans,
            "logs": self._keep.logs,
            "metrics": self._keep.metrics,
            "metric_histograms": self._keep.metrics,
            "metric_rollup_minutes": self._keep.rollup_minutes,
            "metric_rollup_hours": self._keep.rollup_hours,
        }

    async def _partitions_of(self, table: str) -> list[str]:
        async with self._store.connection() as connection:
            rows = queries().partitions_of(connection, parent=table)
            return [row["name"] async for row in rows]

    async def _drop_rollups(self, now: float) -> None:
        """
        Delete the oldest rollups, two days of a tier at most.

        These are rows among others, not partitions: a host has few, most are rewritten while their
        hour or day goes on, and vacuum runs there anyhow.
        """
        keep = self._keep
        kept = {MINUTE: keep.rollup_minutes, HOUR: keep.rollup_hours, DAY: keep.rollup_days}
        async with self._store.transaction() as connection:
            for tier, seconds in kept.items():
                await queries().drop_old_rollups(
                    connection,
                    host_id=self._store.host_id,
                    tier=tier,
                    before=moment(now - seconds),
                    most=2 * DAY // tier,
                )

    async def _drop_notes(self, now: float) -> None:
        """
        Delete annotations, what became of spans, kinds of exceptions and where they happened:
        what was not seen for longer than any rollup is kept.
        """
        before = moment(now - self._keep.rollup_days)
        host_id = self._store.host_id
        async with self._store.transaction() as connection:
            await queries().drop_old_annotations(connection, host_id=host_id, before=before)
            await queries().drop_old_thinnings(connection, host_id=host_id, before=before)
            await queries().drop_old_error_groups(connection, host_id=host_id, before=before)
            await queries().drop_old_error_places(connection, host_id=host_id, before=before)

    async def _forget_names(self, now: float) -> None:
        """Delete the names that were not used for so long that no row can point at them."""
        longest = max(*self._kept().values(), self._keep.rollup_days) + NAMES_KEPT_SECONDS
        before = day_of(now - longest)
        host_id = self._store.host_id
        async with self._store.transaction() as connection:
            await queries().lock_dictionary(connection, host_id=host_id)
            for table in ("endpoints", "loggers", "span_names", "series"):
                drop = getattr(queries(), f"drop_idle_{table}")
                await drop(connection, host_id=host_id, before=before)

    async def _forget_writers(self, before: float) -> None:
        """
        Forget what was applied of the runs that applied nothing since, Unix seconds.

        A frame is received before it is applied. So when every pending frame was received later,
        none of them is one that such a run has applied.
        """
        async with self._store.transaction() as connection:
            await queries().drop_old_writers(
                connection, host_id=self._store.host_id, before=moment(before)
            )


def over(names: Iterable[str], before: float) -> list[str]:
    """Return the partitions whose last moment lies before, Unix seconds; oldest first."""
    periods = {name: period for name in names if (period := period_in(name)) is not None}
    due = [name for name, period in periods.items() if end_of(period) <= before]
    return sorted(due, key=lambda name: (start_of(periods[name]), name))
