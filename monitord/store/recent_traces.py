"""Reads which traces there were lately, newest first, each by the step that began it."""

from __future__ import annotations

import time

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from msgspec import Struct, structs

from monitord.store.connection import Connection
from monitord.store.log_filter import log_filter
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.requests import moment
from monitord.store.text import clean
from monitord.store.walk import walk_back


# So many rows are put together to traces at once: an application may give everything one trace id.
MOST_ROWS = 5_000

# The list is answered after this long with what was found.
DEADLINE_SECONDS = 1.5

# Then there is so much time to count the spans of its traces.
COUNT_SECONDS = 0.5

# Spans are counted so far around the steps that began their traces, and what began a trace is
# looked for so far around a slice of time.
AROUND_SECONDS = 60.0


class TraceHead(Struct, frozen=True, kw_only=True):
    """
    A trace by what began it: a request, or a span without a parent.

    `time` is Unix seconds of its end. `name` is method and route of a request, `kind` is `request`
    or that of a span; `status` is the request's or the span's. `spans` is how many the trace has,
    None when there was no time to count them.
    """

    trace_id: str
    time: float
    start: float
    duration_ms: float
    service: str
    name: str
    kind: str
    status: str
    error: bool
    error_id: str | None
    spans: int | None = None


class TraceWish(Struct, frozen=True, kw_only=True):
    """Which traces are asked for: "" is any service or name."""

    service: str = ""
    name: str = ""
    min_ms: float = 0.0
    only_errors: bool = False


class TracePage(Struct, frozen=True):
    """
    Traces, newest first.

    With `searched_since` (Unix seconds) the search was ended by its deadline there.
    """

    traces: list[TraceHead]
    searched_since: float | None


class RecentTraces:
    """The newest traces of this instance."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, start: float, end: float, wish: TraceWish, limit: int) -> TracePage:
        """
        Return the newest traces whose first step ended in [start, end), Unix seconds.

        A name is looked for in method and route of requests, and in names of spans. The search
        walks back in doubling slices of time under a deadline of its own. Archived requests are not
        looked through.

        Raises StoreUnreachable, StoreError.
        """
        oldest = max(start, time.time() - self._store.retention.requests - 2 * 86_400)
        heads: list[TraceHead] = []
        async with self._store.connection() as connection:
            came_to = await self._collect(connection, (oldest, end), wish, limit, heads)
            counted = await self._spans(connection, heads) if heads else {}
        traces = [
            structs.replace(
                one,
                spans=None if counted is None else counted.get(UUID(one.trace_id), 0),
            )
            for one in heads
        ]
        return TracePage(traces, came_to.timestamp() if came_to else None)

    async def _collect(
        self,
        connection: Connection,
        span: tuple[float, float],
        wish: TraceWish,
        limit: int,
        into: list[TraceHead],
    ) -> datetime | None:
        """Add the newest traces; return how far back the search came when its time was up."""
        filters = {
            "service": clean(wish.service),
            "names": log_filter(0, wish.name).texts,
            "min_us": round(wish.min_ms * 1000),
            "only_errors": wish.only_errors,
        }

        around = timedelta(seconds=AROUND_SECONDS)

        async def read(since: datetime, until: datetime) -> datetime | None:
            # Of a table without statistics the planner might compare each row with each.
            await connection.execute("SET LOCAL enable_nestloop = off")
            found = queries().recent_traces(
                connection,
                host_id=self._store.host_id,
                since=since,
                until=until,
                first_since=since - around,
                first_until=until + around,
                seen=[UUID(one.trace_id) for one in into],
                rows=MOST_ROWS,
                most=limit - len(into),
                **filters,
            )
            rows = [row async for row in found]
            into.extend([head(row) for row in rows if row["trace_id"] is not None])
            return None if len(into) == limit else searched_to(rows, since, until)

        oldest, newest = (moment(seconds) for seconds in span)
        return await walk_back(connection, newest, oldest, DEADLINE_SECONDS, read)

    async def _spans(
        self, connection: Connection, heads: Sequence[TraceHead]
    ) -> dict[UUID, int] | None:
        """Return how many spans traces have, None when that takes too long."""
        try:
            async with connection.transaction(readonly=True):
                limit_ms = str(int(COUNT_SECONDS * 1000))
                await queries().limit_statement(connection, milliseconds=limit_ms)
                await connection.execute("SET LOCAL enable_seqscan = off")
                rows = queries().count_trace_spans(
                    connection,
                    host_id=self._store.host_id,
                    traces=[UUID(one.trace_id) for one in heads],
                    since=moment(min(one.start for one in heads) - AROUND_SECONDS),
                    until=moment(max(one.time for one in heads) + AROUND_SECONDS),
                )
                return {row["trace_id"]: row["spans"] async for row in rows}
        except asyncpg.QueryCanceledError:
            return None


def searched_to(rows: Sequence[Mapping[str, Any]], since: datetime, until: datetime) -> datetime:
    """Return how far back a slice was searched: to where those rows began that count."""
    if rows[0]["rows"] < MOST_ROWS:
        return since
    # More of that very moment may not have counted; but the search must go on.
    came_to: datetime = rows[0]["rows_since"]
    after = came_to + timedelta(microseconds=1)
    return after if after < until else came_to


def head(row: Mapping[str, Any]) -> TraceHead:
    ended = row["at"].timestamp()
    return TraceHead(
        trace_id=row["trace_id"].hex,
        time=ended,
        start=ended - row["duration_us"] / 1e6,
        duration_ms=row["duration_us"] / 1000,
        service=row["service"],
        name=row["name"],
        kind=row["kind"],
        status=row["status"],
        error=row["error"],
        error_id=None if row["error_id"] is None else str(row["error_id"]),
    )
