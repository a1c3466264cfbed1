"""Metrics of OTLP. Bytes in, nouns out; what cumulative series had reached is kept between."""

from __future__ import annotations

import math

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import structs

from monitord.ingest.decoded import Code, Refused
from monitord.ingest.limits import NEWEST_SECONDS
from monitord.ingest.otlp.distributions import (
    Range,
    explicit,
    explicit_tally,
    exponential,
    exponential_tally,
    range_of,
)
from monitord.ingest.otlp.exported import Exported
from monitord.ingest.otlp.identity import digest_of, extended
from monitord.ingest.otlp.messages import are_few, groups, parsed
from monitord.ingest.otlp.origin import Origin
from monitord.ingest.otlp.tally import Tally
from monitord.ingest.otlp.totals import Change, Totals
from monitord.ingest.otlp.values import attributes_of, text_of
from monitord.ingest.otlp.wire import RawMetrics
from monitord.ingest.settle import settle
from monitord.ingest.texts import cleaned
from monitord.model import Distribution, Metric, MetricKind


if TYPE_CHECKING:
    import hashlib


DELTA, CUMULATIVE = 1, 2
# The flag of a point without a value: its series has ended, or was away.
NO_VALUE = 1
# Of one summary: each is a series.
QUANTILES = 100


class MetricDecoder:
    """Decodes the metrics of all senders; `since_ns` is when it began to listen, Unix ns."""

    def __init__(self, since_ns: int) -> None:
        self._totals = Totals(since_ns)

    def decode(self, body: bytes, now: float, limit: int) -> tuple[Exported, list[Change]]:
        """
        Decode an ExportMetricsServiceRequest received at *now*. Its points are counted from 0.

        The changes are to be undone if what was decoded is not taken. Raises Malformed, or
        TooManyItems above *limit* points.
        """
        into, changes = Exported(), list[Change]()
        try:
            message = parsed(RawMetrics, body)
            for first, origin, scope in groups(message, "metrics", size, limit, into):
                for index, point in enumerate(self._points(origin, scope, now, changes), first):
                    _take(index, point, now, into)
        except BaseException:
            self.undo(changes)
            raise
        return into, changes

    def undo(self, changes: list[Change]) -> None:
        """Take back what the points of a body added to their series."""
        for change in changes:
            self._totals.undo(change)

    def _points(
        self, origin: Origin, scope: Any, now: float, changes: list[Change]
    ) -> Iterator[_Point]:
        named = scope.scope
        group = digest_of(origin.identity, named.name.encode(), named.version.encode())
        for metric in scope.metrics:
            kind = metric.WhichOneof("data")
            data = getattr(metric, kind) if kind else None
            if data is None or not data.data_points:
                continue
            said = (metric.name.encode(), kind.encode(), metric.unit.encode())
            series = extended(group, *said)
            for raw in data.data_points:
                yield _Point(origin, metric, kind, data, raw, series, self._totals, now, changes)


def size(scope: Any) -> int:
    """Return how many points the metrics of a scope's group have."""
    kinds = [(metric, metric.WhichOneof("data")) for metric in scope.metrics]
    return sum(len(getattr(metric, kind).data_points) for metric, kind in kinds if kind)


def are_few_points(body: bytes, most: int) -> bool:
    """Say whether a body has at most so many metrics, points and quantiles. Raises Malformed."""

    def number(scope: Any) -> int:
        metrics = len(scope.metrics)
        return metrics if metrics > most else metrics + size(scope) + _quantiles(scope)

    return are_few(parsed(RawMetrics, body), "metrics", number, most)


def _quantiles(scope: Any) -> int:
    points = [point for metric in scope.metrics for point in metric.summary.data_points]
    return sum(len(point.quantile_values) for point in points)


def _take(index: int, point: _Point, now: float, into: Exported) -> None:
    if point.raw.flags & NO_VALUE:
        return
    try:
        metrics = MADE[point.kind](point)
    except Refused as why:
        into.refuse(index, why)
        return
    into.undated += not point.raw.time_unix_nano
    for metric in metrics:
        settle(index, metric, now, into)


class _Point(NamedTuple):
    """One point with all it stands under; `series` is a digest of that, but for the attributes."""

    origin: Origin
    metric: Any
    kind: str
    data: Any
    raw: Any
    series: hashlib.blake2b
    totals: Totals
    now: float
    changes: list[Change]

    def made(self, kind: MetricKind, value: float, part: str = "", **more: str) -> Metric:
        """Return the point as a metric. Raises Refused: it has no name."""
        if not self.metric.name:
            raise Refused(Code.MISSING_FIELD, "name: missing")
        found = attributes_of(self.raw.attributes)
        at_ns = self.raw.time_unix_nano
        return Metric(
            at_ns / 1e9 if at_ns else self.now,
            cleaned(self.metric.name) + part,
            value,
            self.origin.service,
            kind,
            cleaned(self.metric.unit),
            {key: text_of(value) for key, value in found.items()} | more,
        )

    def added(self, tally: Tally, part: str = "") -> Tally | None:
        """Return what the point adds to its series; None where that is not known."""
        raw, start_ns = self.raw, self.start_ns()
        name = (part.encode(), b"%d" % start_ns, *sorted(raw.attributes))
        key = extended(self.series, *name).digest()
        at_ns = raw.time_unix_nano or int(self.now * 1e9)
        change = self.totals.advance(key, start_ns, at_ns, tally, self.now)
        if change is None:
            return None
        self.changes.append(change)
        return change.added

    def start_ns(self) -> int:
        """Return the start, 0 where it is not known: nothing begins in the future."""
        found: int = self.raw.start_time_unix_nano
        return found if found <= (self.now + NEWEST_SECONDS) * 1e9 else 0

    def temporality(self) -> int:
        """Return DELTA or CUMULATIVE. Raises Refused."""
        found: int = self.data.aggregation_temporality
        if found not in (DELTA, CUMULATIVE):
            raise Refused(
                Code.INVALID_FIELD, "aggregation_temporality: expected delta or cumulative"
            )
        return found


def _number(raw: Any) -> float:
    kind = raw.WhichOneof("value")
    if kind is None:
        raise Refused(Code.MISSING_FIELD, "as_double or as_int: missing")
    return float(getattr(raw, kind))


def _gauge(point: _Point) -> list[Metric]:
    return [point.made("gauge", _number(point.raw))]


def _sum(point: _Point) -> list[Metric]:
    value, is_delta = _number(point.raw), point.temporality() == DELTA
    if not point.data.is_monotonic:
        if is_delta:
            raise Refused(
                Code.INVALID_FIELD,
                "aggregation_temporality: expected cumulative of a sum that may fall",
            )
        return [point.made("gauge", value)]
    return [point.made("counter", value)] if is_delta else _counter(point, value)


def _counter(point: _Point, total: float, part: str = "") -> list[Metric]:
    """Return what a total adds to its series, where that is known."""
    added = point.added(Tally(total), part) if math.isfinite(total) else Tally(total)
    return [point.made("counter", added.sum, part)] if added is not None else []


def _histogram(point: _Point) -> list[Metric]:
    def made(added: Tally, within: Range) -> Distribution:
        bounds = list(point.raw.explicit_bounds)
        return explicit(added, bounds, point.raw.HasField("sum"), within)

    return _distributed(point, explicit_tally(point.raw), made)


def _exponential_histogram(point: _Point) -> list[Metric]:
    def made(added: Tally, _: Range) -> Distribution:
        return exponential(added, point.raw.HasField("sum"))

    return _distributed(point, exponential_tally(point.raw), made)


def _distributed(
    point: _Point, tally: Tally, made: Callable[[Tally, Range], Distribution]
) -> list[Metric]:
    """Return the histogram that a point is, or adds to its series, if it holds anything."""
    is_delta = point.temporality() == DELTA
    added = tally if is_delta else point.added(tally)
    if added is None or not added.counts:
        return []
    # Of a cumulative series the range is that of its whole life: it only narrows the buckets.
    found = made(added, range_of(point.raw))
    if is_delta:
        found = _stated(found, range_of(point.raw))
    metric = point.made("histogram", found.sum / found.count)
    return [structs.replace(metric, distribution=found)]


def _stated(found: Distribution, within: Range) -> Distribution:
    """Return the distribution with the range that was stated, where one was that can be."""
    least = found.min if within.least is None else within.least
    largest = found.max if within.largest is None else within.largest
    if not -math.inf < least <= largest < math.inf:
        return found
    return structs.replace(found, min=least, max=largest)


def _summary(point: _Point) -> list[Metric]:
    """Return a gauge for each quantile, and counters of what was counted and its sum."""
    number = len(point.raw.quantile_values)
    if number > QUANTILES:
        raise Refused(
            Code.INVALID_FIELD, f"quantile_values: expected at most {QUANTILES}, got {number}"
        )
    quantiles = [
        point.made("gauge", each.value, quantile=f"{each.quantile:g}")
        for each in point.raw.quantile_values
        if not math.isnan(each.value)
    ]
    return [
        *quantiles,
        *_counter(point, float(point.raw.count), "_count"),
        *_counter(point, point.raw.sum, "_sum"),
    ]


MADE: dict[str, Callable[[_Point], list[Metric]]] = {
    "gauge": _gauge,
    "sum": _sum,
    "histogram": _histogram,
    "exponential_histogram": _exponential_histogram,
    "summary": _summary,
}
