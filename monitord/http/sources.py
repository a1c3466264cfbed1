"""Where points come from: the store, or memory while the store does not answer."""

from __future__ import annotations

import asyncio

from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import fmean
from typing import Protocol, TypeVar

from msgspec import Struct

from monitord.errors import StoreUnreachable
from monitord.http.buckets import Buckets, collect
from monitord.http.parameters import Aggregate
from monitord.http.ports import MetricReader, Ports, RequestReader
from monitord.http.values import RequestColumn
from monitord.intake.window import Window


T = TypeVar("T")

# A page must not wait for a frozen store: what does not come in time comes from memory.
STORE_DEADLINE = 3.0

# How far memory reaches back, in seconds.
REQUEST_MEMORY = 3_600.0
SAMPLE_MEMORY = 900.0

# Requests in memory are counted in slots of this length.
REQUEST_MEMORY_STEP = 10.0

Values = list[float | None]
Columns = Mapping[RequestColumn, Values]
Named = list[tuple[dict[str, str], Values]]

_AGGREGATES: dict[Aggregate, Callable[[Sequence[float]], float]] = {
    "avg": fmean,
    "min": min,
    "max": max,
    "sum": sum,
    "last": lambda values: values[-1],
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
        service, others = _by_service(attributes, scraped)
        return [
            (found, collect(((p.at, p.value) for p in points), buckets, _AGGREGATES[aggregate]))
            for found, points in self.window.series(name, service=service, **others)
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
    """Return memory as a source: requests of the last hour, samples of the last 15 minutes."""
    return _Memory(ports.window)


def rates(counts: Sequence[float | None], buckets: Buckets, now: float) -> Values:
    """Return counts per second. Of the bucket under way only what has passed of it counts."""
    passed = (min(buckets.step, max(1.0, now - start)) for start in buckets.times)
    pairs = zip(counts, passed, strict=True)
    return [None if count is None else count / seconds for count, seconds in pairs]
