"""Keeps of each hour's spans what is worth it, once nothing of that hour can come any more."""

from __future__ import annotations

import asyncio
import contextlib
import time

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from monitord import settings
from monitord.errors import MonitordError, StoreUnreachable
from monitord.model import Pending
from monitord.store.closing import LOCK_TIMEOUT, Change, closable, close, make_known, shortly
from monitord.store.connection import Connection
from monitord.store.failures import describe
from monitord.store.partitions import CLOSED_HOURS, Partitions, day_of, name_of, period_in
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.retention import over
from monitord.telemetry import Telemetry


log = structlog.get_logger(__name__)

EVERY_SECONDS = 300.0
RETRY_SECONDS = 60.0

# An event's time is at most an hour before its arrival; and clocks differ a little.
LATEST_SECONDS = 3_600.0 + 300.0

# What is looked at, or moved, at once. "The slowest of a minute" is meant literally; where the
# store has no answer about a minute in time, more are kept: the slowest of each part of it.
MINUTE = timedelta(minutes=1)
SHORTEST = MINUTE / 64
HOUR = timedelta(hours=1)

# Of a table without statistics the planner might read all, or compare each row with each.
PLAN_SAFELY = "SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = off"

# Between two portions, so that writers and pages have their turn.
PAUSE_SECONDS = 0.02


class Thinner:
    """
    Lets go of spans by what they are worth: whole traces are kept, or none of their spans.

    An hour is closed first: its partition leaves `fresh_spans`, so what comes late makes a new one,
    to be thinned another time. Then its traces of value are flagged, and the spans of those and of
    a share of the others are copied to `spans`, a minute in a transaction with the mark up to which
    the hour's rows do not count any more and with the numbers kept and let go. So each span counts
    once at every moment, and what was begun is gone on with by whoever comes.

    A trace that touches two hours is kept in both: the hours beside one are looked at too, and
    what they keep of a trace is still there when they were thinned before.

    An hour that fails again and again stays readable, and may be dropped as any other partition is.
    """

    def __init__(
        self,
        store: Store,
        config: settings.Spans,
        pending: Pending,
        telemetry: Telemetry,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._config = config
        self._pending = pending
        self._telemetry = telemetry
        self._sleep = sleep
        self._partitions = Partitions(store)

    async def run(self) -> None:
        """Thin until cancelled; what fails is gone on with soon."""
        while True:
            await self._store.ready()
            try:
                await self.thin(time.time())
            except MonitordError as error:
                log.info("spans.postponed", reason=str(error))
                await self._sleep(RETRY_SECONDS)
            except Exception as error:
                log.error("spans.failed", reason=describe(error), exc_info=error)
                await self._sleep(RETRY_SECONDS)
            else:
                await self._sleep(EVERY_SECONDS)

    async def thin(self, now: float) -> None:
        """
        Finish the hours that were begun, then thin those that are due at `now`, Unix seconds.

        An hour that fails holds up no other; it is tried again the next time.

        Raises what the first of them failed by, when all are done: mostly StoreUnreachable,
        StoreError. What was thinned so far stays so.
        """
        failed: dict[datetime, Exception] = {}
        await self._thin_closed(failed)
        for hour in await self._due(now):
            async with self._noted(failed, hour):
                if await self._close(hour):
                    await self._thin_closed(failed)
        for error in failed.values():
            raise error

    async def _due(self, now: float) -> list[datetime]:
        """Return the hours of which nothing is on its way any more, by the more careful clock."""
        async with self._store.connection() as connection:
            server = await queries().server_clock(connection)
            rows = queries().attached_partitions(connection, parent="fresh_spans")
            names = [row["name"] async for row in rows]
        came_until = min(now, server.timestamp(), self._pending.oldest_at or now)
        due = over(names, came_until - self._config.keep_all - LATEST_SECONDS)
        return [hour for name in due if isinstance(hour := period_in(name), datetime)]

    async def _close(self, hour: datetime) -> bool:
        """Take an hour out of `fresh_spans`; False: not now, or another session was first."""

        async def change(connection: Connection) -> bool:
            if not await closable(connection, "fresh_spans", hour):
                return False
            if not await queries().add_thinning_mark(connection, hour=hour):
                return False
            await close(connection, "fresh_spans", CLOSED_HOURS, hour)
            return True

        return await self._shortly(hour, change)

    async def _thin_closed(self, failed: dict[datetime, Exception]) -> None:
        """Thin every closed hour from its mark to its end, but for those that have failed."""
        async with self._store.connection() as connection:
            marks = [Mark(**row) async for row in queries().thinning_marks(connection)]
        for mark in marks:
            if mark.hour not in failed:
                async with self._noted(failed, mark.hour):
                    await self._finish(mark)

    @contextlib.asynccontextmanager
    async def _noted(
        self, failed: dict[datetime, Exception], hour: datetime
    ) -> AsyncIterator[None]:
        """Note what an hour fails by, and let others be thinned."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - one hour's fault must not hold up the others
            failed[hour] = error
            self._store.count_failure()
            log.warning("spans.hour_failed", hour=str(hour), reason=describe(error))

    async def _finish(self, mark: Mark) -> None:
        began = time.monotonic()
        kept, let_go = await self._thin_hour(mark)
        if await self._drop(mark) and kept + let_go:
            seconds = round(time.monotonic() - began, 1)
            log.info(
                "spans.thinned", hour=str(mark.hour), kept=kept, let_go=let_go, seconds=seconds
            )

    async def _thin_hour(self, mark: Mark) -> tuple[int, int]:
        """Thin the rest of an hour; return how many spans were kept, and how many let go."""
        end, kept, let_go = mark.hour + HOUR, 0, 0
        async with self._store.connection() as connection:
            window = {"since": mark.until, "until": end}
            if not await queries().any_closed_span(connection, **window):
                return 0, 0
        self._partitions.forget()  # retention may have dropped what was there the last time
        await self._partitions.ensure("spans", [day_of(mark.hour.timestamp())])
        await make_known(self._store, name_of(CLOSED_HOURS, mark.hour))
        await self._summarize(mark.hour)
        await self._flag(mark)

        async def move(since: datetime, until: datetime) -> None:
            nonlocal kept, let_go
            some = await self._move(replace(mark, until=since), until)
            kept, let_go = kept + some[0], let_go + some[1]

        await self._by_minutes(mark.until, end, move)
        return kept, let_go

    async def _by_minutes(
        self, since: datetime, end: datetime, do: Callable[[datetime, datetime], Awaitable[None]]
    ) -> None:
        """
        Do something minute by minute, in shorter stretches once the store has no answer in time.

        Raises StoreUnreachable: it has none about the shortest either, or is away.
        """
        longest = MINUTE
        while since < end:
            until = min(since + longest, next_minute(since), end)
            try:
                await do(since, until)
            except Overtaken:
                raise
            except StoreUnreachable:
                if until - since <= SHORTEST:
                    raise
                longest = (until - since) / 2
            else:
                since = until
            await self._sleep(PAUSE_SECONDS)

    async def _summarize(self, hour: datetime) -> None:
        """
        Let the indexes by time know every page there is around an hour; most they know already.

        Whoever vacuums such a table is not waited for: without it the thinning is slower.
        """
        beside = hour - HOUR, hour + HOUR
        days = {day_of(one.timestamp()) for one in beside}
        names = [name_of("fresh_spans", one) for one in beside]
        names += [name_of(table, day) for table in ("spans", "requests") for day in days]
        for name in names:
            with contextlib.suppress(StoreUnreachable):
                async with self._store.transaction() as connection:
                    await connection.execute(LOCK_TIMEOUT)
                    await queries().summarize(connection, table=name)

    async def _flag(self, mark: Mark) -> None:
        """Flag the traces of value of an hour and those beside it, from where that was left."""

        async def flag_some(since: datetime, until: datetime) -> None:
            before = None if since == begin else since
            async with self._store.transaction() as connection:
                if not await queries().note_flagged(
                    connection, closing=mark.closing, since=before, until=until
                ):
                    raise Overtaken("store: another session thins the same hour")
                await flag(connection, mark.hour, since, until, self._config.slowest)

        begin, end = mark.hour - HOUR, mark.hour + 2 * HOUR
        await self._by_minutes(mark.flagged_until or begin, end, flag_some)

    async def _move(self, mark: Mark, until: datetime) -> tuple[int, int]:
        """
        Copy what is kept up to a moment; return how many spans that was, and how many not.

        Raises Overtaken, StoreUnreachable, StoreError.
        """
        async with self._store.transaction() as connection:
            if not await queries().move_thinning_mark(
                connection, closing=mark.closing, since=mark.until, until=until
            ):
                raise Overtaken("store: another session thins the same hour")
            row = await queries().keep_spans(
                connection,
                hour=mark.hour,
                since=mark.until,
                until=until,
                share_percent=self._config.share_percent,
            )
        self._telemetry.spans_kept.inc(row["kept"])
        self._telemetry.spans_let_go.inc(row["let_go"])
        return row["kept"], row["let_go"]

    async def _drop(self, mark: Mark) -> bool:
        """Drop a closed hour that is thinned; False: not now, or another session was first."""

        async def change(connection: Connection) -> bool:
            if not await queries().drop_thinning_mark(connection, closing=mark.closing):
                return False
            await queries().forget_flags(connection)
            await connection.execute(f"DROP TABLE {name_of(CLOSED_HOURS, mark.hour)}")
            return True

        return await self._shortly(mark.hour, change)

    async def _shortly(self, hour: datetime, change: Change) -> bool:
        """Make a change that holds up others, once they let it; False when they never did."""
        try:
            return await shortly(self._store, change, self._sleep)
        except StoreUnreachable as error:
            log.info("spans.postponed", hour=str(hour), reason=str(error))
            return False


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one closing of an hour is thinned, and before that its traces flagged."""

    hour: datetime
    closing: int
    until: datetime
    flagged_until: datetime | None


class Overtaken(StoreUnreachable):
    """Another session thins the same hour, or has dropped it."""


def next_minute(at: datetime) -> datetime:
    """Return the first whole minute after a moment."""
    return at.replace(second=0, microsecond=0) + MINUTE


async def flag(
    connection: Connection, hour: datetime, since: datetime, until: datetime, slowest: int
) -> None:
    """
    Flag the traces of value of a stretch of time for an hour, in the caller's transaction.

    Raises: any of asyncpg's errors.
    """
    window = {"hour": hour, "since": since, "until": until}
    await connection.execute(PLAN_SAFELY)
    await queries().flag_failed(connection, **window)
    await queries().flag_slowest(connection, **window, slowest=slowest)
    await queries().flag_slowest_roots(connection, **window, slowest=slowest)
