"""
The latency histogram: OpenTelemetry's base-2 exponential one, scale 6, over milliseconds.

Bucket `i` of the specification holds the values in (2^(i/64), 2^((i+1)/64)], 64 to an octave, so a
bucket's representative is at most 0.55 % from any value in it. Histograms merge by adding counts.
Here a histogram is a dense row of BUCKETS counts, from 1 us to a little over 1 h; what lies outside
is counted in the first or last bucket.

https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponential-scale
"""

from __future__ import annotations

import math

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from numpy.typing import ArrayLike, NDArray


Counts: TypeAlias = NDArray[np.int64]

SCALE = 6
PER_OCTAVE = 2**SCALE
BASE: float = math.pow(2.0, 1 / PER_OCTAVE)
BUCKETS = 2048

# The specification's index of the dense row's first bucket: the one that holds 1 us.
FIRST_INDEX = -638

# Above every index of a double (±68,800), so that a key's sign is its value's and zero is zero.
ZERO_TO_FIRST = 1 << 20

# Half a bucket's width against its middle is 0.5415 %; the rest is for rounding of the logarithm.
RELATIVE_ERROR = 0.0055


def index(ms: ArrayLike) -> NDArray[np.int64]:
    """
    Return the bucket of each duration in ms, as a place in the dense row.

    The upper bound belongs to the bucket: index = ceil(64 log2 v) - 1, as specified. Zero and
    negative durations count in the first bucket, durations above the last bound in the last one.
    """
    values = np.maximum(np.asarray(ms, dtype=np.float64), 1e-9)
    dense: NDArray[np.int64] = np.clip(exponent_index(values) - FIRST_INDEX, 0, BUCKETS - 1)
    return dense


def exponent_index(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the specification's own bucket index of each value; all must be above zero."""
    indexes: NDArray[np.int64] = np.ceil(np.log2(values) * PER_OCTAVE).astype(np.int64) - 1
    return indexes


def exponent_value(indexes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the representative, 2LU/(L+U), of buckets by the specification's index."""
    values: NDArray[np.float64] = np.exp2((indexes + 1) / PER_OCTAVE) * (2.0 / (1.0 + BASE))
    return values


def signed_index(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return sortable bucket keys: positive above 0, negative below, zero itself 0."""
    size = np.abs(values)
    index = exponent_index(np.where(size > 0, size, 1.0)) + ZERO_TO_FIRST
    return np.sign(values).astype(np.int64) * np.where(size > 0, index, 0)


def signed_value(keys: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the representative value of each bucket key."""
    value = exponent_value(np.abs(keys) - ZERO_TO_FIRST)
    return np.where(keys == 0, 0.0, np.sign(keys) * value)


def upper_bound_ms(bucket: int) -> float:
    """Return the largest duration in ms that counts in this bucket of the dense row."""
    return math.pow(2.0, (bucket + FIRST_INDEX + 1) / PER_OCTAVE)


def value_ms(bucket: int) -> float:
    """Return the bucket's representative in ms: 2LU/(L+U), in ratio as far from L as from U."""
    return upper_bound_ms(bucket) * 2.0 / (1.0 + BASE)


def values_ms() -> NDArray[np.float64]:
    """Return the representative in ms of every bucket of the dense row."""
    return exponent_value(np.arange(BUCKETS) + FIRST_INDEX)


class Histogram:
    """
    Counts of durations, mergeable, with quantiles by nearest rank.

    `counts` is a dense row of BUCKETS numbers and belongs to this object.
    """

    __slots__ = ("counts",)

    def __init__(self, counts: Counts | None = None) -> None:
        self.counts: Counts = np.zeros(BUCKETS, np.int64) if counts is None else counts

    @classmethod
    def of(cls, ms: ArrayLike) -> Histogram:
        """Return the histogram of these durations in ms."""
        return cls(np.bincount(index(ms), minlength=BUCKETS).astype(np.int64, copy=False))

    @classmethod
    def from_cells(cls, buckets: NDArray[Any], counts: NDArray[Any]) -> Histogram:
        """Return the histogram with these counts in these buckets; a bucket may come twice."""
        dense = np.zeros(BUCKETS, np.int64)
        np.add.at(dense, buckets, counts.astype(np.int64, copy=False))
        return cls(dense)

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    def add(self, ms: ArrayLike) -> None:
        """Count these durations in ms too."""
        self.counts += np.bincount(index(ms), minlength=BUCKETS)

    def merge(self, other: Histogram) -> None:
        """Count everything the other one has counted too."""
        self.counts += other.counts

    def cells(self) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
        """Return the buckets that hold anything, ascending, and their counts."""
        filled = np.flatnonzero(self.counts)
        return filled.astype(np.uint16), self.counts[filled].astype(np.uint32)

    def quantile(self, q: float) -> float | None:
        """
        Return the duration in ms of nearest rank, ceil(q n) (SQL's `percentile_disc`).

        None when nothing was counted. Within 1 us..1 h the answer is at most RELATIVE_ERROR from
        the true one.
        """
        return self.quantiles((q,))[0]

    def quantiles(self, qs: Sequence[float]) -> list[float | None]:
        """Return several quantiles in ms at the price of one; see `quantile`."""
        running = np.cumsum(self.counts)
        total = int(running[-1])
        if total == 0:
            return [None] * len(qs)
        return [value_ms(int(np.searchsorted(running, rank(q, total)))) for q in qs]


def rank(q: float, total: int) -> int:
    """Return the nearest rank of a quantile among `total` values, counted from 1."""
    # 0.95 * 20 is 19.000000000000004 in some spellings; a rank must not grow by rounding alone.
    return min(total, max(1, int(np.ceil(q * total - 1e-9 * total))))
