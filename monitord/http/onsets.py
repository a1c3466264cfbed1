"""
Since when a figure of the requests is beyond its limits, found in memory.

What has been found is kept while it lasts: memory forgets after six hours, an incident may last
longer.
"""

from __future__ import annotations

import math

from collections.abc import Callable

from msgspec import Struct

from monitord.http.kpis import Limits, judged
from monitord.http.values import VALUES, RequestValue
from monitord.intake.traffic import (
    MINUTE_SECONDS,
    RECENT_SECONDS,
    SLOT_SECONDS,
    SPAN_SECONDS,
)
from monitord.intake.window import Window
from monitord.latency import RequestStats


STATS_LIMIT = 1_024

# The name of a value, the seconds it looks back, and its limits.
Judged = tuple[str, float, Limits]


class _Run(Struct, frozen=True):
    """A value was bad from `since` (None: from before memory) until `until`, without a break."""

    since: float | None
    until: float


class Onsets:
    """
    Follows the figures of the requests from slot to slot.

    The first question walks back as far as memory reaches; the next ones only to the last answer.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._runs: dict[Judged, _Run] = {}
        self._stats: dict[tuple[float, float], RequestStats | None] = {}

    def since(self, key: Judged, now: float) -> float | None:
        """
        Return when the value that is bad now was first seen to be; None if before memory begins.

        That is the end of the first slot (ten seconds, a minute of what is older than a quarter of
        an hour) with which it was beyond its limits, so the answer is never before the requests
        that made it bad.
        """
        name, seconds, limits = key
        value = VALUES[name]
        assert isinstance(value, RequestValue)

        def bad(end: float) -> bool:
            stats = self._until(end, seconds)
            return stats is not None and judged(value, limits, stats) in ("warning", "critical")

        newest = (now // SLOT_SECONDS + 1) * SLOT_SECONDS
        since = self._walk(key, newest, bad)
        if since is not None:
            since = min(since, now)
        self._runs[key] = _Run(since, newest - SLOT_SECONDS)
        return since

    def _walk(self, key: Judged, newest: float, bad: Callable[[float], bool]) -> float | None:
        run = self._runs.get(key)
        length = _length(key[1])
        finely = newest - RECENT_SECONDS + length
        edge = newest - SPAN_SECONDS + length
        begun = newest
        while (end := _slot_before(begun, finely)) >= edge:
            if run is not None and end <= run.until:
                return run.since
            if not bad(end):
                return begun
            begun = end
        return None

    def _until(self, end: float, seconds: float) -> RequestStats | None:
        """Return what the window that ends with a slot held; a slot that is over changes little."""
        key = (end, seconds)
        if key not in self._stats:
            if len(self._stats) >= STATS_LIMIT:
                self._stats.clear()
            length = _length(seconds)
            (self._stats[key],) = self._window.request_points(end - length, length, 1)
        return self._stats[key]


def _slot_before(end: float, finely: float) -> float:
    """Return where the slot before ends: before `finely` memory knows whole minutes alone."""
    before = end - SLOT_SECONDS
    return before if before >= finely else before // MINUTE_SECONDS * MINUTE_SECONDS


def _length(seconds: float) -> float:
    """Return how long a window of so many seconds is in whole slots, as memory counts it."""
    return float((math.ceil(seconds / SLOT_SECONDS) + 1) * SLOT_SECONDS)
