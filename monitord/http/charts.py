"""
The charts of the page: each is one entry of CHARTS, drawn from stored series.

While the store is down they show what memory holds: 6 hours, beyond 15 minutes by the minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from monitord.errors import StoreError, StoreUnreachable
from monitord.http.answers import Chart, ChartSeries
from monitord.http.buckets import Buckets, cut, less
from monitord.http.intervals import scrape_step
from monitord.http.parameters import Span
from monitord.http.ports import Ports
from monitord.http.sources import (
    REQUEST_MEMORY,
    REQUEST_MEMORY_STEP,
    SAMPLE_MEMORY,
    Named,
    Source,
    Values,
    memory,
    memory_step,
    stored,
)
from monitord.http.values import RequestColumn
from monitord.store.tiers import step_for


class Line(Struct, frozen=True):
    """
    One line of a chart per target: a metric times `scale`, less another one where that is named.

    A series that has further attributes, such as a mount point, is a line of its own.
    """

    name: str
    metric: str
    attributes: Mapping[str, str] = {}
    scale: float = 1.0
    minus: str = ""


class Metrics(Struct, frozen=True):
    """A chart of scraped metrics, of every target of a kind."""

    title: str
    unit: str
    kind: str
    lines: tuple[Line, ...]


class Requests(Struct, frozen=True):
    """A chart of the application's requests: name of the line -> column."""

    title: str
    unit: str
    lines: Mapping[str, RequestColumn]


CHARTS: dict[str, Metrics | Requests] = {
    "latency": Requests(
        "API latency",
        "ms",
        {"Average": "avg_ms", "P50": "p50_ms", "P95": "p95_ms", "P99": "p99_ms"},
    ),
    "redis_memory": Metrics(
        "Redis memory",
        "bytes",
        "redis",
        (
            Line("Used", "redis.memory.used_bytes"),
            Line("Resident", "redis.memory.rss_bytes"),
            Line("Maximum", "redis.memory.max_bytes"),
        ),
    ),
    "postgres_connections": Metrics(
        "PostgreSQL connections",
        "count",
        "postgres",
        (
            Line("Active", "postgres.connections", {"state": "active"}),
            Line("Idle", "postgres.connections", {"state": "idle"}),
            Line("Idle in transaction", "postgres.connections", {"state": "idle_in_transaction"}),
            Line("Available", "postgres.connections.max", minus="postgres.connections.total"),
        ),
    ),
    "system": Metrics(
        "System resources",
        "percent",
        "host",
        (
            Line("CPU", "system.cpu.utilization_ratio", scale=100),
            Line("Memory", "system.memory.utilization_ratio", scale=100),
            Line("Disk", "system.disk.utilization_ratio", scale=100),
            Line("Container CPU", "container.cpu.utilization_ratio", scale=100),
            Line("Container memory", "container.memory.utilization_ratio", scale=100),
        ),
    ),
}


async def chart(ports: Ports, name: str, span: Span) -> Chart:
    """Return one chart of CHARTS over a stretch of time."""
    drawn = CHARTS[name]
    try:
        if isinstance(drawn, Metrics):
            buckets = cut(span.start, span.end, scrape_step(ports.settings, drawn.kind))
        else:
            # What the rollups answer quickly.
            buckets = cut(span.start, span.end, step_for(span.seconds))
        return _chart(name, drawn, buckets, await _draw(drawn, stored(ports), buckets))
    except (StoreError, StoreUnreachable) as error:
        return await _from_memory(ports, name, span, str(error))


async def _from_memory(ports: Ports, name: str, span: Span, error: str) -> Chart:
    drawn, held, at_least = CHARTS[name], REQUEST_MEMORY, REQUEST_MEMORY_STEP
    if isinstance(drawn, Metrics):
        held, at_least = SAMPLE_MEMORY, scrape_step(ports.settings, drawn.kind)
    start = max(span.start, span.end - held)
    buckets = cut(start, span.end, memory_step(start, ports.now(), at_least))
    series = await _draw(drawn, memory(ports), buckets)
    return _chart(name, drawn, buckets, series, memory_note(error, held))


def memory_note(error: str, held: float) -> str:
    return f"{error}; this is what memory holds, the last {held / 3600:.0f} h at most"


def _chart(
    name: str,
    drawn: Metrics | Requests,
    buckets: Buckets,
    series: list[ChartSeries],
    note: str = "",
) -> Chart:
    return Chart(
        id=name,
        title=drawn.title,
        unit=drawn.unit,
        start=buckets.start,
        end=buckets.end,
        step_seconds=buckets.step,
        times=buckets.times,
        series=series,
        source="memory" if note else "store",
        note=note,
    )


async def _draw(drawn: Metrics | Requests, source: Source, buckets: Buckets) -> list[ChartSeries]:
    if isinstance(drawn, Requests):
        found = await source.requests(buckets)
        return [
            ChartSeries(name, drawn.unit, found[column]) for name, column in drawn.lines.items()
        ]
    lines = [(line, await _line(line, source, buckets)) for line in drawn.lines]
    targets = {attributes.get("target", "") for _, named in lines for attributes, _ in named}
    return [
        ChartSeries(
            _name(line, attributes, several=len(targets) > 1),
            drawn.unit,
            values,
            attributes.get("target", ""),
        )
        for line, named in lines
        for attributes, values in named
    ]


async def _line(line: Line, source: Source, buckets: Buckets) -> Named:
    found = await source.metric(line.metric, line.attributes, buckets, "avg", scraped=True)
    if line.minus:
        others = await source.metric(line.minus, {}, buckets, "avg", scraped=True)
        by_target = {attributes.get("target", ""): values for attributes, values in others}
        return [
            (attributes, less(values, by_target[attributes.get("target", "")]))
            for attributes, values in found
            if attributes.get("target", "") in by_target
        ]
    return [(attributes, _scaled(values, line.scale)) for attributes, values in found]


def _scaled(values: Sequence[float | None], scale: float) -> Values:
    return [None if value is None else value * scale for value in values]


def _name(line: Line, attributes: Mapping[str, str], several: bool) -> str:
    """Return what the line is called: `main: Disk /data`, without what goes without saying."""
    known = {"target", *line.attributes}
    further = " ".join(value for key, value in sorted(attributes.items()) if key not in known)
    target = f"{attributes.get('target', '')}: " if several else ""
    return f"{target}{line.name} {further}".strip()
