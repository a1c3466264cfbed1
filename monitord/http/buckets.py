"""A time axis in at most 720 equal steps, on round borders: no refresh shifts the points."""

from __future__ import annotations

import math

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from msgspec import Struct


T = TypeVar("T")

POINTS_LIMIT = 720

# Steps in seconds, each a round figure on a time axis.
STEPS = (
    10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1_200, 1_800,
    3_600, 7_200, 10_800, 14_400, 21_600, 43_200, 86_400,
)  # fmt: skip


class Buckets(Struct, frozen=True):
    """`count` steps of `step` seconds from `start` (Unix seconds, a multiple of the step)."""

    start: float
    step: float
    count: int

    @property
    def end(self) -> float:
        return self.start + self.step * self.count

    @property
    def times(self) -> list[float]:
        return [self.start + self.step * i for i in range(self.count)]


def cut(start: float, end: float, at_least: float) -> Buckets:
    """
    Return the buckets of a stretch that ends in the one under way.

    A step is no shorter than `at_least` seconds. The left edge may move in by part of a step.
    """
    seconds = end - start
    needed = max(at_least, seconds / POINTS_LIMIT)
    step = next((step for step in STEPS if step >= needed), STEPS[-1])
    count = min(POINTS_LIMIT, math.ceil(seconds / step))
    last = math.ceil(end / step) * step
    return Buckets(float(last - step * count), float(step), count)


def collect(
    points: Iterable[tuple[float, T]],
    buckets: Buckets,
    aggregate: Callable[[Sequence[T]], float],
) -> list[float | None]:
    """Return the aggregate of the points (time, value) of each bucket; None where there is none."""
    held: list[list[T]] = [[] for _ in range(buckets.count)]
    for at, value in points:
        place = math.floor((at - buckets.start) / buckets.step)
        if 0 <= place < buckets.count:
            held[place].append(value)
    return [aggregate(values) if values else None for values in held]


def less(left: Sequence[float | None], right: Sequence[float | None]) -> list[float | None]:
    """Return left minus right per bucket; None where either is unknown."""
    pairs = zip(left, right, strict=True)
    return [None if a is None or b is None else a - b for a, b in pairs]


def divided(
    values: Sequence[float | None], by: Sequence[float | None], scale: float
) -> list[float | None]:
    """Return value / by * scale per bucket; None where either is unknown, or nothing to share."""
    pairs = zip(values, by, strict=True)
    return [None if a is None or not b else a / b * scale for a, b in pairs]
