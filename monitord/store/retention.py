"""Makes the days to come and drops the days that are over, whole, without holding up a write."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date, timedelta

import structlog

from monitord import settings
from monitord.errors import MonitordError, StoreUnreachable
from monitord.store.failures import describe
from monitord.store.partitions import TABLES, Partitions, day_in, day_of, start_of
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.requests import moment
from monitord.store.tiers import DAY, HOUR, MINUTE


log = structlog.get_logger(__name__)

DAYS_AHEAD = 2

EVERY_SECONDS = 3_600.0
RETRY_SECONDS = 60.0

# A daemon that restarts in a loop under a wrong clock drops nothing.
FIRST_DROP_AFTER_SECONDS = 300.0

# With more days over than this, either monitord was off for long or the clock is wrong. A person
# or NTP then has some hours to put it right before anything goes.
BACKLOG_DAYS = 3
HOLD_SECONDS = 6 * 3_600.0

# A drop waits for readers of the table, and every write waits behind it: so it waits shortly,
# and often.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '100ms'"
ATTEMPTS = 10
BETWEEN_ATTEMPTS_SECONDS = 2.0

# Clocks that disagree by more than this say that one of them is wrong.
CLOCKS_AGREE_SECONDS = 3_600.0

WRITERS_KEPT_SECONDS = 30.0 * DAY


class Keeper:
    """
    Keeps two days of partitions ahead, and what is older than the retention out of the store.

    One run drops at most one day of each table, and only while the clocks make sense: this
    machine's and the server's agree, this machine's has not jumped against its monotonic one, and
    no more than a few days are over; else it holds for hours first. So a wrong clock that is put
    right costs nothing, one that stays costs a day of rows at a time, and says so.
    """

    def __init__(
        self,
        store: Store,
        retention: settings.Retention,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._sleep = sleep
        self._keep = retention
        self._partitions = Partitions(store)
        self._caution = Caution()

    async def run(self) -> None:
        """Keep until cancelled; what fails is tried again soon."""
        started = time.monotonic()
        while True:
            await self._store.ready()
            try:
                await self.make_days(day_of(time.time()))
                early = time.monotonic() - started < FIRST_DROP_AFTER_SECONDS
                if not early:
                    await self.drop(time.time(), time.monotonic())
            except MonitordError as error:
                log.info("retention.postponed", reason=str(error))
                await self._sleep(RETRY_SECONDS)
            except Exception as error:
                log.error("retention.failed", reason=describe(error), exc_info=error)
                await self._sleep(RETRY_SECONDS)
            else:
                await self._sleep(FIRST_DROP_AFTER_SECONDS if early else EVERY_SECONDS)

    async def make_days(self, today: date) -> None:
        """
        Make the partitions of today and the days ahead.

        Raises StoreUnreachable, StoreError.
        """
        self._partitions.forget()
        days = [today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
        for table in TABLES:
            await self._partitions.ensure(table, days)

    async def drop(self, now: float, monotonic: float) -> list[str]:
        """
        Drop what is over at `now`, Unix seconds; return the names of the partitions dropped.

        `monotonic` is the reading of a clock that does not jump, taken at the same moment.

        Raises StoreUnreachable, StoreError.
        """
        async with self._store.connection() as connection:
            server = await queries().server_clock(connection)
        due = {
            table: over(await self._partitions_of(table), now - keep)
            for table, keep in self._kept().items()
        }
        backlog = max(map(len, due.values()))
        if doubt := self._caution.doubt(now, monotonic, server.timestamp(), backlog):
            log.warning("retention.held", reason=doubt)
            return []
        await self._drop_rollups(now)
        dropped = []
        for table, names in due.items():
            if names and await self._drop_partition(table, names[0]):
                dropped.append(names[0])
        return dropped

    def _kept(self) -> Mapping[str, float]:
        """Return how long each partitioned table keeps its rows, in seconds."""
        return {
            "requests": self._keep.requests,
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

    async def _drop_partition(self, table: str, name: str) -> bool:
        """Drop one partition; False when somebody kept reading the table all the time."""
        for _ in range(ATTEMPTS):
            try:
                async with self._store.transaction() as connection:
                    await connection.execute(LOCK_TIMEOUT)
                    await connection.execute(f"DROP TABLE {name}")
            except StoreUnreachable as error:
                reason = str(error)
                await self._sleep(BETWEEN_ATTEMPTS_SECONDS)
            else:
                log.info("retention.dropped", table=table, partition=name)
                return True
        log.info("retention.postponed", table=table, partition=name, reason=reason)
        return False

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
            await queries().drop_old_writers(
                connection,
                host_id=self._store.host_id,
                before=moment(now - WRITERS_KEPT_SECONDS),
            )


def over(names: Iterable[str], before: float) -> list[str]:
    """Return the partitions whose last moment lies before, Unix seconds; oldest first."""
    days = sorted((day, name) for name in names if (day := day_in(name)) is not None)
    return [name for day, name in days if start_of(day) + DAY <= before]


class Caution:
    """
    Says why nothing should be dropped now.

    A jump of the clock, or many days over at once, holds everything for HOLD_SECONDS: time for a
    person or NTP to put a wrong clock right. Keeps the clocks of the last time it was asked.
    """

    def __init__(self) -> None:
        self._clocks: tuple[float, float] | None = None
        self._held_until: float | None = None

    def doubt(self, now: float, monotonic: float, server: float, backlog: int) -> str:
        """
        Return the doubt, an empty text when there is none.

        `now` and `server` are wall clocks in Unix seconds, `monotonic` does not jump; `backlog` is
        the largest number of days of one table that are over.
        """
        before, self._clocks = self._clocks, (now, monotonic)
        if before is not None:
            drift = (now - before[0]) - (monotonic - before[1])
            if abs(drift) > CLOCKS_AGREE_SECONDS:
                self._held_until = monotonic + HOLD_SECONDS
                return f"this machine's clock has jumped by {drift:.0f} s"
        if abs(server - now) > CLOCKS_AGREE_SECONDS:
            return "the clocks of monitord and store disagree"
        if self._held_until is None and backlog > BACKLOG_DAYS:
            self._held_until = monotonic + HOLD_SECONDS
        if self._held_until is not None and monotonic < self._held_until:
            return f"{backlog} days are over at once, or the clock had jumped; waiting for a while"
        return ""
