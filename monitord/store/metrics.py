"""Reads stored samples as points over time."""

from __future__ import annotations

import asyncio
import json
import math
import time

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeAlias

from monitord.model import MetricKind
from monitord.store.connection import Connection
from monitord.store.metric_rollups import read_marks
from monitord.store.pool import Store
from monitord.store.pushed_histograms import MOST_MINUTES, quantile_points
from monitord.store.queries import queries
from monitord.store.requests import moment
from monitord.store.tiers import HOUR, MINUTE


Aggregate: TypeAlias = Literal["avg", "max", "min", "last", "sum", "p50", "p95", "p99"]

# What only histograms have.
QUANTILES: dict[Aggregate | None, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

# More lines in one chart are none to look at.
MOST_SERIES = 100


class MetricReader:
    """The samples of this instance."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def names(self) -> list[str]:
        """Return the names of all metrics. Raises StoreUnreachable, StoreError."""
        async with self._store.connection() as connection:
            rows = queries().metric_names(connection, host_id=self._store.host_id)
            return [row["name"] async for row in rows]

    async def points(
        self,
        name: str,
        attributes: Mapping[str, str],
        start: float,
        end: float,
        step: float,
        aggregate: Aggregate | None = None,
        service: str | None = None,
    ) -> list[tuple[dict[str, str], list[float | None]]]:
        """
        Return every series of a name with at least these attributes, in points of `step` seconds.

        Points begin at `start`. The aggregate says what a point is of its samples; without one a
        counter's is the sum (samples are increments), any other's the average. None where there
        was no sample. At most MOST_SERIES series, oldest first: those a service pushed, those that
        were scraped (""), or all (None). A service is among the attributes as `service`.

        A quantile is of pushed histograms, within histogram.RELATIVE_ERROR; other series have none
        and are left out. It reads the buckets of every minute: of long times fewer series.

        Raises StoreUnreachable, StoreError.
        """
        async with self._store.connection() as connection:
            matching = queries().matching_series(
                connection,
                host_id=self._store.host_id,
                name=name,
                attributes=json.dumps(dict(attributes)),
                service=service,
                kind="histogram" if aggregate in QUANTILES else None,
                most=most_series(aggregate, end - start),
            )
            found = {row["series_id"]: row async for row in matching}
            count = math.ceil((end - start) / step)
            values: dict[int, list[float | None]] = {number: [None] * count for number in found}
            for question in by_question(found, aggregate):
                for row in await self._rows(connection, question, start, end, step):
                    place = round((row["start"].timestamp() - start) / step)
                    values[row["series_id"]][place] = row[question.column]
        return [(_attributes(row), values[number]) for number, row in found.items()]

    async def _rows(
        self, connection: Connection, question: Question, start: float, end: float, step: float
    ) -> list[Mapping[str, Any]]:
        common = {
            "host_id": self._store.host_id,
            "series_ids": question.series,
            "step": timedelta(seconds=step),
            "until": moment(end),
        }
        if question.column in QUANTILES:
            minutes = queries().histogram_cells(
                connection, since=moment(start), start=moment(start), most=MOST_MINUTES, **common
            )
            return await asyncio.to_thread(
                quantiles, [row async for row in minutes], question.column
            )
        if question.kind == "histogram":
            rows = queries().histogram_points(connection, since=moment(start), **common)
        else:
            marks = await read_marks(connection, self._store.host_id)
            borders = self._borders(start, end, step, marks)
            rows = queries().sample_points(connection, start=moment(start), **borders, **common)
        return [row async for row in rows]

    def _borders(
        self, start: float, end: float, step: float, marks: Mapping[int, datetime]
    ) -> dict[str, datetime]:
        """
        Return where hours end and where minutes end; from there on the samples are read.

        A tier is read where a point is whole periods of it, as far as it has come and is kept.
        """
        # A chart of just the time minutes are kept begins a little before it, on a round border.
        kept_since = time.time() - self._store.retention.rollup_minutes - HOUR
        hours_end = minutes_end = first = moment(start)
        if whole(start, step, HOUR) and HOUR in marks:
            hours_end = max(first, min(marks[HOUR], moment(end)))
        if whole(start, step, MINUTE) and MINUTE in marks and hours_end.timestamp() >= kept_since:
            minutes_end = min(marks[MINUTE], moment(end))
        return {
            "hours_since": first,
            "hours_until": hours_end,
            "minutes_until": max(hours_end, minutes_end),
        }


def _attributes(row: Mapping[str, Any]) -> dict[str, str]:
    attributes: dict[str, str] = json.loads(row["attributes"])
    if row["service"]:
        attributes.setdefault("service", row["service"])
    return attributes


def most_series(aggregate: Aggregate | None, seconds: float) -> int:
    """Return how many series are read for an aggregate over so many seconds."""
    if aggregate not in QUANTILES:
        return MOST_SERIES
    return max(1, min(MOST_SERIES, int(MOST_MINUTES * MINUTE / seconds)))


def quantiles(minutes: Sequence[Mapping[str, Any]], column: Aggregate) -> list[Mapping[str, Any]]:
    """Return a quantile by series and step, under its name."""
    points = quantile_points(minutes, QUANTILES[column])
    return [{**point, column: point["value"]} for point in points]


def whole(start: float, step: float, tier: int) -> bool:
    """Say whether points of `step` from `start` on are whole periods of a tier."""
    return start % tier == 0 and step % tier == 0


class Question(NamedTuple):
    """What is asked in one statement: of which kind of series, which aggregate, for which."""

    kind: MetricKind
    column: Aggregate
    series: list[int]


def by_question(
    found: Mapping[int, Mapping[str, Any]], aggregate: Aggregate | None
) -> list[Question]:
    """Return what has to be asked for these series."""
    questions: dict[tuple[MetricKind, Aggregate], list[int]] = {}
    for number, row in found.items():
        kind: MetricKind = row["kind"]
        column = aggregate or ("sum" if kind == "counter" else "avg")
        if kind == "histogram" and column == "last":
            column = "avg"  # the last of many observations says nothing of them
        questions.setdefault((kind, column), []).append(number)
    return [Question(*key, series) for key, series in questions.items()]
