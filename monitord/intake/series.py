"""One series in memory: points of the last 15 minutes, and minutes of the last hours."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

from msgspec import Struct

from monitord.intake.minutes import MINUTE_SECONDS, Minutes
from monitord.model import Metric


AGE_SECONDS = 900.0
# Samples closer than this share a point: the newest gauge, the sum of a counter's increments.
POINT_SECONDS = 5.0
# How far ahead of now a point may be. What is scraped bears our own clock: more than this means
# that it was set back since. What is pushed may be as far ahead as events are taken.
SKEW_SECONDS = 2 * POINT_SECONDS
PUSHED_AHEAD_SECONDS = 600.0 + POINT_SECONDS


class Point(Struct, frozen=True):
    """A value at a time in Unix seconds."""

    at: float
    value: float


class Series:
    """One series: its attributes and its points, oldest first. `service` is "" when scraped."""

    __slots__ = ("attributes", "minutes", "points", "service")

    def __init__(self, service: str, attributes: dict[str, str]) -> None:
        self.service = service
        self.attributes = attributes
        self.points: deque[Point] = deque()
        self.minutes = Minutes()

    def add(self, metric: Metric, now: float, kept: float) -> None:
        """Take a sample of the last 15 minutes, where it belongs, be it late."""
        self._forget_points(now, kept)
        if not now - AGE_SECONDS < metric.time <= self._newest(now):
            return
        if self.minutes.add(metric.time, metric.value):
            self.minutes.keep(now - kept, self._newest(now))
        points, at = self.points, len(self.points)
        place = _place(metric.time)
        if points and place <= _place(points[-1].at):
            at = bisect_left(points, place, key=lambda point: _place(point.at))
        if at == len(points) or place < _place(points[at].at):
            points.insert(at, Point(metric.time, metric.value))
        elif metric.kind == "counter":
            shared = points[at]
            points[at] = Point(max(shared.at, metric.time), shared.value + metric.value)
        elif metric.time >= points[at].at:
            points[at] = Point(metric.time, metric.value)

    def forget(self, now: float, kept: float) -> None:
        """
        Drop what is too old, and what a clock set back has left in the future.

        Minutes are kept for `kept` seconds.
        """
        self._forget_points(now, kept)
        self.minutes.keep(now - kept, self._newest(now))

    def _forget_points(self, now: float, kept: float) -> None:
        oldest, newest = now - AGE_SECONDS, self._newest(now)
        while self.points and self.points[0].at <= oldest:
            self.points.popleft()
        if self.points and self.points[-1].at > newest:
            while self.points and self.points[-1].at > newest:
                self.points.pop()
            self._count_again(now, newest, kept)

    def _count_again(self, now: float, newest: float, kept: float) -> None:
        """Count the newest minute from the points that are left of it."""
        begun = newest // MINUTE_SECONDS * MINUTE_SECONDS
        self.minutes.keep(now - kept, begun - 1)
        for point in self.points:
            if point.at >= begun:
                self.minutes.add(point.at, point.value)

    def latest(self, now: float) -> Point | None:
        """Return the newest point that is not ahead of now by more than a small skew."""
        newest = now + SKEW_SECONDS
        return next((point for point in reversed(self.points) if point.at <= newest), None)

    def total(self, seconds: float, now: float) -> float | None:
        """
        Return the sum of a counter's increments in `seconds`; None when there is no sample.

        More than 15 minutes begin with a whole one.
        """
        first, last = now - seconds, now + SKEW_SECONDS
        if seconds > AGE_SECONDS:
            return self.minutes.total(first, last)
        values = [point.value for point in self.points if first < point.at <= last]
        return sum(values) if values else None

    def _newest(self, now: float) -> float:
        return now + (PUSHED_AHEAD_SECONDS if self.service else SKEW_SECONDS)


def _place(at: float) -> int:
    return int(at // POINT_SECONDS)
