"""How values came about: sparklines over a range, and the newest points that say since when."""

from __future__ import annotations

import math

from collections.abc import Iterator

from monitord.errors import StoreError, StoreUnreachable
from monitord.http.answers import Spark
from monitord.http.buckets import Buckets, cut, divided
from monitord.http.intervals import scrape_step
from monitord.http.ports import Ports
from monitord.http.snapshot import Key, Points
from monitord.http.sources import SAMPLE_MEMORY, Source, Values, memory, stored
from monitord.http.values import VALUES, RequestValue, TargetValue, Trail
from monitord.intake.window import Window
from monitord.store.tiers import step_for


Sparks = dict[Key, Spark]

SPARK_POINTS = 60


def trails(ports: Ports) -> Iterator[tuple[Key, Points]]:
    """Yield the newest points of every judged value of a target, oldest first, from memory."""
    for name in {kpi.value for kpi in ports.kpis if kpi.limits is not None}:
        value = VALUES[name]
        if isinstance(value, TargetValue) and value.trail is not None:
            for target, points in _remembered(ports.window, value.trail).items():
                yield (target, name), points


def _remembered(window: Window, trail: Trail) -> dict[str, Points]:
    """Return the points memory has of a trail, by target."""
    found: dict[str, Points] = {}
    for attributes, points in window.series(trail.metric, **trail.attributes):
        target = attributes.get("target", "")
        scale: float | None = trail.scale
        if trail.over:
            whole = window.latest(trail.over, within=SAMPLE_MEMORY, target=target)
            scale = trail.scale / whole.value if whole is not None and whole.value else None
        known = found.get(target)
        if scale is not None and (known is None or points[-1].value * scale > known[-1][1]):
            found[target] = [(point.at, point.value * scale) for point in points]
    return found


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
    buckets = cut(now - range_seconds, now, max(step, scrape_step(ports.settings)))
    minutes = cut(now - range_seconds, now, max(step, step_for(range_seconds)))
    requests = await source.requests(minutes)
    sparks: Sparks = {}
    for name in {kpi.value for kpi in ports.kpis.cards}:
        value = VALUES[name]
        if isinstance(value, RequestValue) and value.column is not None:
            sparks["", name] = Spark(minutes.times, requests[value.column])
        elif isinstance(value, TargetValue) and value.trail is not None:
            drawn = await _trail(source, value.trail, buckets)
            sparks |= {(target, name): Spark(buckets.times, drawn[target]) for target in drawn}
    return sparks


async def _trail(source: Source, trail: Trail, buckets: Buckets) -> dict[str, Values]:
    """Return a trail's values per bucket, by target."""
    wholes: dict[str, Values] = {}
    if trail.over:
        named = await source.metric(trail.over, {}, buckets, "avg", scraped=True)
        wholes = {attributes.get("target", ""): values for attributes, values in named}
    found: dict[str, Values] = {}
    unknown: Values = [None] * buckets.count
    for attributes, values in await source.metric(
        trail.metric, trail.attributes, buckets, trail.aggregate, scraped=True
    ):
        target = attributes.get("target", "")
        if trail.over:
            drawn = divided(values, wholes.get(target, unknown), trail.scale)
        else:
            drawn = [None if value is None else value * trail.scale for value in values]
        if target not in found or _newest(drawn) > _newest(found[target]):
            found[target] = drawn
    return found


def _newest(values: Values) -> float:
    return next((value for value in reversed(values) if value is not None), -math.inf)
