"""
`GET /api/monitoring/advanced/summary`: the MVP's keys, filled without its faults.

What is unknown is null. A target that is down has no numbers, only `connected: false`.
"""

from __future__ import annotations

from collections.abc import Callable

from monitord.http.answers import (
    Summary,
    SummaryApi,
    SummaryPostgres,
    SummaryRedis,
    SummarySystem,
)
from monitord.http.gather import request_stats
from monitord.http.intervals import every_of, fresh
from monitord.http.ports import Ports
from monitord.http.values import (
    VALUES,
    TargetValue,
    View,
)
from monitord.latency import RequestStats
from monitord.model import TargetStatus


HOUR = 3_600.0
# The interval window of hit rates and evictions, unless a target is scraped less often.
RECENT = 60.0
MIB = 1024.0**2
GIB = 1024.0**3

Number = Callable[[str], float | None]


async def summary(ports: Ports) -> Summary:
    """Return the figures of the last hour and of now."""
    stats, _ = await request_stats(ports, HOUR)
    return Summary(
        api=_api(stats),
        redis=_redis(*_first(ports, "redis")),
        postgres=_postgres(_first(ports, "postgres")[1]),
        system=_system(ports),
    )


def _first(ports: Ports, kind: str) -> tuple[TargetStatus | None, Number]:
    """Return the first target of a kind and a way to its numbers, all unknown while it is down."""
    found = next((t for t in ports.window.targets() if t.kind == kind), None)
    if found is None or not found.up:
        return found, _nothing
    every = every_of(ports.settings).get((kind, found.target))
    view = View(ports.window, found.target, fresh(every))

    def number(name: str) -> float | None:
        value = VALUES[name]
        return value.read(view, RECENT) if isinstance(value, TargetValue) else None

    return found, number


def _nothing(name: str) -> float | None:
    return None


def _api(stats: RequestStats | None) -> SummaryApi:
    if stats is None:  # counted, and there was none
        return SummaryApi(request_count=0, requests_per_second=0.0, error_count=0)
    errors = stats.errors + stats.client_errors
    return SummaryApi(
        avg_latency_ms=rounded(stats.avg_ms),
        p50_latency_ms=rounded(stats.p50_ms),
        p95_latency_ms=rounded(stats.p95_ms),
        p99_latency_ms=rounded(stats.p99_ms),
        request_count=stats.count,
        requests_per_second=rounded(stats.per_second, 4),
        error_count=errors,
        error_rate=rounded(100 * errors / stats.count) if stats.count else None,
    )


def _redis(status: TargetStatus | None, number: Number) -> SummaryRedis:
    return SummaryRedis(
        connected=None if status is None else status.up,
        memory_used_mb=scaled(number("redis.memory_used"), MIB),
        memory_max_mb=scaled(number("redis.memory_max"), MIB),
        memory_percent=rounded(number("redis.memory_percent")),
        keys_total=whole(number("redis.keys")),
        hit_rate=rounded(number("redis.hit_rate")),
        evicted_keys=whole(number("redis.evicted_keys")),
        connected_clients=whole(number("redis.clients")),
    )


def _postgres(number: Number) -> SummaryPostgres:
    return SummaryPostgres(
        connections_active=whole(number("postgres.connections_active")),
        connections_idle=whole(number("postgres.connections_idle")),
        connections_total=whole(number("postgres.connections_total")),
        connections_max=whole(number("postgres.connections_max")),
        cache_hit_ratio=rounded(number("postgres.cache_hit_ratio")),
        db_size_mb=scaled(number("postgres.database_size"), MIB),
        slow_queries_count=whole(number("postgres.slow_queries")),
    )


def _system(ports: Ports) -> SummarySystem:
    _, number = _first(ports, "host")
    return SummarySystem(
        cpu_percent=rounded(number("system.cpu")),
        cpu_count=whole(number("system.cores")),
        memory_used_mb=scaled(number("system.memory_used"), MIB),
        memory_total_mb=scaled(number("system.memory_total"), MIB),
        memory_percent=rounded(number("system.memory")),
        disk_used_gb=scaled(number("system.disk_used"), GIB),
        disk_total_gb=scaled(number("system.disk_total"), GIB),
        disk_percent=rounded(number("system.disk")),
    )


def rounded(value: float | None, places: int = 2) -> float | None:
    return None if value is None else round(value, places)


def scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else round(value / unit, 2)


def whole(value: float | None) -> int | None:
    return None if value is None else round(value)
