"""
Lifetime counters of a target, turned into what was added since the scrape before.

A counter that went back, or whose owner is another (a restart, a reset), gives a gap: what was
added in that interval cannot be known, and a guess would be wrong by any amount.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from msgspec import Struct


class Interval(Struct, frozen=True):
    """What was added, by counter, within so many seconds (never 0)."""

    seconds: float
    added: Mapping[str, float]


class Totals(Struct, frozen=True):
    """
    Lifetime counters of one thing that are reset together.

    `owner` is whatever changes when they are: a run id, the time of the last reset.
    """

    values: Mapping[str, float]
    owner: Hashable = None


class Counters:
    """Remembers the totals of the scrape before."""

    def __init__(self) -> None:
        self._totals: Totals | None = None
        self._at = 0.0

    def advance(self, totals: Totals, at: float) -> Interval | None:
        """
        Take the totals read at `at` (monotonic seconds); return what was added since the last.

        None at first, and after a reset. A counter that was not there before is left out.
        """
        before, since = self._totals, self._at
        self._totals, self._at = totals, at
        if before is None or before.owner != totals.owner or at <= since:
            return None
        added = {
            name: value - before.values[name]
            for name, value in totals.values.items()
            if name in before.values
        }
        if any(value < 0 for value in added.values()):
            return None
        return Interval(at - since, added)


class CounterGroups:
    """Counters of many things, each reset by itself: disks, interfaces, databases."""

    def __init__(self) -> None:
        self._groups: dict[str, Counters] = {}

    def advance(self, groups: Mapping[str, Totals], at: float) -> dict[str, Interval]:
        """
        Take the totals of every group that is there now; return the intervals of those known.

        What is not there any more is forgotten: should it come back, it starts anew.
        """
        self._groups = {key: self._groups.get(key) or Counters() for key in groups}
        intervals = {key: self._groups[key].advance(totals, at) for key, totals in groups.items()}
        return {key: interval for key, interval in intervals.items() if interval is not None}
