"""
Numbers of one drain, put together by their series: thousands of lines become a few events.

Two things outlast a drain, within bounds: the gauges that later changes are relative to, and the
distinct values of sets.
"""

from __future__ import annotations

import math

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from monitord.histogram import signed_index
from monitord.ingest.decoded import Code, Decoded, Refused
from monitord.ingest.settle import settle_all
from monitord.model import Distribution, Metric, MetricKind


# What numbers are written with; float() takes more than that.
NUMERIC = b"0123456789.+-eE"
# Far beyond what anybody measures, and sums of these stay finite.
LARGEST = 1e100
# Values put together at once, some 4 ms of work; also, fewer than one event may have buckets.
STEP_VALUES = 4_000
# What a series costs beside its values and its tags, in values.
SERIES_VALUES = 10
GAUGES = 10_000
GAUGE_SECONDS = 3_600.0
# Over as long as StatsD itself counts, by default.
SET_SECONDS = 10.0
SET_VALUES = 100_000

# StatsD's letters; `s` becomes a gauge of how many there were.
KINDS: dict[str, MetricKind] = {
    "c": "counter",
    "g": "gauge",
    "s": "gauge",
    "ms": "histogram",
    "h": "histogram",
    "d": "histogram",
}
UNITS = {"ms": "ms"}


class Series(NamedTuple):
    """
    What a line says beside its values. `type` is a key of KINDS, each value stands for `weight`.

    A value of a `relative` gauge is a change if it has a sign. Without `time` it is of now.
    """

    type: str
    name: str
    service: str
    attributes: tuple[tuple[str, str], ...] = ()
    weight: float = 1.0
    time: float | None = None
    relative: bool = False

    def sample(self, now: float, value: float, told: Distribution | None = None) -> Metric:
        """Return one sample of the series."""
        return Metric(
            time=now if self.time is None else self.time,
            name=self.name,
            value=value,
            service=self.service,
            kind=KINDS[self.type],
            unit=UNITS.get(self.type, ""),
            attributes=dict(self.attributes),
            distribution=told,
        )


Observed = tuple[Series, list[float]]


class Aggregate:
    """Makes metrics of values, as they were sent, by series."""

    def __init__(self) -> None:
        self._gauges = _Gauges()
        self._sets = _Sets()

    def settling(
        self, gathered: Mapping[Series, Sequence[bytes]], now: float, into: Decoded
    ) -> Iterator[None]:
        """
        Take what was gathered until `now` into *into*, pausing after each STEP_VALUES.

        It is of the whole second, so that the store makes one row of all that came in one.
        """
        now = float(math.floor(now))
        some: list[tuple[Series, list[bytes]]] = []
        size = 0
        for series, raw in gathered.items():
            for part in _parts(series, raw):
                some.append((series, part))
                size += len(part) + len(series.attributes) + SERIES_VALUES
                if size >= STEP_VALUES:
                    self._settle(some, now, into)
                    some, size = [], 0
                    yield
        self._settle(some, now, into)

    def _settle(
        self, some: Sequence[tuple[Series, list[bytes]]], now: float, into: Decoded
    ) -> None:
        metrics: list[Metric] = []
        counted: dict[Series, float] = {}
        observed: list[Observed] = []
        for series, raw in some:
            if series.type == "s":
                metrics += self._sets.counted(series, raw, now, into)
                continue
            good, numbers = _numbers(series, raw, into)
            if not numbers:
                continue
            if series.type == "c":
                one = series if series.weight == 1 else series._replace(weight=1.0)
                counted[one] = counted.get(one, 0.0) + math.fsum(numbers) * series.weight
            elif series.type == "g":
                metrics.append(series.sample(now, self._gauges.last(series, good, numbers, now)))
            else:
                observed.append((series, numbers))
        metrics += [series.sample(now, value) for series, value in counted.items()]
        settle_all(metrics + _histograms(observed, now), now, into)


class _Gauges:
    """The last values of gauges that were sent within an hour, those of the latest GAUGES."""

    def __init__(self) -> None:
        self._known: dict[Series, tuple[float, float]] = {}

    def last(
        self, series: Series, raw: Sequence[bytes], numbers: Sequence[float], now: float
    ) -> float:
        """Return what a gauge is after these values; one not known was 0."""
        if not series.relative:
            return numbers[-1]
        value, _ = self._known.pop(series, (0.0, now))
        for text, number in zip(raw, numbers, strict=True):
            value = value + number if text[0] in b"+-" else number
        value = min(max(value, -LARGEST), LARGEST)
        self._known[series] = value, now
        self._forget(now)
        return value

    def _forget(self, now: float) -> None:
        oldest = next(iter(self._known))
        if len(self._known) > GAUGES or self._known[oldest][1] < now - GAUGE_SECONDS:
            del self._known[oldest]


class _Sets:
    """The distinct values of the running SET_SECONDS, SET_VALUES at most with their tags."""

    def __init__(self) -> None:
        self._since = 0.0
        self._values: dict[Series, set[int]] = {}
        self._size = 0

    def counted(
        self, series: Series, raw: Sequence[bytes], now: float, into: Decoded
    ) -> list[Metric]:
        """Return how many values the series has had, as of the start of the running seconds."""
        since = now - now % SET_SECONDS
        if since != self._since:
            self._since, self._size = since, 0
            self._values.clear()
        values = self._values.get(series, set())
        others = self._size - len(values) if values else self._size + len(series.attributes)
        for one in raw:
            if not one:
                into.refuse(0, not_a_value(series, one))
            elif others + len(values) < SET_VALUES or hash(one) in values:
                values.add(hash(one))
            else:
                into.refuse(0, Refused(Code.INVALID_FIELD, TOO_MANY_VALUES))
        if values:
            self._values[series] = values
            self._size = others + len(values)
        return [series.sample(since, float(len(values)))] if values else []


TOO_MANY_VALUES = f"sets: expected at most {SET_VALUES:,} distinct values in {SET_SECONDS:g} s"


def not_a_value(series: Series, raw: bytes) -> Refused:
    """Return what is said of a value that is none."""
    if not raw:
        sentence = f"{series.name[:60]}: expected name:value|type, got no value"
        return Refused(Code.MISSING_FIELD, sentence)
    said = raw[:40].decode("utf-8", "replace")
    return Refused(
        Code.INVALID_FIELD, f"{series.name[:60]}: expected a number as its value, got {said!r}"
    )


def _parts(series: Series, raw: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Yield the values, those of one line apart, in bounded parts."""
    if series.type != "s" and b":" in (joined := b":".join(raw)):
        raw = joined.split(b":")
    for start in range(0, len(raw), STEP_VALUES):
        yield list(raw[start : start + STEP_VALUES])


def _numbers(series: Series, raw: list[bytes], into: Decoded) -> tuple[list[bytes], list[float]]:
    """Return the values that are numbers, as sent and as such; refuse the others."""
    numbers = _floats(raw)
    if numbers is not None:
        return raw, numbers
    good: list[bytes] = []
    for one in raw:
        if _floats([one]) is None:
            into.refuse(0, not_a_value(series, one))
        else:
            good.append(one)
    return good, list(map(float, good))


def _floats(raw: Sequence[bytes]) -> list[float] | None:
    """Return the values as numbers if all of them are."""
    if b"".join(raw).translate(None, NUMERIC):
        return None
    try:
        numbers = list(map(float, raw))
    except ValueError:
        return None
    return numbers if max(numbers) <= LARGEST and min(numbers) >= -LARGEST else None


def _histograms(observed: Sequence[Observed], now: float) -> list[Metric]:
    """Return one sample a series; the buckets of all are found at once."""
    if not observed:
        return []
    values = np.fromiter(chain.from_iterable(numbers for _, numbers in observed), np.float64)
    keys = iter(signed_index(values).tolist())
    return [
        _histogram(series, numbers, list(islice(keys, len(numbers))), now)
        for series, numbers in observed
    ]


def _histogram(series: Series, numbers: list[float], keys: list[int], now: float) -> Metric:
    weight = round(series.weight)
    if weight == len(numbers) == 1:
        return series.sample(now, numbers[0])
    total, count = math.fsum(numbers) * weight, len(numbers) * weight
    buckets = {key: found * weight for key, found in Counter(keys).items()}
    told = Distribution(count, total, min(numbers), max(numbers), buckets)
    return series.sample(now, total / count, told)
