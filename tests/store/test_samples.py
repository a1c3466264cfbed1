"""Samples put together before they are written, and pushed histograms, without a database."""

import itertools
import math

import numpy as np
import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.histogram import RELATIVE_ERROR
from monitord.model import Distribution, Metric
from monitord.store import cells, samples
from monitord.store.samples import MINUTE_US, by_minute, observations_of, observed


FINITE = st.floats(-1e100, 1e100).filter(lambda value: value == 0 or abs(value) > 1e-100)
VALUES = st.lists(FINITE, min_size=1, max_size=100)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.floats(0, 1))
def test_quantile_of_any_values(values: list[float], q: float) -> None:
    """
    Quantiles of positive, negative and zero values are at most 0.55 % from the nearest rank.
    """
    exact = sorted(values)[max(1, math.ceil(q * len(values) - 1e-9 * len(values))) - 1]

    answer = observed(np.array(values)).quantile(q)

    assert abs(answer - exact) <= RELATIVE_ERROR * abs(exact)


@settings(max_examples=100, deadline=None)
@given(VALUES, VALUES)
def test_merging_equals_observing_together(left: list[float], right: list[float]) -> None:
    """
    Merged histograms have the cells, count and bounds of all observations together.
    """
    merged = observed(np.array(left)).merge(observed(np.array(right)))
    together = observed(np.array(left + right))

    assert (merged.count, merged.min, merged.max) == (together.count, together.min, together.max)
    assert merged.sum == pytest.approx(together.sum, rel=1e-9, abs=1e90)
    assert np.array_equal(merged.key, together.key)
    assert np.array_equal(merged.counts, together.counts)


def distribution_of(values: list[float]) -> Distribution:
    """What a sender would tell of some observations."""
    one = observed(np.array(values))
    buckets = dict(zip(one.key.tolist(), one.counts.tolist(), strict=True))
    return Distribution(one.count, one.sum, one.min, one.max, buckets)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.integers(1, 100), st.integers(1, 100))
def test_distributions_equal_their_observations(values: list[float], cut: int, other: int) -> None:
    """
    Observations told one by one, or put together by their sender in any grouping, are stored alike.
    """
    cuts = sorted({0, min(cut, len(values)), min(other, len(values)), len(values)})
    pairs = itertools.pairwise(cuts)
    parts = [values[first:last] for first, last in pairs if last > first]
    told = [
        Metric(60.0, "n", part[0], kind="histogram", distribution=distribution_of(part))
        for part in parts[1:]
    ]
    alone = [Metric(60.0, "n", value, kind="histogram") for value in parts[0]]

    [found] = by_minute(samples.columns(told + alone, [1] * (len(told) + len(alone)))).values()

    expected = observed(np.array(values))
    assert (found.count, found.min, found.max) == (expected.count, expected.min, expected.max)
    assert np.array_equal(found.key, expected.key)
    assert np.array_equal(found.counts, expected.counts)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_stored_histogram_is_read_as_it_was(values: list[float]) -> None:
    """
    A histogram comes back from its row with every cell.
    """
    before = observed(np.array(values))
    row = {"count": before.count, "sum": before.sum, "min": before.min, "max": before.max}

    after = observations_of(row | {"cells": before.packed()})

    assert np.array_equal(after.key, before.key)
    assert np.array_equal(after.counts, before.counts)


def test_samples_of_one_moment_are_one_row() -> None:
    """
    Gauges keep the last of a series and microsecond in order of arrival, counters the sum.
    """
    metrics = [Metric(at, "m", value) for at, value in ((2, 1), (1, 2), (2, 3), (1, 4), (1, 5))]
    columns = samples.columns(metrics, [7, 7, 7, 7, 8])

    last, total = samples.last_values(columns), samples.summed(columns)

    assert last.series_id.tolist() == total.series_id.tolist() == [7, 7, 8]
    assert last.value.tolist() == [4, 3, 5]
    assert total.value.tolist() == [6, 4, 5]


def test_observations_are_grouped_by_minute() -> None:
    """
    Observations on both sides of a minute's edge, and of two series, are different histograms.
    """
    metrics = [Metric(at, "m", 1.0, kind="histogram") for at in (59.999999, 60, 61, 60)]

    found = samples.by_minute(samples.columns(metrics, [1, 1, 1, 2]))

    counts = {
        (series, at % (60 * MINUTE_US) // MINUTE_US): one.count
        for (series, at), one in found.items()
    }
    assert counts == {(1, 0): 1, (1, 1): 2, (2, 1): 1}


@pytest.mark.parametrize("layout", [cells.CELLS, cells.TALLIES, cells.QUANTILES])
@pytest.mark.parametrize("count", [0, 1, 1_000])
def test_packed_columns_come_back(layout: cells.Layout, count: int) -> None:
    """
    Columns of any length are read as they were packed.
    """
    columns = [np.arange(count) + place for place in range(len(layout))]

    found = cells.unpack(layout, cells.pack(layout, columns))

    assert [each.tolist() for each in found] == [each.tolist() for each in columns]


@pytest.mark.parametrize("packed", [b"", b"no zstd", cells.pack(("<u1",), [np.arange(5)])])
def test_foreign_bytes_are_refused(packed: bytes) -> None:
    """
    Bytes that are not of the layout raise the one error callers know.
    """
    with pytest.raises(ValueError, match="packed column"):
        cells.unpack(cells.CELLS, packed)
