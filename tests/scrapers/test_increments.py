"""Lifetime counters as increments."""

import pytest

from monitord.scrapers.increments import CounterGroups, Counters, Totals


def test_first_reading_has_nothing_to_compare():
    """
    A lifetime total is never given out as an increment.
    """
    assert Counters().advance(Totals({"hits": 1e9}), 1.0) is None


def test_increments_and_seconds():
    """
    An interval holds what was added and how long it took.
    """
    counters = Counters()
    counters.advance(Totals({"hits": 100.0, "misses": 7.0}), 10.0)

    interval = counters.advance(Totals({"hits": 130.0, "misses": 7.0}), 15.0)

    assert interval is not None
    assert interval.seconds == 5.0
    assert interval.added == {"hits": 30.0, "misses": 0.0}


@pytest.mark.parametrize(
    "after",
    [
        Totals({"hits": 99.0, "misses": 900.0}, owner="run"),
        Totals({"hits": 500.0, "misses": 500.0}, owner="another run"),
    ],
)
def test_reset_is_a_gap_in_all_of_them(after: Totals):
    """
    One counter that went back, or another owner, voids the interval; the next one is whole again.
    """
    counters = Counters()
    counters.advance(Totals({"hits": 100.0, "misses": 100.0}, owner="run"), 1.0)

    assert counters.advance(after, 2.0) is None

    later = Totals({name: value + 1 for name, value in after.values.items()}, owner=after.owner)
    interval = counters.advance(later, 3.0)
    assert interval is not None
    assert interval.added == {"hits": 1.0, "misses": 1.0}


def test_no_time_no_interval():
    """
    Two readings at the same instant give no rate to divide by.
    """
    counters = Counters()
    counters.advance(Totals({"hits": 1.0}), 5.0)

    assert counters.advance(Totals({"hits": 2.0}), 5.0) is None


def test_a_counter_that_is_new_is_left_out():
    """
    A counter that was not there before has no increment yet; the others have.
    """
    counters = Counters()
    counters.advance(Totals({"hits": 1.0}), 1.0)

    interval = counters.advance(Totals({"hits": 2.0, "evicted": 50.0}), 2.0)

    assert interval is not None
    assert interval.added == {"hits": 1.0}


def test_groups_are_reset_by_themselves():
    """
    One disk that comes back anew is a gap for that one alone.
    """
    groups = CounterGroups()
    groups.advance({"sda": Totals({"read": 10.0}), "sdb": Totals({"read": 10.0})}, 1.0)

    second = groups.advance({"sda": Totals({"read": 15.0}), "sdb": Totals({"read": 1.0})}, 2.0)
    groups.advance({"sda": Totals({"read": 16.0})}, 3.0)
    fourth = groups.advance({"sda": Totals({"read": 18.0}), "sdb": Totals({"read": 5.0})}, 4.0)

    assert {name: interval.added for name, interval in second.items()} == {"sda": {"read": 5.0}}
    assert {name: interval.added for name, interval in fourth.items()} == {"sda": {"read": 2.0}}
