"""Samples of the last 15 minutes, by series. Memory only."""

from __future__ import annotations

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

Key = tuple[tuple[str, str], ...]


class Point(Struct, frozen=True):
    """A value at a time in Unix seconds."""

    at: float
    value: float


class Series:
    """One series: its attributes and its points, oldest first."""

    __slots__ = ("attributes", "points")

    def __init__(self, attributes: dict[str, str]) -> None:
        self.attributes = attributes
        self.points: deque[Point] = deque()

    def add(self, metric: Metric, oldest: float) -> None:
        """Take a sample not older than `oldest`; a late one still adds to a counter."""
        self.forget(oldest)
        if metric.time <= oldest:
            return
        last = self.points[-1] if self.points else None
        if last is None or _place(metric.time) > _place(last.at):
            self.points.append(Point(metric.time, metric.value))
        elif metric.kind == "counter":
            self.points[-1] = Point(max(last.at, metric.time), last.value + metric.value)
        elif metric.time >= last.at:
            self.points[-1] = Point(metric.time, metric.value)

    def forget(self, oldest: float) -> None:
        """Drop the points up to `oldest`."""
        while self.points and self.points[0].at <= oldest:
            self.points.popleft()


def _place(at: float) -> int:
    return int(at // POINT_SECONDS)


class Samples:
    """
    Series by name and attributes, bounded in age and in number.

    A pushed sample's service is its attribute `service`. When there are too many series the ones
    without a point of the last 15 minutes go; if none does, a new one is not kept here (the store
    has it).
    """

    def __init__(self, pushed: int = PUSHED_SERIES, scraped: int = SCRAPED_SERIES) -> None:
        self._limits = {True: pushed, False: scraped}
        self._sizes = {True: 0, False: 0}
        self._names: dict[str, dict[Key, Series]] = {}
        self._swept = {True: 0.0, False: 0.0}

    def add(self, metrics: Sequence[Metric], now: float) -> None:
        """Take the samples. Times ahead of `now` are kept as they are."""
        oldest = now - AGE_SECONDS
        for metric in metrics:
            series = self._series(metric, oldest)
            if series is not None:
                series.add(metric, oldest)

    def matching(self, name: str, attributes: dict[str, str], now: float) -> Iterator[Series]:
        """Yield the series of this name that have these attributes, and maybe more."""
        oldest = now - AGE_SECONDS
        wanted = attributes.items()
        for series in self._names.get(name, {}).values():
            if wanted <= series.attributes.items():
                series.forget(oldest)
                if series.points:
                    yield series

    def _series(self, metric: Metric, oldest: float) -> Series | None:
        key = (("", metric.service), *sorted(metric.attributes.items()))
        named = self._names.get(metric.name)
        if named is not None and (series := named.get(key)) is not None:
            return series
        pushed = bool(metric.service)
        if not self._make_room(pushed, oldest):
            return None
        self._sizes[pushed] += 1
        attributes = dict(metric.attributes)
        if pushed:
            attributes.setdefault("service", metric.service)
        series = self._names.setdefault(metric.name, {})[key] = Series(attributes)
        return series

    def _make_room(self, pushed: bool, oldest: float) -> bool:
        """Say whether one more series fits, after dropping those that have no point left."""
        if self._sizes[pushed] >= self._limits[pushed] and oldest >= self._swept[pushed]:
            # Every new series of a flood comes here: look through all of them now and then only.
            self._swept[pushed] = oldest + SWEEP_SECONDS
            self._sweep(oldest)
        return self._sizes[pushed] < self._limits[pushed]

    def _sweep(self, oldest: float) -> None:
        for name, named in list(self._names.items()):
            for key, series in list(named.items()):
                series.forget(oldest)
                if not series.points:
                    del named[key]
                    self._sizes[bool(key[0][1])] -= 1
            if not named:
                del self._names[name]
