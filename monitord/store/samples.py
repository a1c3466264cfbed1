"""Metric samples as columns, with what lands on the same row put together first."""

from __future__ import annotations

import functools

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from numpy.typing import NDArray

from monitord.histogram import rank, signed_index, signed_value
from monitord.model import Distribution, Metric, MetricKind
from monitord.store import cells
from monitord.store.copying import to_us
from monitord.store.sums import Ints


KINDS: tuple[MetricKind, ...] = ("gauge", "counter", "histogram")
GAUGE, COUNTER, HISTOGRAM = range(3)

MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class SampleColumns:
    """
    Samples, one array a column. `kind` is a place in KINDS, `at_us` is PostgreSQL's.

    `place` is where in its drain each came. `distribution` is a Distribution or None.
    """

    series_id: Ints
    at_us: Ints
    value: NDArray[np.float64]
    distribution: NDArray[np.object_]
    kind: Ints
    valid: NDArray[np.bool_]
    place: Ints

    def __len__(self) -> int:
        return len(self.at_us)

    def take(self, rows: Any) -> SampleColumns:
        """Return some of the rows, by index or by flag."""
        return SampleColumns(*(getattr(self, name)[rows] for name in self.__slots__))


def columns(metrics: Sequence[Metric], series_ids: Sequence[int], first: int = 0) -> SampleColumns:
    """Return the columns of samples whose series have these numbers, from place `first` on."""
    n = len(metrics)
    seconds = np.fromiter((one.time for one in metrics), np.float64, n)
    value = np.fromiter((one.value for one in metrics), np.float64, n)
    distribution = np.empty(n, np.object_)
    distribution[:] = [one.distribution for one in metrics]
    return SampleColumns(
        distribution=distribution,
        series_id=np.fromiter(series_ids, np.int64, n),
        at_us=to_us(seconds),
        value=value,
        kind=np.fromiter((KINDS.index(one.kind) for one in metrics), np.int64, n),
        valid=np.isfinite(seconds) & np.isfinite(value),
        place=np.arange(first, first + n),
    )


def joined(parts: Sequence[SampleColumns]) -> SampleColumns:
    """Return the rows of all parts, in order."""
    names = SampleColumns.__slots__
    return SampleColumns(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def groups(samples: SampleColumns) -> tuple[Ints, Ints]:
    """Return the order by series, time and arrival, and where in it each (series, time) begins."""
    order = np.lexsort((samples.at_us, samples.series_id))
    series, at = samples.series_id[order], samples.at_us[order]
    new = (series[1:] != series[:-1]) | (at[1:] != at[:-1])
    return order, np.flatnonzero(np.concatenate(([True], new)))


def last_values(samples: SampleColumns) -> SampleColumns:
    """Return gauges with one sample a series and microsecond: the one that came last."""
    if not len(samples):
        return samples
    order, starts = groups(samples)
    return samples.take(order[np.append(starts[1:], len(order)) - 1])


def summed(samples: SampleColumns) -> SampleColumns:
    """Return counters with one sample a series and microsecond: the sum of the increments."""
    if not len(samples):
        return samples
    order, starts = groups(samples)
    kept = samples.take(order[starts])
    value = np.add.reduceat(samples.value[order], starts)
    return replace(kept, value=value)


@dataclass(frozen=True, slots=True)
class Observations:
    """
    A pushed histogram: the observations of one series in one minute. Mergeable.

    `key` is ascending with the value it stands for, so quantiles read along it.
    """

    count: int
    sum: float
    min: float
    max: float
    key: Ints
    counts: Ints

    def merge(self, other: Observations) -> Observations:
        """Return the observations of both."""
        key = np.concatenate((self.key, other.key))
        unique, place = np.unique(key, return_inverse=True)
        counts = np.zeros(len(unique), np.int64)
        np.add.at(counts, place, np.concatenate((self.counts, other.counts)))
        return Observations(
            self.count + other.count,
            self.sum + other.sum,
            min(self.min, other.min),
            max(self.max, other.max),
            unique,
            counts,
        )

    def quantile(self, q: float) -> float:
        """Return the value of nearest rank, at most 0.55 % from the true one."""
        place = int(np.searchsorted(np.cumsum(self.counts), rank(q, self.count)))
        value = float(signed_value(self.key[place : place + 1])[0])
        return min(max(value, self.min), self.max)

    def packed(self) -> bytes:
        return cells.pack(cells.VALUES, (self.key, self.counts))


def observed(values: NDArray[np.float64]) -> Observations:
    """Return the histogram of at least one value."""
    key, counts = np.unique(signed_index(values), return_counts=True)
    total, low, high = float(values.sum()), float(values.min()), float(values.max())
    return Observations(len(values), total, low, high, key, counts.astype(np.int64))


def observations_of(row: Mapping[str, Any]) -> Observations:
    """
    Return a stored histogram.

    Raises ValueError: its cells are not what they should be.
    """
    key, counts = cells.unpack(cells.VALUES, row["cells"])
    return Observations(
        row["count"],
        row["sum"],
        row["min"],
        row["max"],
        key.astype(np.int64),
        counts.astype(np.int64),
    )


def by_minute(samples: SampleColumns) -> dict[tuple[int, int], Observations]:
    """Return the histograms of observations by series and start of their minute."""
    minutes = samples.at_us - samples.at_us % MINUTE_US
    if not len(samples):
        return {}
    whole = replace(samples, at_us=minutes)
    order, starts = groups(whole)
    values = np.split(whole.value[order], starts[1:])
    distributions = np.split(whole.distribution[order], starts[1:])
    series, at = whole.series_id[order][starts].tolist(), minutes[order][starts].tolist()
    keys = zip(series, at, strict=True)
    return {
        key: observed_of(one, told)
        for key, one, told in zip(keys, values, distributions, strict=True)
    }


def observed_of(values: NDArray[np.float64], distributions: NDArray[np.object_]) -> Observations:
    """Return the histogram of some samples: observations, or many of them each."""
    single = np.fromiter((one is None for one in distributions), np.bool_, len(distributions))
    told = distributions[~single].tolist()
    parts = [observations_told(told)] if told else []
    if single.any():
        parts.append(observed(values[single]))
    return functools.reduce(Observations.merge, parts)


def observations_told(told: Sequence[Distribution]) -> Observations:
    """Return the observations of some distributions that came as such."""
    key = np.fromiter((key for one in told for key in one.buckets), np.int64)
    found = np.fromiter((count for one in told for count in one.buckets.values()), np.int64)
    unique, place = np.unique(key, return_inverse=True)
    counts = np.zeros(len(unique), np.int64)
    np.add.at(counts, place, found)
    return Observations(
        sum(one.count for one in told),
        sum(one.sum for one in told),
        min(one.min for one in told),
        max(one.max for one in told),
        unique,
        counts,
    )
