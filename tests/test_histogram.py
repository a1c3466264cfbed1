"""The latency histogram against sorted data: its promised error, its merging, its bounds."""

import math

import numpy as np
import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord import histogram
from monitord.histogram import BUCKETS, RELATIVE_ERROR, Histogram
from monitord.latency import stats


IN_RANGE_MS = st.floats(0.001, 3_600_000)
DURATIONS = st.lists(IN_RANGE_MS, min_size=1, max_size=300)
QUANTILE = st.floats(0.0, 1.0)


def nearest_rank(values: list[float], q: float) -> float:
    """Return percentile_disc by its definition."""
    return sorted(values)[max(1, math.ceil(q * len(values) - 1e-9 * len(values))) - 1]


@settings(max_examples=300, deadline=None)
@given(DURATIONS, QUANTILE)
def test_quantile_is_within_the_promised_error_of_the_nearest_rank(
    values: list[float], q: float
) -> None:
    """
    A quantile differs from the exact nearest-rank value by at most 0.55 %.
    """
    answer = Histogram.of(values).quantile(q)

    exact = nearest_rank(values, q)
    assert answer is not None
    assert abs(answer - exact) <= RELATIVE_ERROR * exact


@settings(max_examples=100, deadline=None)
@given(DURATIONS, DURATIONS)
def test_merging_equals_counting_together(left: list[float], right: list[float]) -> None:
    """
    Merging two histograms gives the histogram of both sets of durations.
    """
    merged = Histogram.of(left)
    merged.merge(Histogram.of(right))

    assert np.array_equal(merged.counts, Histogram.of(left + right).counts)


@settings(max_examples=300, deadline=None)
@given(IN_RANGE_MS)
def test_value_lies_between_the_bounds_of_its_bucket(value: float) -> None:
    """
    A duration lies in (lower bound, upper bound] of its bucket, but for rounding of the logarithm.
    """
    bucket = int(histogram.index([value])[0])

    assert value <= histogram.upper_bound_ms(bucket) * (1 + 1e-12)
    assert value > histogram.upper_bound_ms(bucket - 1) * (1 - 1e-12)


@settings(max_examples=100, deadline=None)
@given(DURATIONS)
def test_cells_carry_the_whole_histogram(values: list[float]) -> None:
    """
    The sparse form gives the dense one back, and holds no empty bucket.
    """
    before = Histogram.of(values)

    buckets, counts = before.cells()

    assert np.array_equal(Histogram.from_cells(buckets, counts).counts, before.counts)
    assert counts.min() > 0


@pytest.mark.parametrize(
    ("value", "bucket"),
    [
        (0.0, 0),
        (-1.0, 0),
        (0.0005, 0),
        (0.001, 0),
        (1.0, -1 - histogram.FIRST_INDEX),
        (2.0, 63 - histogram.FIRST_INDEX),
        (3_600_000, 1393 - histogram.FIRST_INDEX),
        (86_400_000, BUCKETS - 1),
    ],
)
def test_bucket_follows_the_specification(value: float, bucket: int) -> None:
    """
    Powers of two are the inclusive upper bounds; what is out of range counts at the end nearest.
    """
    assert histogram.index([value])[0] == bucket


@pytest.mark.parametrize(
    ("q", "total", "expected"), [(0.0, 5, 1), (0.95, 20, 19), (0.99, 100, 99), (1.0, 7, 7)]
)
def test_rank_does_not_grow_by_rounding(q: float, total: int, expected: int) -> None:
    """
    The rank is ceil(q n), at least the first and at most the last.
    """
    assert histogram.rank(q, total) == expected


def test_nothing_counted_has_no_quantile() -> None:
    """
    An empty histogram answers None, not zero.
    """
    assert Histogram().quantile(0.5) is None


def test_quantiles_never_exceed_the_maximum() -> None:
    """
    The exact maximum caps the quantiles, whose buckets may reach beyond it.
    """
    said = stats(
        Histogram.of([10.05]), errors=0, client_errors=0, sum_ms=10.05, max_ms=10.05, seconds=60
    )

    assert said.p99_ms is not None
    assert said.p99_ms <= 10.05
    assert said.per_second == pytest.approx(1 / 60)


def test_no_request_has_no_latency() -> None:
    """
    Without a request the counts are zero and every latency is unknown.
    """
    said = stats(Histogram(), errors=0, client_errors=0, sum_ms=0, max_ms=0, seconds=60)

    assert (said.count, said.avg_ms, said.p95_ms, said.max_ms) == (0, None, None, None)
