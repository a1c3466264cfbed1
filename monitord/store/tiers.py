"""The three lengths of rollups, and which of them to read for a window. Arithmetic alone."""

from __future__ import annotations

from typing import NamedTuple


MINUTE, HOUR, DAY = 60, 3_600, 86_400

# Coarsest first: the order in which a window is covered.
TIERS = (DAY, HOUR, MINUTE)

# The edges of a longer window are rounded to the hour: a minute more or less does not show.
ROUND_TO_HOUR = 2 * DAY


class Span(NamedTuple):
    """Rollups of one tier whose start lies in [first, last), Unix seconds."""

    tier: int
    first: int
    last: int


def floor(at: float, step: int) -> int:
    """Return the last multiple of `step` that is not after `at`."""
    return int(at // step) * step


def ceiling(at: float, step: int) -> int:
    """Return the first multiple of `step` that is not before `at`."""
    return -floor(-at, step)


def window(start: float, end: float, minutes_since: float, hours_since: float) -> tuple[int, int]:
    """
    Return the window in whole minutes, hours or days that holds [start, end).

    Minutes and hours are kept for a while only; *minutes_since* and *hours_since* say since when.
    """
    step = MINUTE
    if start < minutes_since or end - start > ROUND_TO_HOUR:
        step = DAY if start < hours_since else HOUR
    return floor(start, step), ceiling(end, step)


def cover(first: int, last: int, tiers: tuple[int, ...] = TIERS) -> list[Span]:
    """Return spans that cover [first, last) once: coarse ones inside, finer ones at its edges."""
    if last <= first:
        return []
    tier, finer = tiers[0], tiers[1:]
    left, right = ceiling(first, tier), floor(last, tier)
    if not finer:
        return [Span(tier, first, last)]
    if left >= right:
        return cover(first, last, finer)
    return [*cover(first, left, finer), Span(tier, left, right), *cover(right, last, finer)]


def tier_for(step: int) -> int:
    """Return the coarsest tier that divides a step, minutes for one below a minute."""
    return next((tier for tier in TIERS if step % tier == 0), MINUTE)


def step_for(seconds: float, most: int = 720) -> int:
    """Return a round step that gives a window of so many seconds at most `most` points."""
    for step in STEPS:
        if seconds <= step * most and seconds / tier_for(step) <= MOST_ROWS:
            return step
    return ceiling(seconds / most, DAY)


STEPS = (60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400)

# A point of 15 minutes is made of 15 rows; beyond so many rows a coarser tier answers sooner.
MOST_ROWS = 2_000
