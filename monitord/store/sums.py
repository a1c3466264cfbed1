"""
The sums over requests that pages read instead of rows: built from columns, merged by adding.

Pure arithmetic. A rollup says the same as the rows it was built from, in any order and grouping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy.typing import NDArray

from monitord import histogram
from monitord.histogram import Histogram
from monitord.latency import QUANTILES as RANKS
from monitord.store import cells


Ints = NDArray[np.int64]

# An endpoint and a second number in one sortable key: 11 bits for a bucket, 10 for a status.
BUCKET_BITS = 11
STATUS_BITS = 10


@dataclass(frozen=True, slots=True)
class Tallies:
    """Per endpoint, ascending: how many, how many failed and whose fault, how long in us."""

    endpoint: Ints
    count: Ints
    errors: Ints
    client_errors: Ints
    sum_us: Ints
    max_us: Ints


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts by key, keys ascending and unique."""

    key: Ints
    count: Ints


@dataclass(frozen=True, slots=True)
class Rollup:
    """The requests of some span of time, summed up. `cells` is keyed by endpoint and bucket."""

    tallies: Tallies
    statuses: Counts
    cells: Counts

    @property
    def total(self) -> Histogram:
        """The latency histogram over all endpoints."""
        return Histogram.from_cells(self.cells.key & (histogram.BUCKETS - 1), self.cells.count)


def build(endpoint: Ints, status: Ints, failed: NDArray[np.bool_], duration_us: Ints) -> Rollup:
    """
    Sum up requests given as columns; `failed` marks those that raised an exception.

    An error is a failed request or a status of 500 and above; a client error is any other one of
    400 and above, so that none counts twice.
    """
    errors = failed | (status >= 500)
    client_errors = (status >= 400) & ~errors
    bucket = histogram.index(duration_us / 1000.0)
    ones = np.ones(len(endpoint), np.int64)
    return Rollup(
        add_tallies(
            Tallies(
                endpoint,
                ones,
                errors.astype(np.int64),
                client_errors.astype(np.int64),
                duration_us,
                duration_us,
            )
        ),
        add_counts(Counts((endpoint << STATUS_BITS) | status, ones)),
        add_counts(Counts((endpoint << BUCKET_BITS) | bucket, ones)),
    )


def merge(rollups: Sequence[Rollup]) -> Rollup:
    """Return the sum of one or more rollups."""
    if len(rollups) == 1:
        return rollups[0]
    tallies = [one.tallies for one in rollups]
    return Rollup(
        add_tallies(
            Tallies(*(np.concatenate([getattr(one, name) for one in tallies]) for name in FIELDS))
        ),
        add_counts(joined([one.statuses for one in rollups])),
        add_counts(joined([one.cells for one in rollups])),
    )


FIELDS = ("endpoint", "count", "errors", "client_errors", "sum_us", "max_us")


def joined(counts: Sequence[Counts]) -> Counts:
    return Counts(
        np.concatenate([one.key for one in counts]), np.concatenate([one.count for one in counts])
    )


def groups(keys: Ints) -> tuple[Ints, Ints]:
    """Return the order that sorts the keys, and where in it each distinct key begins."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return order, starts


def add_counts(counts: Counts) -> Counts:
    """Return counts with one entry a key."""
    if not len(counts.key):
        return counts
    order, starts = groups(counts.key)
    return Counts(counts.key[order][starts], np.add.reduceat(counts.count[order], starts))


def add_tallies(tallies: Tallies) -> Tallies:
    """Return tallies with one entry an endpoint."""
    if not len(tallies.endpoint):
        return tallies
    order, starts = groups(tallies.endpoint)

    def added(column: Ints) -> Ints:
        return np.add.reduceat(column[order], starts)

    return Tallies(
        endpoint=tallies.endpoint[order][starts],
        count=added(tallies.count),
        errors=added(tallies.errors),
        client_errors=added(tallies.client_errors),
        sum_us=added(tallies.sum_us),
        max_us=np.maximum.reduceat(tallies.max_us[order], starts),
    )


def quantiles_ms(rollup: Rollup) -> list[NDArray[np.float64]]:
    """Return each endpoint's p50, p95 and p99 in ms, capped by its exact maximum."""
    tallies = rollup.tallies
    return ranked_ms(rollup.cells, tallies.endpoint, tallies.count, tallies.max_us)


def ranked_ms(
    cells_of: Counts, groups_of: Ints, count: Ints, max_us: Ints
) -> list[NDArray[np.float64]]:
    """
    Return the p50, p95 and p99 in ms of several groups of cells, capped by each group's maximum.

    The cells are keyed by group and bucket; `groups_of` are ascending, none is without cells.
    """
    running = np.cumsum(cells_of.count)
    first = np.searchsorted(cells_of.key >> BUCKET_BITS, groups_of)
    before = np.where(first > 0, running[first - 1], 0)
    values = histogram.values_ms()
    found = []
    for q in RANKS:
        rank = np.clip(np.ceil(q * count - 1e-9 * count), 1, count).astype(np.int64)
        place = np.searchsorted(running, before + rank)
        bucket = cells_of.key[place] & (histogram.BUCKETS - 1)
        found.append(np.minimum(values[bucket], max_us / 1000.0))
    return found


def to_row(rollup: Rollup, *, with_quantiles: bool) -> dict[str, Any]:
    """Return the columns of a rollup or a delta as the database has them; its key is not ours."""
    tallies = rollup.tallies
    row = {
        "count": int(tallies.count.sum()),
        "errors": int(tallies.errors.sum()),
        "client_errors": int(tallies.client_errors.sum()),
        "sum_us": int(tallies.sum_us.sum()),
        "max_us": int(tallies.max_us.max(initial=0)),
        "total_cells": cells.pack(cells.TOTAL_CELLS, rollup.total.cells()),
        "tallies": cells.pack(cells.TALLIES, [getattr(tallies, name) for name in FIELDS]),
        "statuses": packed_counts(cells.STATUSES, rollup.statuses, STATUS_BITS),
        "cells": packed_counts(cells.CELLS, rollup.cells, BUCKET_BITS),
    }
    if with_quantiles:
        row["quantiles"] = cells.pack(cells.QUANTILES, quantiles_ms(rollup))
    return row


def of_row(row: Mapping[str, Any]) -> Rollup:
    """
    Return the rollup of a row or delta.

    Raises ValueError: a packed column is not what it should be.
    """
    tallies = [each.astype(np.int64) for each in cells.unpack(cells.TALLIES, row["tallies"])]
    return Rollup(
        Tallies(*tallies),
        unpacked_counts(cells.STATUSES, row["statuses"], STATUS_BITS),
        unpacked_counts(cells.CELLS, row["cells"], BUCKET_BITS),
    )


def packed_counts(layout: cells.Layout, counts: Counts, bits: int) -> bytes:
    low = counts.key & ((1 << bits) - 1)
    return cells.pack(layout, (counts.key >> bits, low, counts.count))


def unpacked_counts(layout: cells.Layout, packed: bytes, bits: int) -> Counts:
    high, low, count = cells.unpack(layout, packed)
    return Counts((high.astype(np.int64) << bits) | low, count.astype(np.int64))
