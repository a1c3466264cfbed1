"""The last hours, in memory: what the cards, the alerts and the live view read."""

from __future__ import annotations

import time

from collections.abc import Callable

from monitord.intake.minutes import Summary
from monitord.intake.samples import Samples
from monitord.intake.series import Point
from monitord.intake.targets import Targets
from monitord.intake.traffic import Traffic
from monitord.latency import RequestStats
from monitord.model import Batch, Reading, TargetStatus


class Window:
    """
    Samples and requests of 15 minutes finely and of 6 hours by the minute; the state of targets.

    Answers come from memory alone and are the same whether the store is up or not. Samples are read
    of what was scraped; with a `service` of what that one pushed, with None of both.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._samples = Samples()
        self._traffic = Traffic(now())
        self._targets = Targets()

    def add(self, batch: Batch) -> None:
        """Remember the samples and count the requests."""
        now = self._now()
        if batch.requests:
            self._traffic.add(batch.requests, now, batch.size_bytes)
        if batch.metrics:
            self._samples.add(batch.metrics, now)

    def note(self, reading: Reading) -> None:
        """Remember how a scrape went."""
        self._targets.note(reading)

    def expect(self, target: str, kind: str) -> None:
        """Show a target before its first reading, as neither up nor down."""
        self._targets.expect(target, kind)

    def targets(self) -> list[TargetStatus]:
        """Return every target in the order they became known."""
        return self._targets.all()

    def requests(self, seconds: float) -> RequestStats | None:
        """Return the requests of the last `seconds`, at most 6 h; None if there were none."""
        return self._traffic.stats(seconds, self._now())

    def request_points(self, start: float, step: float, count: int) -> list[RequestStats | None]:
        """Return the requests of each of `count` steps of `step` seconds from `start`."""
        return self._traffic.points(start, step, count, self._now())

    def latest(
        self,
        name: str,
        /,
        *,
        within: float = 60.0,
        service: str | None = "",
        **attributes: str,
    ) -> Point | None:
        """Return the newest point, not older than `within` seconds, of all series that match."""
        now = self._now()
        matching = self._samples.matching(name, attributes, now, service)
        points = [point for series in matching if (point := series.latest(now)) is not None]
        newest = max(points, key=lambda point: point.at, default=None)
        return newest if newest is not None and newest.at >= now - within else None

    def series(
        self, name: str, /, *, service: str | None = "", **attributes: str
    ) -> list[tuple[dict[str, str], list[Point]]]:
        """Return the attributes and points of 15 minutes, oldest first, of all that match."""
        return [
            (dict(series.attributes), list(series.points))
            for series in self._samples.matching(name, attributes, self._now(), service)
            if series.points
        ]

    def minutes(
        self, name: str, /, *, service: str | None = "", **attributes: str
    ) -> list[tuple[dict[str, str], list[Summary]]]:
        """Return the attributes and minutes of 6 hours, oldest first, of all that match."""
        return [
            (dict(series.attributes), list(series.minutes))
            for series in self._samples.matching(name, attributes, self._now(), service)
        ]

    def total(
        self, name: str, seconds: float, /, *, service: str | None = "", **attributes: str
    ) -> float | None:
        """
        Return the sum of a counter's increments in `seconds`; None when there is no sample.

        More than 15 minutes begin with a whole one, and are 6 hours at most.
        """
        now = self._now()
        totals = [
            total
            for series in self._samples.matching(name, attributes, now, service)
            if (total := series.total(seconds, now)) is not None
        ]
        return sum(totals) if totals else None
