"""Samples of the last 15 minutes, by series. Memory only."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence

from msgspec import Struct

from monitord.model import Metric


AGE_SECONDS = 900.0
# Samples closer than this share a point: the newest gauge, the sum of a counter's increments.
POINT_SECONDS = 5.0
# What applications push is bounded apart, so that they cannot crowd out what is scraped.
PUSHED_SERIES = 1_000
SCRAPED_SERIES = 4_000
SWEEP_SECONDS = 10.0
# How far ahead of now a point may be. What is scraped bears our own clock: more than this means
# that it was set back since. What is pushed may be as far ahead as events are taken.
SKEW_SECONDS = 2 * POINT_SECONDS
PUSHED_AHEAD_SECONDS = 600.0 + POINT_SECONDS

Key = tuple[tuple[str, str], ...]


class Point(Struct, frozen=True):
    """A value at a time in Unix seconds."""

    at: float
    value: float


class Series:
    """One series: its attributes and its points, oldest first. `service` is "" when scraped."""

    __slots__ = ("attributes", "points", "service")

    def __init__(self, service: str, attributes: dict[str, str]) -> None:
        self.service = service
        self.attributes = attributes
        self.points: deque[Point] = deque()

    def add(self, metric: Metric, now: float) -> None:
        """Take a sample of the time kept, where it belongs, be it late."""
        self.forget(now)
        if not now - AGE_SECONDS < metric.time <= self._newest(now):
            return
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

    def forget(self, now: float) -> None:
        """Drop the points that are too old, and those a clock set back has left in the future."""
        oldest, newest = now - AGE_SECONDS, self._newest(now)
        while self.points and self.points[0].at <= oldest:
            self.points.popleft()
        while self.points and self.points[-1].at > newest:
            self.points.pop()

    def latest(self, now: float) -> Point | None:
        """Return the newest point that is not ahead of now by more than a small skew."""
        newest = now + SKEW_SECONDS
        return next((point for point in reversed(self.points) if point.at <= newest), None)

    def _newest(self, now: float) -> float:
        return now + (PUSHED_AHEAD_SECONDS if self.service else SKEW_SECONDS)


def _place(at: float) -> int:
    return int(at // POINT_SECONDS)


class Samples:
    """
    Series by name and attributes, bounded in age and in number.

    A sample with a service was pushed; the service is its series' attribute `service`. When there
    are too many series the ones without a point of the last 15 minutes go; if none does, a new one
    is not kept here (the store has it).
    """

    def __init__(self, pushed: int = PUSHED_SERIES, scraped: int = SCRAPED_SERIES) -> None:
        self._limits = {True: pushed, False: scraped}
        self._sizes = {True: 0, False: 0}
        self._names: dict[str, dict[Key, Series]] = {}
        self._swept = {True: 0.0, False: 0.0}

    def add(self, metrics: Sequence[Metric], now: float) -> None:
        """Take the samples. Times a little ahead of `now` are kept as they are."""
        for metric in metrics:
            series = self._series(metric, now)
            if series is not None:
                series.add(metric, now)

    def matching(
        self, name: str, attributes: dict[str, str], now: float, service: str | None = ""
    ) -> Iterator[Series]:
        """
        Yield the series of this name that have these attributes, and maybe more.

        They are those scraped, or with a service those it pushed; None is all of them.
        """
        wanted = attributes.items()
        for series in self._names.get(name, {}).values():
            if service in (None, series.service) and wanted <= series.attributes.items():
                series.forget(now)
                if series.points:
                    yield series

    def _series(self, metric: Metric, now: float) -> Series | None:
        key = (("", metric.service), *sorted(metric.attributes.items()))
        named = self._names.get(metric.name)
        if named is not None and (series := named.get(key)) is not None:
            return series
        pushed = bool(metric.service)
        if not self._make_room(pushed, now):
            return None
        self._sizes[pushed] += 1
        attributes = dict(metric.attributes)
        if pushed:
            attributes.setdefault("service", metric.service)
        series = self._names.setdefault(metric.name, {})[key] = Series(metric.service, attributes)
        return series

    def _make_room(self, pushed: bool, now: float) -> bool:
        """Say whether one more series fits, after dropping those that have no point left."""
        # Every new series of a flood comes here: look through all of them now and then only, be it
        # that the clock was set back.
        rested = abs(now - self._swept[pushed]) >= SWEEP_SECONDS
        if self._sizes[pushed] >= self._limits[pushed] and rested:
            self._swept[pushed] = now
            self._sweep(now)
        return self._sizes[pushed] < self._limits[pushed]

    def _sweep(self, now: float) -> None:
        for name, named in list(self._names.items()):
            for key, series in list(named.items()):
                series.forget(now)
                if not series.points:
                    del named[key]
                    self._sizes[bool(key[0][1])] -= 1
            if not named:
                del self._names[name]
