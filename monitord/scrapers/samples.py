"""
How a scraper writes down a number.

The target's name and the time are not known here: the schedule puts them on when the scrape is
done, so that all its samples carry the same ones.
"""

from __future__ import annotations

from monitord.model import Metric


def gauge(name: str, value: float, unit: str = "1", **attributes: str) -> Metric:
    """Return a value of now; `unit` as in UCUM (`By`, `s`, `ms`; 1 for counts and ratios)."""
    return Metric(0.0, name, float(value), unit=unit, attributes=attributes)


def counter(name: str, increment: float, unit: str = "1", **attributes: str) -> Metric:
    """Return what was added since the scrape before, never a lifetime total."""
    return Metric(0.0, name, float(increment), kind="counter", unit=unit, attributes=attributes)
