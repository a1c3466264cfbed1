"""Which rollups a window reads: every minute once, coarse inside, few rows."""

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.store import tiers
from monitord.store.tiers import DAY, HOUR, MINUTE, cover


MINUTES = st.integers(0, 100 * DAY // MINUTE).map(lambda n: n * MINUTE)


@settings(max_examples=200, deadline=None)
@given(MINUTES, MINUTES)
def test_spans_cover_the_window_once(one: int, other: int) -> None:
    """
    The spans lie end to end from the first minute to the last, on borders of their own tier.
    """
    first, last = min(one, other), max(one, other)

    spans = cover(first, last)

    edges = [first, *(edge for span in spans for edge in (span.first, span.last)), last]
    assert edges[0::2] == edges[1::2]
    assert all(span.first % span.tier == span.last % span.tier == 0 for span in spans)


@settings(max_examples=200, deadline=None)
@given(MINUTES, MINUTES)
def test_few_rows_are_read(one: int, other: int) -> None:
    """
    At its edges a window reads at most 59 minutes and 23 hours a side; the rest is days.
    """
    spans = cover(min(one, other), max(one, other))

    rows = {
        tier: sum((s.last - s.first) // tier for s in spans if s.tier == tier)
        for tier in tiers.TIERS
    }
    assert rows[MINUTE] <= 2 * 59
    assert rows[HOUR] <= 2 * 23


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (1000.5, 1100, (960, 1140)),
        (5 * DAY + 61, 5 * DAY + HOUR, (5 * DAY + MINUTE, 5 * DAY + HOUR)),
        (5 * DAY + 61, 9 * DAY + 61, (5 * DAY, 9 * DAY + HOUR)),
    ],
)
def test_window_is_rounded_outwards(start: float, end: float, expected: tuple[int, int]) -> None:
    """
    A short window is widened to minutes, one above two days to hours.
    """
    assert tiers.window(start, end, minutes_since=0, hours_since=0) == expected


def test_window_is_rounded_to_what_is_still_kept() -> None:
    """
    Where minutes or hours are gone, the window is widened to the hours or days that are there.
    """
    start = 50 * DAY + 61

    assert tiers.window(start, start + 60, 60 * DAY, 0) == (50 * DAY, 50 * DAY + HOUR)
    assert tiers.window(start, start + 60, 60 * DAY, 60 * DAY) == (50 * DAY, 51 * DAY)


@pytest.mark.parametrize(
    ("seconds", "step"),
    [
        (15 * 60, 60),
        (HOUR, 60),
        (6 * HOUR, 60),
        (DAY, 120),
        (7 * DAY, HOUR),
        (30 * DAY, HOUR),
        (400 * DAY, DAY),
    ],
)
def test_step_keeps_points_and_rows_few(seconds: float, step: int) -> None:
    """
    A range is drawn in at most 720 points made of at most 2,000 rows.
    """
    assert tiers.step_for(seconds) == step
