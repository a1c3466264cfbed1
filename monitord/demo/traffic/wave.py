"""How busy the shop is: a day of a few minutes with its night, lunch dip and evening peak."""

from __future__ import annotations

import math
import random

from collections.abc import Iterator


DAY_SECONDS = 480.0

# The daily curve as a Fourier series: the first term is day and night, the second the two peaks.
DAY_AND_NIGHT = 0.45
TWO_PEAKS = 0.22


def share(at: float, day_seconds: float = DAY_SECONDS) -> float:
    """
    Return the rate at Unix time *at* as a share of the daily mean; between 0.3 and 1.7, mean 1.
    """
    angle = 2 * math.pi * (at % day_seconds) / day_seconds
    return 1 - DAY_AND_NIGHT * math.cos(angle) - TWO_PEAKS * math.sin(2 * angle + 0.6)


def arrivals(start: float, mean_per_second: float) -> Iterator[float]:
    """
    Yield the times of a Poisson process that follows the day, from Unix time *start* on.
    """
    at = start
    while True:
        at += random.expovariate(mean_per_second * share(at))
        yield at
