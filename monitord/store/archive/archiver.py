"""Moves requests into the archive, a whole day at a time, beside everything else."""

from __future__ import annotations

import asyncio
import contextlib
import time

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import structlog

from monitord.errors import MonitordError, StoreUnreachable
from monitord.store.archive.chunks import encoded
from monitord.store.archive.columns import Requests
from monitord.store.archive.rows import copied
from monitord.store.archive.trace_filter import filter_of
from monitord.store.closing import Change, closable, close, make_known, shortly
from monitord.store.connection import Connection
from monitord.store.copying import EPOCH_SECONDS
from monitord.store.failures import describe
from monitord.store.partitions import CLOSED, Partitions, day_in, name_of
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.retention import over
from monitord.store.sums import Ints


log = structlog.get_logger(__name__)

EVERY_SECONDS = 3_600.0
RETRY_SECONDS = 60.0

# Requests packed at once, some 20 MB while it lasts; a stretch of time is chosen to hold half.
MOST_REQUESTS = 100_000

# The longest chunk. It bounds how far before a window a reader looks.
LONGEST = timedelta(hours=1)
SHORTEST = timedelta(minutes=1)
ONE_DAY = timedelta(days=1)

EPOCH = datetime.fromtimestamp(EPOCH_SECONDS, UTC)

# Between two portions, so that writers and pages have their turn.
PAUSE_SECONDS = 0.05


class Archiver:
    """
    Packs the requests of days that have been over for `after` seconds; None closes no more days.

    A day is closed first: its partition leaves `requests`, so what comes late makes a new one, to
    be packed another time. A closed day does not change any more. It is packed in portions, and a
    portion's chunks are one transaction with the mark up to which rows do not count any more. So
    each request counts once at every moment, and what was begun is gone on with by whoever comes.
    """

    def __init__(
        self,
        store: Store,
        after: float | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._after = after
        self._sleep = sleep
        self._partitions = Partitions(store)

    async def run(self) -> None:
        """Archive until cancelled; what fails is gone on with soon."""
        while True:
            await self._store.ready()
            try:
                await self.archive(time.time())
            except MonitordError as error:
                log.info("archive.postponed", reason=str(error))
                await self._sleep(RETRY_SECONDS)
            except Exception as error:
                log.error("archive.failed", reason=describe(error), exc_info=error)
                await self._sleep(RETRY_SECONDS)
            else:
                await self._sleep(EVERY_SECONDS)

    async def archive(self, now: float) -> None:
        """
        Finish the days that were begun, then pack those that are due at `now`, Unix seconds.

        A day that fails holds up no other; it is tried again the next time.

        Raises what the first of them failed by, when all are done: mostly StoreUnreachable,
        StoreError. What was packed so far stays so.
        """
        failed: dict[date, Exception] = {}
        await self._pack_closed(failed)
        for day in await self._due(now):
            async with self._noted(failed, day):
                if await self._close(day):
                    await make_known(self._store, closed_name(day))
                    await self._pack_closed(failed)
        for error in failed.values():
            raise error

    async def _due(self, now: float) -> list[date]:
        if self._after is None:
            return []
        async with self._store.connection() as connection:
            rows = queries().partitions_of(connection, parent="requests")
            names = [row["name"] async for row in rows]
        return [day for name in over(names, now - self._after) if (day := day_in(name))]

    async def _close(self, day: date) -> bool:
        """Take a day out of `requests`; False: not now, or another session was first."""

        async def change(connection: Connection) -> bool:
            if not await closable(connection, "requests", day):
                return False
            if not await queries().add_archive_mark(connection, day=day, until=midnight(day)):
                return False
            await close(connection, "requests", CLOSED, day)
            return True

        return await self._shortly(day, change)

    async def _pack_closed(self, failed: dict[date, Exception]) -> None:
        """Pack every closed day from its mark to its end, but for those that have failed."""
        async with self._store.connection() as connection:
            marks = [Mark(**row) async for row in queries().archive_marks(connection)]
        for mark in marks:
            if mark.day not in failed:
                async with self._noted(failed, mark.day):
                    await self._finish(mark)

    @contextlib.asynccontextmanager
    async def _noted(self, failed: dict[date, Exception], day: date) -> AsyncIterator[None]:
        """Note what a day fails by, and let others be packed."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - one day's fault must not hold up the others
            failed[day] = error
            self._store.count_failure()
            log.warning("archive.day_failed", day=str(day), reason=describe(error))

    async def _finish(self, mark: Mark) -> None:
        began = time.monotonic()
        packed = await self._pack_day(mark)
        if await self._drop(mark):
            seconds = round(time.monotonic() - began, 1)
            log.info("archive.packed", day=str(mark.day), requests=packed, seconds=seconds)

    async def _pack_day(self, mark: Mark) -> int:
        """Pack the rest of a day; return how many requests it was."""
        self._partitions.forget()  # retention may have dropped what was there the last time
        await self._partitions.ensure("request_archive", [mark.day])
        async with self._store.connection() as connection:
            await queries().summarize(connection, table=closed_name(mark.day))
        end, step, packed = midnight(mark.day + ONE_DAY), SHORTEST, 0
        while mark.until < end:
            until = min(mark.until + step, end)
            count, until = await self._pack(mark, until)
            step = next_step(until - mark.until, count)
            mark, packed = replace(mark, until=until), packed + count
            await self._sleep(PAUSE_SECONDS)
        return packed

    async def _pack(self, mark: Mark, until: datetime) -> tuple[int, datetime]:
        """
        Pack a portion, up to a moment or until it is full; return its size and how far it came.

        Raises StoreUnreachable: another session packs the same day.
        """
        async with self._store.connection() as connection, connection.transaction(readonly=True):
            # Without statistics the planner may read the whole day for each portion.
            await connection.execute("SET LOCAL enable_seqscan = off")
            query = queries().requests_to_pack
            requests, host_ids = await copied(connection, query, mark.until, until, MOST_REQUESTS)
        if len(requests) >= MOST_REQUESTS:
            until = EPOCH + timedelta(microseconds=int(requests.at_us[-1]) + 1)
        chunks = await asyncio.to_thread(chunks_of, requests, host_ids)
        async with self._store.transaction() as connection:
            if not await queries().move_archive_mark(
                connection, closing=mark.closing, since=mark.until, until=until
            ):
                raise StoreUnreachable("store: another session packs the same day")
            await queries().add_chunks(connection, **chunks)
        return len(requests), until

    async def _drop(self, mark: Mark) -> bool:
        """Drop a closed day that is packed; False: not now, or another session was first."""

        async def drop(connection: Connection) -> bool:
            if not await queries().drop_archive_mark(connection, closing=mark.closing):
                return False
            await connection.execute(f"DROP TABLE {closed_name(mark.day)}")
            return True

        return await self._shortly(mark.day, drop)

    async def _shortly(self, day: date, change: Change) -> bool:
        """Make a change that holds up others, once they let it; False when they never did."""
        try:
            return await shortly(self._store, change, self._sleep)
        except StoreUnreachable as error:
            log.info("archive.postponed", day=str(day), reason=str(error))
            return False


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one closing of a day is packed."""

    day: date
    closing: int
    until: datetime


def closed_name(day: date) -> str:
    """Return the name of the table of a closed day."""
    return name_of(CLOSED, day)


def midnight(day: date) -> datetime:
    """Return the first moment of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def next_step(step: timedelta, count: int) -> timedelta:
    """Return the whole minutes that hold half of what is packed at once, at the rate of a step."""
    fitting = step * (MOST_REQUESTS / 2 / max(count, 1)) // SHORTEST * SHORTEST
    return min(max(fitting, SHORTEST), LONGEST)


def chunks_of(requests: Requests, host_ids: Ints) -> dict[str, list[Any]]:
    """Return the arguments of `add_chunks`: of requests in order of time, a chunk for each host."""
    chunks: dict[str, list[Any]] = {name: [] for name in ADDED}
    for host_id in np.unique(host_ids).tolist():
        part = requests.take(host_ids == host_id)
        numbers, traces = encoded(part)
        known = filter_of(part.trace[part.has_trace]) if traces is not None else None
        first_us, last_us = int(part.at_us[0]), int(part.at_us[-1])
        row = (host_id, first_us, last_us, len(part), numbers, traces, known)
        for name, value in zip(ADDED, row, strict=True):
            chunks[name].append(value)
    return chunks


ADDED = ("host_ids", "firsts_us", "lasts_us", "counts", "numbers", "traces", "trace_filters")
