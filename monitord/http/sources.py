"""Where points come from: the store, or memory while the store does not answer."""

from __future__ import annotations

import asyncio

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from monitord.errors import StoreUnreachable
from monitord.http.buckets import Buckets, collect
from monitord.http.parameters import Aggregate
from monitord.http.ports import MetricReader, Ports, RequestReader
from monitord.http.values import RequestColumn
from monitord.intake.minutes import MINUTE_SECONDS, Summary
from monitord.intake.series import AGE_SECONDS
from monitord.intake.window import Window


T = TypeVar("T")

# A page must not wait for a frozen store: what does not come in time comes from memory.
STORE_DEADLINE = 3.0

# How far memory reaches back, in seconds.
REQUEST_MEMORY = 21_600.0
SAMPLE_MEMORY = 21_600.0

# Requests in memory are counted in slots of this length, while they are recent.
REQUEST_MEMORY_STEP = 10.0

Values = list[float | None]
Columns = Mapping[RequestColumn, Values]
Named = list[tuple[dict[str, str], Values]]


def _mean(held: Sequence[Summary]) -> float:
    mean = sum(one.total for one in held) / sum(one.count for one in held)
    # Rounding must not take it past what was measured: of equal values it is just that one.
    return min(max(mean, _AGGREGATES["min"](held)), _AGGREGATES["max"](held))


_AGGREGATES: dict[Aggregate, Callable[[Sequence[Summary]], float]] = {
    "avg": _mean,
    "min": lambda held: min(one.lowest for one in held),
    "max": lambda held: max(one.highest for one in held),
    "sum": lambda held: sum(one.total for one in held),
    "last": lambda held: held[-1].last,
}


async def in_time(reading: Awaitable[T]) -> T:
    """Return what the store answers. Raises StoreUnreachable: not in time; StoreError."""
    try:
        async with asyncio.timeout(STORE_DEADLINE):
            return await reading
    except TimeoutError:
        raise StoreUnreachable(f"store: no answer within {STORE_DEADLINE:.0f} s") from None


class Source(Protocol):
    """Gives points per bucket; None where there are none. Raises StoreUnreachable, StoreError."""

    async def metric(
        self,
        name: str,
        attributes: Mapping[str, str],
        buckets: Buckets,
        aggregate: Aggregate,
        *,
        scraped: bool = False,
    ) -> Named:
        """
        Return the series that have these attributes; a pushed one's service is its `service`.

        With `scraped` it is those alone that monitord itself has read.
        """
        ...

    async def requests(self, buckets: Buckets) -> Columns: ...


class _Stored(Struct, frozen=True):
    metrics: MetricReader
    reader: RequestReader
    now: float

    async def metric(
        self,
        name: str,
        attributes: Mapping[str, str],
        buckets: Buckets,
        aggregate: Aggregate,
        *,
        scraped: bool = False,
    ) -> Named:
        service, others = _by_service(attributes, scraped)
        reading = self.metrics.points(
            name, others, buckets.start, buckets.end, buckets.step, aggregate, service
        )
        return [(dict(found), list(values)) for found, values in await in_time(reading)]

    async def requests(self, buckets: Buckets) -> Columns:
        found = await in_time(self.reader.points(buckets.start, buckets.end, buckets.step))
        return {
            "avg_ms": list(found.avg_ms),
            "p50_ms": list(found.p50_ms),
            "p95_ms": list(found.p95_ms),
            "p99_ms": list(found.p99_ms),
            "per_second": rates(found.count, buckets, self.now),
        }


class _Memory(Struct, frozen=True):
    window: Window

    async def metric(
        self,
        name: str,
        attributes: Mapping[str, str],
        buckets: Buckets,
        aggregate: Aggregate,
        *,
        scraped: bool = False,
    ) -> Named:
        if aggregate not in _AGGREGATES:
            return []  # memory keeps no buckets
        service, others = _by_service(attributes, scraped)
        found = (
            self.window.minutes(name, service=service, **others)
            if buckets.step >= MINUTE_SECONDS
            else self._points(name, service, others)
        )
        return [
            (of, collect(((one.at, one) for one in held), buckets, _AGGREGATES[aggregate]))
            for of, held in found
        ]

    def _points(
        self, name: str, service: str | None, attributes: Mapping[str, str]
    ) -> list[tuple[dict[str, str], list[Summary]]]:
        return [
            (of, [Summary(p.at, 1, p.value, p.value, p.value, p.value) for p in points])
            for of, points in self.window.series(name, service=service, **attributes)
        ]

    async def requests(self, buckets: Buckets) -> Columns:
        found = self.window.request_points(buckets.start, buckets.step, buckets.count)
        return {
            "avg_ms": [None if stats is None else stats.avg_ms for stats in found],
            "p50_ms": [None if stats is None else stats.p50_ms for stats in found],
            "p95_ms": [None if stats is None else stats.p95_ms for stats in found],
            "p99_ms": [None if stats is None else stats.p99_ms for stats in found],
            "per_second": [None if stats is None else stats.per_second for stats in found],
        }


def _by_service(attributes: Mapping[str, str], scraped: bool) -> tuple[str | None, dict[str, str]]:
    """Return whose series are asked for ("": scraped, None: anyone's), and the other attributes."""
    others = dict(attributes)
    service = others.pop("service", None)
    return ("" if scraped else service), others


def stored(ports: Ports) -> Source:
    """Return the store as a source."""
    return _Stored(ports.metrics, ports.requests, ports.now())


def memory(ports: Ports) -> Source:
    """Return memory as a source: the last 6 hours, in steps of a minute or more."""
    return _Memory(ports.window)


def memory_step(start: float, now: float, at_least: float) -> float:
    """Return the shortest step memory has back to `start`: of the last 15 minutes also shorter."""
    # A store that did not answer in time took some of them.
    recent = now - start <= AGE_SECONDS + 10 * STORE_DEADLINE
    return at_least if recent else max(at_least, MINUTE_SECONDS)


def rates(counts: Sequence[float | None], buckets: Buckets, now: float) -> Values:
    """Return counts per second. Of the bucket under way only what has passed of it counts."""
    passed = (min(buckets.step, max(1.0, now - start)) for start in buckets.times)
    pairs = zip(counts, passed, strict=True)
    return [None if count is None else count / seconds for count, seconds in pairs]
