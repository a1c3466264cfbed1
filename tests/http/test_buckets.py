"""Time axes."""

import pytest

from monitord.http.buckets import POINTS_LIMIT, collect, cut, less
from monitord.http.parameters import RANGES


NOW = 1_795_459_207.3


@pytest.mark.parametrize("seconds", [60.0, *RANGES.values(), 400 * 86_400.0])
@pytest.mark.parametrize("at_least", [0.0, 15.0, 90.0])
def test_cut(seconds: float, at_least: float) -> None:
    """
    A range has at most 720 points on round borders, none shorter than asked; now is in the last.
    """
    buckets = cut(NOW - seconds, NOW, at_least)

    assert 1 <= buckets.count <= POINTS_LIMIT
    assert buckets.step >= at_least
    assert buckets.start % buckets.step == 0
    assert buckets.end - buckets.step <= NOW <= buckets.end
    assert buckets.times[0] == buckets.start
    assert len(buckets.times) == buckets.count


def test_a_refresh_shifts_no_point() -> None:
    """
    Two looks within one step have the same points.
    """
    assert cut(NOW - 3_600, NOW, 15) == cut(NOW - 3_598, NOW + 2, 15)


def test_a_month_has_its_720_hours() -> None:
    """
    Thirty days are cut into hours, although their borders do not meet the edges.
    """
    buckets = cut(NOW - 30 * 86_400, NOW, 15)

    assert (buckets.step, buckets.count) == (3_600, 720)


def test_collect() -> None:
    """
    Points are aggregated per bucket; one without a point is a gap, and strays are left out.
    """
    buckets = cut(1_000.0, 1_040.0, 10)

    values = collect([(999, 9), (1_000, 1), (1_009.9, 3), (1_030, 5), (1_041, 9)], buckets, max)

    assert values == [3, None, None, 5]


def test_less() -> None:
    """
    A difference with something unknown is unknown.
    """
    assert less([5, None, 5], [2, 2, None]) == [3, None, None]
