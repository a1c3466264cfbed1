"""Reads what the pages say about requests, from rollups and never from rows."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from msgspec import Struct
from numpy.typing import NDArray

from monitord.latency import RequestStats
from monitord.store import cells, sums
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.sums import Counts, Ints
from monitord.store.tiers import DAY, HOUR, MINUTE, Span, ceiling, cover, floor, tier_for, window


class RequestSeries(Struct, frozen=True):
    """
    Requests over time, one entry a point; `times` are Unix seconds of the points' starts. Counts
    are whole numbers where points are whole minutes.

    None where nothing was recorded: nobody knows whether nobody asked or nobody counted.
    """

    step: int
    times: list[int]
    count: list[float | None]
    errors: list[float | None]
    client_errors: list[float | None]
    avg_ms: list[float | None]
    p50_ms: list[float | None]
    p95_ms: list[float | None]
    p99_ms: list[float | None]
    max_ms: list[float | None]


class RequestReader:
    """The requests of this instance."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def stats(self, start: float, end: float) -> RequestStats | None:
        """
        Return what there is to say about the requests of [start, end), Unix seconds.

        The window is widened to whole minutes, or to hours above 2 days and where minutes are not
        kept any more; `seconds` of the answer is what was counted of it so far: what lies before
        this instance's first connecting and its earliest request is no part of it. None: nothing
        was recorded.

        Raises StoreUnreachable, StoreError.
        """
        now, kept = time.time(), self._store.retention
        first, last = window(start, end, now - kept.rollup_minutes, now - kept.rollup_hours)
        rows = await self._rows(cover(first, last), first, last)
        if not rows:
            return None
        earliest = min(row["start"] for row in rows).timestamp()
        begun = max(first, min(self._store.first_seen_at, earliest))
        until = min(last, max(now, begun + MINUTE))
        return await asyncio.to_thread(summed, rows, until - begun)

    async def points(self, start: float, end: float, step: float) -> RequestSeries:
        """
        Return the requests of [start, end) in points of `step` seconds at multiples of the step.

        The step is whole minutes or divides one; see tiers.step_for for one that keeps the answer
        quick. Nothing is kept finer than a minute, and of old times than an hour or a day: shorter
        points have the figures of that and its count in equal parts.

        Raises StoreUnreachable, StoreError. ValueError: the step does not fit minutes.
        """
        whole = int(step)
        if whole != step or whole <= 0 or (whole % MINUTE and MINUTE % whole):
            raise ValueError(f"step: expected a divisor or multiple of 60 seconds, got {step}")
        first, last = floor(start, whole), ceiling(end, whole)
        tier = self._kept_tier(tier_for(whole), first)
        since, until = floor(first, tier), ceiling(last, tier)
        rows = await self._rows([Span(tier, since, until)], since, until)
        return await asyncio.to_thread(series, rows, range(first, last, whole), tier)

    def _kept_tier(self, tier: int, first: int) -> int:
        """Return the tier, or the next one that is still kept of this moment, Unix seconds."""
        kept = self._store.retention
        # A chart of just the time minutes are kept begins a little before it, on a round border.
        age = time.time() - HOUR - first
        if tier == MINUTE and age > kept.rollup_minutes:
            tier = HOUR
        if tier == HOUR and age > kept.rollup_hours:
            tier = DAY
        return tier

    async def _rows(self, spans: Sequence[Span], since: int, until: int) -> list[Mapping[str, Any]]:
        async with self._store.connection() as connection:
            rows = queries().request_totals(
                connection,
                host_id=self._store.host_id,
                tiers=[span.tier for span in spans],
                firsts=[moment(span.first) for span in spans],
                lasts=[moment(span.last) for span in spans],
                since=moment(since),
                until=moment(until),
            )
            return [row async for row in rows]


def moment(seconds: float) -> datetime:
    """Return Unix seconds as an aware moment."""
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, slots=True)
class Points:
    """Rollup rows put together by point; `point` holds those that have any, ascending."""

    point: Ints
    count: Ints
    errors: Ints
    client_errors: Ints
    avg_ms: NDArray[np.float64]
    p50_ms: NDArray[np.float64]
    p95_ms: NDArray[np.float64]
    p99_ms: NDArray[np.float64]
    max_ms: NDArray[np.float64]


def put_together(rows: Sequence[Mapping[str, Any]], point: Ints) -> Points:
    """Return what rollup rows say by the point each lies in; there is at least one row."""
    order, starts = sums.groups(point)

    def column(name: str) -> Ints:
        return np.fromiter((row[name] for row in rows), np.int64, len(rows))[order]

    count, errors, client_errors, sum_us = (
        np.add.reduceat(column(name), starts)
        for name in ("count", "errors", "client_errors", "sum_us")
    )
    max_us = np.maximum.reduceat(column("max_us"), starts)
    lengths, (buckets, counts) = cells.unpack_all(
        cells.TOTAL_CELLS, [row["total_cells"] for row in rows]
    )
    keys = np.repeat(point, lengths) << sums.BUCKET_BITS | buckets
    whole = sums.add_counts(Counts(keys, counts.astype(np.int64)))
    points = point[order][starts]
    p50, p95, p99 = sums.ranked_ms(whole, points, count, max_us)
    average, longest = sum_us / count / 1000, max_us / 1000
    return Points(points, count, errors, client_errors, average, p50, p95, p99, longest)


def summed(rows: Sequence[Mapping[str, Any]], seconds: float) -> RequestStats:
    """Return the statistics over rollup rows that do not overlap; there is at least one."""
    points = put_together(rows, np.zeros(len(rows), np.int64))
    figures = {name: getattr(points, name)[0].item() for name in Points.__slots__[1:]}
    return RequestStats(**figures, seconds=seconds)


def series(rows: Sequence[Mapping[str, Any]], times: range, tier: int) -> RequestSeries:
    """Return the points of a tier's rows: of those that start in each, or of the one it is in."""
    names = Points.__slots__[1:]
    if not rows:
        empty: dict[str, list[Any]] = {name: [None] * len(times) for name in names}
        return RequestSeries(times.step, list(times), **empty)
    grain = max(times.step, tier)
    starts = np.fromiter((row["start"].timestamp() for row in rows), np.float64, len(rows))
    points = put_together(rows, starts.astype(np.int64) // grain)
    wanted = np.fromiter(times, np.int64, len(times)) // grain
    place = np.searchsorted(points.point, wanted).clip(max=len(points.point) - 1)
    known = points.point[place] == wanted
    share = 1 if grain == times.step else times.step / grain

    def column(name: str) -> list[Any]:
        values = getattr(points, name)[place] * (share if name in COUNTS else 1)
        return [value if here else None for value, here in zip(values.tolist(), known, strict=True)]

    return RequestSeries(times.step, list(times), **{name: column(name) for name in names})


COUNTS = ("count", "errors", "client_errors")
