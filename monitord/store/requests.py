"""Reads what the pages say about requests, from rollups and never from rows."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from monitord.histogram import Histogram
from monitord.latency import RequestStats, stats
from monitord.store import cells
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.tiers import MINUTE, Span, ceiling, cover, floor, tier_for, window


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
        kept any more; `seconds` of the answer is what was asked for. None: nothing was recorded.

        Raises StoreUnreachable, StoreError.
        """
        now, kept = time.time(), self._store.retention
        first, last = window(start, end, now - kept.rollup_minutes, now - kept.rollup_hours)
        rows = await self._rows(cover(first, last), first, last)
        if not rows:
            return None
        return await asyncio.to_thread(summed, rows, end - start)

    async def points(self, start: float, end: float, step: float) -> RequestSeries:
        """
        Return the requests of [start, end) in points of `step` seconds at multiples of the step.

        The step is whole minutes or divides one; see tiers.step_for for one that keeps the answer
        quick. Nothing is kept finer than a minute: shorter points have the figures of their minute
        and its count in equal parts.

        Raises StoreUnreachable, StoreError. ValueError: the step does not fit minutes.
        """
        whole = int(step)
        if whole != step or whole <= 0 or (whole % MINUTE and MINUTE % whole):
            raise ValueError(f"step: expected a divisor or multiple of 60 seconds, got {step}")
        first, last = floor(start, whole), ceiling(end, whole)
        since, until = floor(first, MINUTE), ceiling(last, MINUTE)
        rows = await self._rows([Span(tier_for(whole), since, until)], since, until)
        return await asyncio.to_thread(series, rows, range(first, last, whole))

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


def summed(rows: Sequence[Mapping[str, Any]], seconds: float) -> RequestStats:
    """Return the statistics over rollup rows that do not overlap."""
    histogram = Histogram()
    for row in rows:
        buckets, counts = cells.unpack(cells.TOTAL_CELLS, row["total_cells"])
        histogram.counts[buckets] += counts  # a row holds a bucket once
    return stats(
        histogram,
        errors=sum(row["errors"] for row in rows),
        client_errors=sum(row["client_errors"] for row in rows),
        sum_ms=sum(row["sum_us"] for row in rows) / 1000,
        max_ms=max(row["max_us"] for row in rows) / 1000,
        seconds=seconds,
    )


def series(rows: Sequence[Mapping[str, Any]], times: range) -> RequestSeries:
    """Return the points of rollup rows: each of those whose start lies in it, or of its minute."""
    grain = max(times.step, MINUTE)
    groups: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(floor(row["start"].timestamp(), grain), []).append(row)
    known = {start: summed(group, grain) for start, group in groups.items()}
    points = [known.get(floor(at, grain)) for at in times]
    share = times.step / grain

    def column(name: str, scale: float = 1) -> list[Any]:
        values = [None if point is None else getattr(point, name) for point in points]
        return values if scale == 1 else [None if v is None else v * scale for v in values]

    counts = {name: column(name, share) for name in ("count", "errors", "client_errors")}
    figures = {name: column(name) for name in ("avg_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms")}
    return RequestSeries(times.step, list(times), **counts, **figures)
