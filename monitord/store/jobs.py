"""Reads what the application's jobs did: runs, failures and durations, and when each ran last."""

from __future__ import annotations

import asyncio
import json

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from msgspec import Struct

from monitord.store.connection import Connection
from monitord.store.pool import Store
from monitord.store.pushed_histograms import MOST_MINUTES, merged
from monitord.store.queries import queries
from monitord.store.requests import moment
from monitord.store.tiers import MINUTE, ceiling, floor
from monitord.store.walk import walk_back


# The histogram that says it, in ms; its attributes are the name of the job, and how it ended.
METRIC = "job.duration"
JOB, OUTCOME, FAILURE = "job", "outcome", "failure"

# More jobs than these are none to look at; each has a series for either outcome.
MOST_SERIES = 1_000

TREND_POINTS = 24

# So many minutes of all series are counted for one answer, without their buckets.
MOST_COUNTED = 500_000

# Counts are answered after so long with what was found, and so are quantiles.
DEADLINE_SECONDS = 1.0


class JobStats(Struct, frozen=True, kw_only=True):
    """
    One job of one service: its runs of a window, failed ones among them; durations in ms.

    `last_run` is Unix seconds to the minute, of before the window too; None when it is not kept any
    more. `trend` and `failures_trend` are runs in TREND_POINTS equal parts of the window.
    """

    service: str
    job: str
    runs: int
    failures: int
    p50_ms: float | None
    p95_ms: float | None
    max_ms: float | None
    last_run: float | None
    last_failure: float | None
    trend: list[int]
    failures_trend: list[int]


class Jobs(Struct, frozen=True):
    """
    The jobs there are by service and name, over a window in Unix seconds, widened to minutes.

    Counts and maximum are of the runs since `counts_since`, quantiles of those since
    `quantiles_since`: all of the window, but where that are too many minutes of too many jobs.
    """

    start: float
    end: float
    counts_since: float
    quantiles_since: float
    jobs: list[JobStats]


Rows = Sequence[Mapping[str, Any]]


class JobReader:
    """The jobs of this instance."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def stats(self, start: float, end: float) -> Jobs:
        """
        Return every job there is, and its runs of [start, end), Unix seconds.

        Counts and maximum are exact, quantiles within histogram.RELATIVE_ERROR. Either is read
        backwards under a deadline of its own.

        Raises StoreUnreachable, StoreError.
        """
        since, until = floor(start, MINUTE), ceiling(end, MINUTE)
        async with self._store.connection() as connection:
            found = queries().job_series(
                connection, host_id=self._store.host_id, name=METRIC, most=MOST_SERIES
            )
            series = [row async for row in found]
            ids = [row["series_id"] for row in series]
            points, counts_since = await self._points(connection, ids, since, until)
            minutes, quantiles_since = await self._minutes(connection, ids, since, until)
        return Jobs(
            since,
            until,
            counts_since,
            quantiles_since,
            await asyncio.to_thread(all_stats, series, points, minutes, since, until),
        )

    async def _points(
        self, connection: Connection, ids: Sequence[int], since: int, until: int
    ) -> tuple[Rows, float]:
        """Return the counts of parts of the window, and since when they are counted."""
        step = timedelta(seconds=(until - since) / TREND_POINTS)
        found: list[Mapping[str, Any]] = []
        room, cut = MOST_COUNTED, since

        async def read(lower: datetime, upper: datetime) -> datetime | None:
            nonlocal room, cut
            rows = [
                row
                async for row in queries().job_points(
                    connection, **self._asked(ids, lower, upper, since), step=step, most=room
                )
            ]
            found.extend(row for row in rows if row["series_id"] is not None)
            counted = rows[0]["rows"]
            if counted == room:
                cut = ceiling(rows[0]["rows_since"].timestamp() + 1, MINUTE)
                return None
            room -= counted
            return lower

        came_to = await back(connection, since, until, read)
        return found, max(came_to, cut)

    async def _minutes(
        self, connection: Connection, ids: Sequence[int], since: int, until: int
    ) -> tuple[Rows, float]:
        """Return the minutes that quantiles are made of, and since when."""
        step = timedelta(seconds=MINUTE)
        found: list[Mapping[str, Any]] = []

        async def read(lower: datetime, upper: datetime) -> datetime | None:
            asked = self._asked(ids, lower, upper, since)
            room = MOST_MINUTES - len(found)
            rows = queries().histogram_cells(connection, **asked, step=step, most=room)
            found.extend([row async for row in rows])
            return None if len(found) == MOST_MINUTES else lower

        came_to = await back(connection, since, until, read)
        full = len(found) == MOST_MINUTES
        return found, max(came_to, found[-1]["at"].timestamp() if full else since)

    def _asked(
        self, ids: Sequence[int], lower: datetime, upper: datetime, since: int
    ) -> dict[str, Any]:
        return {
            "host_id": self._store.host_id,
            "series_ids": ids,
            "since": lower,
            "until": upper,
            "start": moment(since),
        }


async def back(
    connection: Connection,
    since: int,
    until: int,
    read: Callable[[datetime, datetime], Awaitable[datetime | None]],
) -> int:
    """Walk a window back as walk_back does; return the minute the walk came to."""
    came_to = await walk_back(connection, moment(until), moment(since), DEADLINE_SECONDS, read)
    return since if came_to is None else ceiling(came_to.timestamp(), MINUTE)


class Kept(NamedTuple):
    """One series of a job: whether it is of failed runs, and when it had its newest."""

    number: int
    failed: bool
    last_at: datetime | None


def all_stats(series: Rows, points: Rows, minutes: Rows, since: int, until: int) -> list[JobStats]:
    """Return what rows say of each job."""
    jobs: dict[tuple[str, str], list[Kept]] = {}
    for row in series:
        attributes = json.loads(row["attributes"])
        kept = Kept(row["series_id"], attributes.get(OUTCOME) == FAILURE, row["last_at"])
        jobs.setdefault((row["service"], attributes.get(JOB, "")), []).append(kept)
    points_of, minutes_of = by_series(points), by_series(minutes)
    step = (until - since) / TREND_POINTS
    return [stats(key, jobs[key], points_of, minutes_of, since, step) for key in sorted(jobs)]


def stats(
    key: tuple[str, str],
    kept: Sequence[Kept],
    points: Mapping[int, Rows],
    minutes: Mapping[int, Rows],
    since: int,
    step: float,
) -> JobStats:
    """Return what rows say of one job, by its series."""
    failed = [one for one in kept if one.failed]
    ran, failures = of(kept, points), of(failed, points)
    measured = of(kept, minutes)
    took = merged(measured) if measured else None
    return JobStats(
        service=key[0],
        job=key[1],
        runs=sum(row["count"] for row in ran),
        failures=sum(row["count"] for row in failures),
        p50_ms=took.quantile(0.5) if took else None,
        p95_ms=took.quantile(0.95) if took else None,
        max_ms=max((row["max"] for row in ran), default=None),
        last_run=newest(kept),
        last_failure=newest(failed),
        trend=trend(ran, since, step),
        failures_trend=trend(failures, since, step),
    )


def of(kept: Iterable[Kept], rows: Mapping[int, Rows]) -> list[Mapping[str, Any]]:
    """Return the rows of some series."""
    return [row for one in kept for row in rows.get(one.number, ())]


def trend(rows: Rows, since: int, step: float) -> list[int]:
    """Return how many runs each part of the window has."""
    counts = [0] * TREND_POINTS
    for row in rows:
        counts[round((row["start"].timestamp() - since) / step)] += row["count"]
    return counts


def newest(kept: Iterable[Kept]) -> float | None:
    """Return when any of some series had its newest run, Unix seconds to the minute."""
    times = [one.last_at.timestamp() for one in kept if one.last_at is not None]
    return max(times, default=None)


def by_series(rows: Rows) -> dict[int, list[Mapping[str, Any]]]:
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["series_id"], []).append(row)
    return found
