"""Takes the snapshot an overview is made of: from memory, and from the store what is older."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monitord.errors import StoreError, StoreUnreachable
from monitord.http.answers import Spark, StoreState
from monitord.http.buckets import Buckets, cut
from monitord.http.kpis import Kpi
from monitord.http.ports import Ports
from monitord.http.snapshot import Key, Loss, Points, Snapshot
from monitord.http.sources import (
    REQUEST_MEMORY,
    Named,
    Source,
    in_time,
    memory,
    stored,
)
from monitord.http.values import VALUES, RequestValue, TargetValue, Trail, View
from monitord.latency import RequestStats
from monitord.model import TargetStatus
from monitord.settings import Settings
from monitord.store.tiers import step_for


Sparks = dict[Key, Spark]

SPARK_POINTS = 60
LOSS_WINDOW = 300.0

# Counter of losses -> what is said of it, and whether events that had been taken are gone by it.
LOSSES = {
    "monitord.queue.dropped": ("events were dropped because the queue was full", True),
    "monitord.ingest.kernel_drops": ("datagrams were dropped by the kernel", True),
    "monitord.ingest.rejected": ("events were rejected as malformed", False),
}


async def snapshot(ports: Ports, range_seconds: float, sparks: Sparks) -> Snapshot:
    """Return the numbers of this instant for all cards and rows."""
    now = ports.now()
    targets = ports.window.targets()
    stats, from_store = await request_stats(ports, range_seconds, now)
    store = ports.store
    return Snapshot(
        at=now,
        range_seconds=range_seconds,
        targets=targets,
        numbers=dict(_numbers(ports, targets, range_seconds)),
        requests={**_windows(ports), None: stats},
        trails=dict(_trails(ports, sparks)),
        sparks=sparks,
        losses=list(_losses(ports, now)),
        store=StoreState(store.up, store.since, store.detail),
        requests_from_store=from_store,
        insecure=ports.settings.insecure,
    )


async def request_stats(
    ports: Ports, seconds: float, now: float
) -> tuple[RequestStats | None, bool]:
    """
    Return the statistics of the last `seconds`, and whether the store gave them.

    Memory stands in, for its last hour at most.
    """
    try:
        return await in_time(ports.requests.stats(now - seconds, now)), True
    except (StoreError, StoreUnreachable):
        return ports.window.requests(min(seconds, REQUEST_MEMORY)), False


def every_of(settings: Settings) -> dict[tuple[str, str], float]:
    """Return how often each (kind, target) is scraped, in seconds."""
    targets = settings.targets
    found = {("redis", target.name): target.every for target in targets.redis}
    found |= {("postgres", target.name): target.every for target in targets.postgres}
    return found | {("host", "host"): targets.host.every}


def fresh(every: float | None) -> float:
    """Return for how many seconds a sample is news: a scrape may be late or fail now and then."""
    return max(60.0, 3 * (every or 0.0))


def _windows(ports: Ports) -> dict[float | None, RequestStats | None]:
    """Return the statistics of every short window that a card or row looks back over."""
    windows = {k.window for k in ports.kpis if isinstance(VALUES[k.value], RequestValue)}
    return {seconds: ports.window.requests(seconds) for seconds in windows if seconds is not None}


def _numbers(
    ports: Ports, targets: Iterable[TargetStatus], range_seconds: float
) -> Iterator[tuple[tuple[str, str, float], float]]:
    every = every_of(ports.settings)
    asked = _asked(ports.kpis, range_seconds)
    for status in targets:
        if not status.up:
            continue
        view = View(ports.window, status.target, fresh(every.get((status.kind, status.target))))
        for name, seconds in asked:
            value = VALUES[name]
            if isinstance(value, TargetValue) and value.kind == status.kind:
                number = value.read(view, seconds)
                if number is not None:
                    yield (status.target, name, seconds), number


def _asked(kpis: Iterable[Kpi], range_seconds: float) -> set[tuple[str, float]]:
    return {(name, kpi.window or range_seconds) for kpi in kpis for name in kpi.names}


def _losses(ports: Ports, now: float) -> Iterator[Loss]:
    for name, (what, grave) in LOSSES.items():
        count = ports.window.total(name, LOSS_WINDOW)
        if count:
            begun = [
                point.at
                for _, points in ports.window.series(name)
                for point in points
                if point.value > 0 and point.at > now - LOSS_WINDOW
            ]
            yield Loss(what, count, grave, min(begun, default=None))


def _trails(ports: Ports, sparks: Sparks) -> Iterator[tuple[Key, Points]]:
    """Yield the newest points of every judged value, oldest first: of a target from memory."""
    for name in {kpi.value for kpi in ports.kpis if kpi.limits is not None}:
        value = VALUES[name]
        if isinstance(value, RequestValue):
            yield ("", name), _known(sparks.get(("", name), Spark()))
        elif value.trail is not None:
            trail = value.trail
            for attributes, points in ports.window.series(trail.metric, **trail.attributes):
                key = (attributes.get("target", ""), name)
                yield key, [(point.at, point.value * trail.scale) for point in points]


def _known(spark: Spark) -> Points:
    pairs = zip(spark.times, spark.values, strict=True)
    return [(at, value) for at, value in pairs if value is not None]


def scrape_step(ports: Ports, kind: str = "") -> float:
    """
    Return the shortest step for samples, in seconds: half as long again as a scrape's interval.

    Scrapes come a little early or late; a step of just one interval would have false gaps.
    """
    every = every_of(ports.settings).items()
    return 1.5 * max((seconds for (of, _), seconds in every if kind in ("", of)), default=0.0)


def spark_age(range_seconds: float) -> float:
    """Return for how many seconds a sparkline of the range stays as good as new."""
    return min(60.0, range_seconds / SPARK_POINTS / 2)


async def draw_sparks(ports: Ports, range_seconds: float) -> Sparks:
    """Return the sparkline of every card's value, for each target."""
    try:
        return await _draw(ports, stored(ports), range_seconds)
    except (StoreError, StoreUnreachable):
        return await _draw(ports, memory(ports), range_seconds)


async def _draw(ports: Ports, source: Source, range_seconds: float) -> Sparks:
    now, step = ports.now(), range_seconds / SPARK_POINTS
    buckets = cut(now - range_seconds, now, max(step, scrape_step(ports)))
    minutes = cut(now - range_seconds, now, max(step, step_for(range_seconds)))
    requests = await source.requests(minutes)
    sparks: Sparks = {}
    for name in {kpi.value for kpi in ports.kpis.cards}:
        value = VALUES[name]
        if isinstance(value, RequestValue) and value.column is not None:
            sparks["", name] = Spark(minutes.times, requests[value.column])
        elif isinstance(value, TargetValue) and value.trail is not None:
            for target, values in await _trail(source, value.trail, buckets):
                sparks[target, name] = Spark(buckets.times, values)
    return sparks


async def _trail(
    source: Source, trail: Trail, buckets: Buckets
) -> list[tuple[str, list[float | None]]]:
    found: Named = await source.metric(trail.metric, trail.attributes, buckets, "avg")
    return [
        (attributes.get("target", ""), [None if v is None else v * trail.scale for v in values])
        for attributes, values in found
    ]
