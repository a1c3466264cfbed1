"""Samples of the last hours, by series. Memory only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitord.intake.minutes import MINUTE_SECONDS
from monitord.intake.series import Series
from monitord.model import Metric


# What applications push is bounded apart, so that they cannot crowd out what is scraped.
PUSHED_SERIES = 1_000
SCRAPED_SERIES = 4_000
SWEEP_SECONDS = 10.0
# How far back minutes reach, and how many there are in all: 42 bytes each, so 10 MB at most.
# Six hours of 500 scraped series and of 125 pushed ones; of more, as much less of each.
SPAN_SECONDS = 21_600.0
PUSHED_MINUTES = 45_000
SCRAPED_MINUTES = 180_000

Key = tuple[tuple[str, str], ...]


class Samples:
    """
    Series by name and attributes, bounded in age and in number.

    A sample with a service was pushed; the service is its series' attribute `service`. When there
    are too many series the ones without a point of the last 15 minutes go; if none does, a new one
    is not kept here (the store has it).
    """

    def __init__(
        self,
        pushed: int = PUSHED_SERIES,
        scraped: int = SCRAPED_SERIES,
        pushed_minutes: int = PUSHED_MINUTES,
        scraped_minutes: int = SCRAPED_MINUTES,
    ) -> None:
        self._limits = {True: pushed, False: scraped}
        self._minutes = {True: pushed_minutes, False: scraped_minutes}
        self._sizes = {True: 0, False: 0}
        self._names: dict[str, dict[Key, Series]] = {}
        self._swept = {True: 0.0, False: 0.0}

    def add(self, metrics: Sequence[Metric], now: float) -> None:
        """Take the samples. Times a little ahead of `now` are kept as they are."""
        kept = {True: self._kept(True), False: self._kept(False)}
        for metric in metrics:
            series = self._series(metric, now)
            if series is not None:
                series.add(metric, now, kept[bool(metric.service)])

    def matching(
        self, name: str, attributes: dict[str, str], now: float, service: str | None = ""
    ) -> Iterator[Series]:
        """
        Yield the series of this name that have these attributes, and maybe more.

        They are those scraped, or with a service those it pushed; None is all of them. Each has
        minutes, one that was given up a while ago no points.
        """
        wanted = attributes.items()
        for series in self._names.get(name, {}).values():
            if service in (None, series.service) and wanted <= series.attributes.items():
                series.forget(now, self._kept(bool(series.service)))
                if len(series.minutes):
                    yield series

    def _kept(self, pushed: bool) -> float:
        """Return for how many seconds there is room for minutes of so many series."""
        share = self._minutes[pushed] // max(1, self._sizes[pushed])
        return min(SPAN_SECONDS, float(share * MINUTE_SECONDS))

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
        full = self._sizes[pushed] >= self._limits[pushed]
        if rested and (full or self._kept(pushed) < SPAN_SECONDS):
            self._swept[pushed] = now
            self._sweep(pushed, now, full)
        return self._sizes[pushed] < self._limits[pushed]

    def _sweep(self, pushed: bool, now: float, full: bool) -> None:
        """Let go of minutes there is no room for, and when full of series without a point."""
        for name, named in list(self._names.items()):
            for key, series in list(named.items()):
                if bool(series.service) is not pushed:
                    continue
                series.forget(now, self._kept(pushed))
                if not series.points and (full or not len(series.minutes)):
                    del named[key]
                    self._sizes[pushed] -= 1
            if not named:
                del self._names[name]
