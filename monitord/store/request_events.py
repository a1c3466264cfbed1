"""
Reads requests one by one, where rollups do not say enough: exact figures of a few minutes, and the
requests of one trace. They may be rows or archived. What looks back further reads rollups.
"""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar
from uuid import UUID

from msgspec import Struct

from monitord.errors import StoreUnreachable
from monitord.store.archive.columns import Requests
from monitord.store.archive.figures import exact
from monitord.store.archive.reader import (
    ArchiveDamaged,
    all_requests,
    archived_of_trace,
    archived_trace_ends,
    one_view,
)
from monitord.store.connection import Connection
from monitord.store.copying import EPOCH_SECONDS
from monitord.store.partitions import CLOSED, CLOSED_HOURS, day_of, period_in, start_of
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.requests import moment
from monitord.store.sums import Ints
from monitord.store.tiers import DAY


T = TypeVar("T")

# The longest window that is counted row by row.
LONGEST_SECONDS = 300.0

# Of so many endpoints each has figures of its own: those with the most requests.
MOST_ENDPOINTS = 50

# The requests of a trace are looked for so far around a moment it is known to touch.
AROUND_SECONDS = 1_800.0

# A trace id that an application gives to everything it does is no reason to send everything.
MOST_OF_TRACE = 1_000

# A search through all days makes many calls: it may take so many of the store's timeouts.
SEARCH_TIMEOUTS = 6

# Whose partitions hold requests as rows: those of days that are open, and closed to be archived.
ROWS = ("requests", CLOSED)


class Figures(Struct, frozen=True, kw_only=True):
    """
    What some requests took, from the requests themselves. Without any, durations are null.

    An error is a status of 500 or above, or an exception.
    """

    count: int
    errors: int
    avg_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


class EndpointFigures(Figures, frozen=True, kw_only=True):
    """The same of one endpoint."""

    service: str
    method: str
    route: str


class Exact(Struct, frozen=True):
    """
    The figures of a window, and of its endpoints, those with the most requests first.

    `left_out` is how many endpoints more there were.
    """

    whole: Figures
    endpoints: list[EndpointFigures]
    left_out: int


class TraceRequest(Struct, frozen=True, omit_defaults=True):
    """
    One request of a trace. `time` is Unix seconds of its end.

    `error_id` is the kind of its exception, absent without one.
    """

    time: float
    service: str
    method: str
    route: str
    status: int
    duration_ms: float
    error: bool
    error_id: str | None = None


class RequestEvents:
    """The requests of this instance."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Rows are costly to read, and every page waits for the same few connections: so it is one
        # of a kind at a time. What is quick, near a moment, does not wait for what is not.
        self._counting = asyncio.Semaphore(1)
        self._near = asyncio.Semaphore(1)
        self._anywhere = asyncio.Semaphore(1)

    async def exact(self, start: float, end: float) -> Exact:
        """
        Return the figures of every request of [start, end), Unix seconds.

        Raises StoreUnreachable: there is no answer within the store's timeout, waiting for others
        who ask included. StoreError. ValueError: the window is longer than LONGEST_SECONDS.
        """
        if end - start > LONGEST_SECONDS:
            raise ValueError(f"window: expected at most {LONGEST_SECONDS:g} s, got {end - start:g}")
        async with turn_within(self._counting, self._store.timeout), self._view() as connection:
            whole, *endpoints = await self._figures(connection, start, end)
        named = [
            EndpointFigures(
                service=row["service"], method=row["method"], route=row["route"], **figures(row)
            )
            for row in endpoints
        ]
        return Exact(Figures(**figures(whole)), named, whole["endpoints"] - len(named))

    async def of_trace(self, trace_id: UUID, near: float | None = None) -> list[TraceRequest]:
        """
        Return the requests of a trace as they ended, the oldest MOST_OF_TRACE of them.

        Near a moment, Unix seconds, they are looked for in the half hours around it. Without one
        the days are gone through from the newest to the oldest that is kept; each is a call of its
        own, so that the store's timeout does not have to fit them all.

        Raises StoreUnreachable: there is no answer within the store's timeout, without a moment
        within SEARCH_TIMEOUTS of them, waiting for others who search so included. StoreError.
        """
        return await self.around(trace_id, near, self.between) or []

    async def around(
        self,
        trace_id: UUID,
        near: float | None,
        read: Callable[[UUID, float, float], Awaitable[T]],
        tables: Sequence[str] = ROWS,
    ) -> T | None:
        """
        Return what *read* gives for a trace from one moment to another, as `of_trace` finds them.

        Without a moment the days of some tables and the archive are gone through. None: no day has
        anything of the trace.

        Raises: as of_trace.
        """
        timeout = self._store.timeout
        if near is None:
            async with turn_within(self._anywhere, SEARCH_TIMEOUTS * timeout):
                stretch = await self._search(trace_id, tables)
                return None if stretch is None else await read(trace_id, *stretch)
        async with turn_within(self._near, timeout):
            return await read(trace_id, near - AROUND_SECONDS, near + AROUND_SECONDS)

    async def _search(self, trace_id: UUID, tables: Sequence[str]) -> tuple[float, float] | None:
        """Return the stretch of time around the newest day that has anything of a trace."""
        for day in await self._days(tables):
            times = await self._times(trace_id, day, tables)
            if times:
                # It may have begun on the day before.
                return min(times) - AROUND_SECONDS, max(times) + AROUND_SECONDS
        return None

    @contextlib.asynccontextmanager
    async def _view(self) -> AsyncIterator[Connection]:
        """Lend a connection that sees each request once; a damaged chunk is counted."""
        try:
            async with self._store.connection() as connection, one_view(connection):
                yield connection
        except ArchiveDamaged:
            self._store.count_damage()
            raise

    async def _figures(
        self, connection: Connection, start: float, end: float
    ) -> Sequence[Mapping[str, Any]]:
        """Return the figures of all requests and of each endpoint, worked out where they are."""
        host_id = self._store.host_id
        window = {"host_id": host_id, "since": moment(start), "until": moment(end)}
        if not await queries().any_chunk_between(connection, **window):
            rows = queries().exact_requests(connection, **window, most=MOST_ENDPOINTS)
            return [row async for row in rows]
        requests = await all_requests(connection, host_id, start, end, with_traces=False)
        whole, *endpoints = await asyncio.to_thread(exact, requests, MOST_ENDPOINTS)
        names = await self._names(connection, [row["endpoint_id"] for row in endpoints])
        return [whole, *({**row, **names[row["endpoint_id"]]} for row in endpoints)]

    async def _days(self, tables: Sequence[str]) -> list[date]:
        """Return the days there are rows or archived requests of, the newest first."""
        async with self._store.connection() as connection:
            names = await partitions(connection, *tables, "request_archive")
        return sorted({day for name in names if (day := day_within(name))}, reverse=True)

    async def _times(self, trace_id: UUID, day: date, tables: Sequence[str]) -> list[float]:
        """
        Return moments of a day, the first and the last at which anything of the trace ended.

        The planner cannot know that a range of pages seldom has the trace, and might read a whole
        day. So it is asked of the day's table by name, where the index of traces is all there is
        to go through.
        """
        host_id, start = self._store.host_id, start_of(day)
        async with self._view() as connection:
            await connection.execute("SET LOCAL enable_seqscan = off")
            if CLOSED_HOURS in tables:
                # As one_view does for requests: what is listed must be there when it is read.
                await queries().hold_spans(connection)
            times = []
            for name in await partitions(connection, *tables):
                if day_within(name) == day:
                    row = await connection.fetchrow(times_in(name), host_id, trace_id)
                    times += [at.timestamp() for at in row or () if at is not None]
            packed = await archived_trace_ends(connection, host_id, trace_id, start, start + DAY)
        return times + seconds_of(packed)

    async def between(self, trace_id: UUID, since: float, until: float) -> list[TraceRequest]:
        """
        Return the requests of a trace that ended in [since, until), Unix seconds.

        Raises StoreUnreachable, StoreError.
        """
        host_id = self._store.host_id
        async with self._view() as connection:
            # Of a table without statistics the planner might read all.
            await connection.execute("SET LOCAL enable_seqscan = off")
            rows = queries().trace_requests(
                connection,
                host_id=host_id,
                trace_id=trace_id,
                since=moment(since),
                until=moment(until),
                most=MOST_OF_TRACE,
            )
            found = [trace_request(row) async for row in rows]
            packed = await archived_of_trace(
                connection, host_id, trace_id, since, until, MOST_OF_TRACE
            )
            names = await self._names(connection, packed.endpoint_id.tolist())
        found += packed_requests(packed, names)
        return sorted(found, key=lambda one: one.time)[:MOST_OF_TRACE]

    async def _names(
        self, connection: Connection, ids: Sequence[int]
    ) -> Mapping[int, Mapping[str, str]]:
        """Return service, method and route of some endpoints by their numbers."""
        rows = queries().endpoints_by_id(connection, host_id=self._store.host_id, ids=ids)
        fields = ("service", "method", "route")
        return {row["id"]: {name: row[name] for name in fields} async for row in rows}


@contextlib.asynccontextmanager
async def turn_within(semaphore: asyncio.Semaphore, seconds: float) -> AsyncIterator[None]:
    """
    Hold one of the semaphore's places for a question that is answered within so many seconds.

    Raises StoreUnreachable: it is not, or no place became free.
    """
    try:
        async with asyncio.timeout(seconds), semaphore:
            yield
    except TimeoutError:
        raise StoreUnreachable(f"store: no answer within {seconds:g} s") from None


async def partitions(connection: Connection, *parents: str) -> list[str]:
    """Return the names of the partitions of some tables but for those that are being dropped."""
    return [
        row["name"]
        for parent in parents
        async for row in queries().attached_partitions(connection, parent=parent)
    ]


def day_within(partition: str) -> date | None:
    """Return the day a partition, of a day or an hour, is of; None for a table that is not ours."""
    period = period_in(partition)
    return None if period is None else day_of(start_of(period))


def times_in(partition: str) -> str:
    """Return the question for a trace's times in a partition, a name that the store gave us."""
    return (
        f"SELECT min(at) AS first, max(at) AS last FROM {partition}"  # noqa: S608
        " WHERE host_id = $1 AND trace_id = $2"
    )


def figures(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of Figures: durations are stored as whole microseconds."""
    took_us = (row["avg_us"], *(row["ranked_us"] or (None, None, None)), row["max_us"])
    names = ("avg_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms")
    took_ms = (None if us is None else us / 1000 for us in took_us)
    return {
        "count": row["count"],
        "errors": row["errors"],
        **dict(zip(names, took_ms, strict=True)),
    }


def trace_request(row: Mapping[str, Any]) -> TraceRequest:
    return TraceRequest(
        time=row["at"].timestamp(),
        service=row["service"],
        method=row["method"],
        route=row["route"],
        status=row["status"],
        duration_ms=row["duration_us"] / 1000,
        error=row["error"],
        error_id=None if row["error_id"] is None else str(row["error_id"]),
    )


def packed_requests(
    requests: Requests, names: Mapping[int, Mapping[str, str]]
) -> list[TraceRequest]:
    """Return archived requests as requests of a trace."""
    error = (requests.status >= 500) | requests.failed
    numbers = (requests.endpoint_id, requests.status, requests.duration_us, requests.error_id)
    columns = [column.tolist() for column in (*numbers, requests.failed, error)]
    return [
        TraceRequest(
            time=time,
            **names[endpoint],
            status=status,
            duration_ms=us / 1000,
            error=wrong,
            error_id=str(error_id) if failed else None,
        )
        for time, endpoint, status, us, error_id, failed, wrong in zip(
            seconds_of(requests.at_us), *columns, strict=True
        )
    ]


def seconds_of(at_us: Ints) -> list[float]:
    """Return moments of PostgreSQL's microseconds in Unix seconds."""
    return [(EPOCH_SECONDS * 1_000_000 + at) / 1e6 for at in at_us.tolist()]
