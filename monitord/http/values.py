"""
The named values that `config/kpis.yaml` may show: where each is read, its unit, and its history.

A value is read from memory (`Window`) or from the statistics of requests. None is unknown; a target
that is down, or has not been read for a while, has no values at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from monitord.http.parameters import Aggregate
from monitord.intake.window import Window
from monitord.latency import RequestStats


# What is known of the requests per step of time, and can be drawn.
RequestColumn = Literal["avg_ms", "p50_ms", "p95_ms", "p99_ms", "per_second"]


# One slow or failed request among a few is no verdict. A share or quantile is judged from so many
# requests on that one of them cannot decide it; below that, several failures still can.
FEWEST_REQUESTS = 20
FEWEST_FAILURES = 3


class Trail(Struct, frozen=True):
    """
    The stored series that shows how a value came about.

    Its points are drawn times `scale`, per `over` where that metric is named. Of several series of
    one target the one that ends highest is meant.
    """

    metric: str
    scale: float = 1.0
    attributes: dict[str, str] = {}
    over: str = ""
    aggregate: Aggregate = "avg"


class View:
    """One target's newest numbers. A number older than `within` seconds is no number."""

    def __init__(self, window: Window, target: str, within: float) -> None:
        self._window = window
        self._target = target
        self.within = within

    def latest(self, name: str, **attributes: str) -> float | None:
        point = self._window.latest(name, within=self.within, target=self._target, **attributes)
        return None if point is None else point.value

    def total(self, name: str, seconds: float, **attributes: str) -> float | None:
        """Return the sum of a counter's increments; never over less than one scrape."""
        seconds = max(seconds, self.within)
        return self._window.total(name, seconds, target=self._target, **attributes)

    def all_of(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Return the newest value of every series of the metric, with its attributes."""
        found = []
        for attributes, _ in self._window.series(name, target=self._target):
            point = self._window.latest(name, within=self.within, **attributes)
            if point is not None:
                found.append((attributes, point.value))
        return found


Read = Callable[[View, float], float | None]


class TargetValue(Struct, frozen=True):
    """
    A number of a target of one kind. `read` gets the view and the window in seconds.

    `when_down` is what is known of it while the target is down: for most values, nothing.
    `counted` is what looks back over the window, all others are the newest sample. `empty`
    says whether it is known why there is no number: all was read, and there is nothing to divide.
    """

    kind: str
    unit: str
    read: Read
    trail: Trail | None = None
    when_down: float | None = None
    counted: bool = False
    empty: Callable[[View, float], bool] = lambda view, seconds: False


def always(stats: RequestStats) -> bool:
    return True


class RequestValue(Struct, frozen=True):
    """
    A number of the application's requests. `read` gets the statistics of the window.

    `enough` says whether so many requests stand behind it that it may be called bad. Values of one
    `topic` are bad for one cause, and told once.
    """

    unit: str
    read: Callable[[RequestStats], float | None]
    column: RequestColumn | None = None
    kind: str = "api"
    enough: Callable[[RequestStats], bool] = always
    topic: str = ""


Value = TargetValue | RequestValue


def gauge(name: str, scale: float = 1.0, **attributes: str) -> Read:
    """Read the newest sample, times `scale`."""

    def read(view: View, seconds: float) -> float | None:
        value = view.latest(name, **attributes)
        return None if value is None else value * scale

    return read


def increase(name: str) -> Read:
    """Read how much a counter grew within the window."""

    def read(view: View, seconds: float) -> float | None:
        return view.total(name, seconds)

    return read


def share(part: str, rest: str) -> Read:
    """Read part / (part + rest) of two counters' growth within the window, in percent."""

    def read(view: View, seconds: float) -> float | None:
        parts, rests = view.total(part, seconds), view.total(rest, seconds)
        if parts is None or rests is None or not parts + rests:
            return None
        return 100 * parts / (parts + rests)

    return read


def uncounted(part: str, rest: str) -> Callable[[View, float], bool]:
    """Tell whether both counters were read, and neither grew within the window."""

    def empty(view: View, seconds: float) -> bool:
        return view.total(part, seconds) == 0 and view.total(rest, seconds) == 0

    return empty


def quotient(part: str, whole: str) -> Read:
    """Read part / whole of two gauges, in percent."""

    def read(view: View, seconds: float) -> float | None:
        parts, wholes = view.latest(part), view.latest(whole)
        return 100 * parts / wholes if parts is not None and wholes else None

    return read


def sum_of(name: str) -> Read:
    """Read the sum over all series of a gauge."""

    def read(view: View, seconds: float) -> float | None:
        found = view.all_of(name)
        return sum(value for _, value in found) if found else None

    return read


def fullest(name: str, scale: float = 1.0) -> Read:
    """Read a gauge of the mount point whose disk is fullest."""

    def read(view: View, seconds: float) -> float | None:
        disks = view.all_of("system.disk.utilization_ratio")
        if not disks:
            return None
        attributes, _ = max(disks, key=lambda disk: disk[1])
        return gauge(name, scale, mountpoint=attributes.get("mountpoint", ""))(view, seconds)

    return read


def connected(view: View, seconds: float) -> float | None:
    """Read that the target answers; it is asked only of targets that do."""
    return 1.0


def slow_statements(view: View, seconds: float) -> float | None:
    """Read the slow statements of pg_stat_statements; without it, those that run slowly now."""
    found = view.latest("postgres.statements.slow")
    return view.latest("postgres.queries.slow") if found is None else found


def error_rate(stats: RequestStats) -> float | None:
    return 100 * stats.errors / stats.count if stats.count else None


def client_error_rate(stats: RequestStats) -> float | None:
    return 100 * stats.client_errors / stats.count if stats.count else None


def _latency(
    read: Callable[[RequestStats], float | None], column: RequestColumn, least: int
) -> RequestValue:
    """Return a figure of durations that is judged from `least` requests on."""
    return RequestValue(
        "ms", read, column, enough=lambda stats: stats.count >= least, topic="latency"
    )


def failures(count: Callable[[RequestStats], int]) -> Callable[[RequestStats], bool]:
    """Tell whether there were enough requests for a share of failed ones, or several of those."""

    def enough(stats: RequestStats) -> bool:
        return stats.count >= FEWEST_REQUESTS or count(stats) >= FEWEST_FAILURES

    return enough


def _gauge(kind: str, unit: str, name: str, scale: float = 1.0, **attributes: str) -> TargetValue:
    return TargetValue(kind, unit, gauge(name, scale, **attributes), Trail(name, scale, attributes))


def _quotient(kind: str, part: str, whole: str) -> TargetValue:
    return TargetValue(
        kind,
        "percent",
        quotient(part, whole),
        Trail(part, 100, over=whole),
        empty=lambda view, seconds: view.latest(part) is not None and not view.latest(whole),
    )


_REDIS: dict[str, TargetValue] = {
    "redis.connected": TargetValue("redis", "yes_no", connected, when_down=0.0),
    "redis.memory_used": _gauge("redis", "bytes", "redis.memory.used_bytes"),
    "redis.memory_max": _gauge("redis", "bytes", "redis.memory.max_bytes"),
    "redis.memory_percent": _quotient("redis", "redis.memory.used_bytes", "redis.memory.max_bytes"),
    "redis.keys": _gauge("redis", "count", "redis.keys"),
    "redis.hit_rate": TargetValue(
        "redis",
        "percent",
        share("redis.keyspace.hits", "redis.keyspace.misses"),
        Trail("redis.keyspace.hit_ratio", 100),
        counted=True,
        empty=uncounted("redis.keyspace.hits", "redis.keyspace.misses"),
    ),
    "redis.evicted_keys": TargetValue(
        "redis",
        "count",
        increase("redis.keys.evicted"),
        Trail("redis.keys.evicted", aggregate="sum"),
        counted=True,
    ),
    "redis.clients": _gauge("redis", "count", "redis.clients.connected"),
    "redis.commands_per_second": _gauge("redis", "per_second", "redis.commands_per_second"),
}

_POSTGRES: dict[str, TargetValue] = {
    "postgres.connections_active": _gauge(
        "postgres", "count", "postgres.connections", state="active"
    ),
    "postgres.connections_idle": _gauge("postgres", "count", "postgres.connections", state="idle"),
    "postgres.connections_total": _gauge("postgres", "count", "postgres.connections.total"),
    "postgres.connections_max": _gauge("postgres", "count", "postgres.connections.max"),
    "postgres.connections_percent": _quotient(
        "postgres", "postgres.connections.total", "postgres.connections.max"
    ),
    "postgres.cache_hit_ratio": TargetValue(
        "postgres",
        "percent",
        share("postgres.blocks.hit", "postgres.blocks.read"),
        Trail("postgres.cache.hit_ratio", 100),
        counted=True,
        empty=uncounted("postgres.blocks.hit", "postgres.blocks.read"),
    ),
    "postgres.commits_per_second": _gauge("postgres", "per_second", "postgres.commits_per_second"),
    "postgres.database_size": TargetValue(
        "postgres", "bytes", sum_of("postgres.database.size_bytes")
    ),
    "postgres.slow_queries": TargetValue(
        "postgres", "count", slow_statements, Trail("postgres.statements.slow")
    ),
    "postgres.blocked_queries": _gauge("postgres", "count", "postgres.queries.blocked"),
    "postgres.long_transactions": _gauge("postgres", "count", "postgres.transactions.long"),
}

_SYSTEM: dict[str, TargetValue] = {
    "system.cpu": _gauge("host", "percent", "system.cpu.utilization_ratio", 100),
    "system.cores": _gauge("host", "count", "system.cpu.count"),
    "system.memory_used": _gauge("host", "bytes", "system.memory.used_bytes"),
    "system.memory_total": _gauge("host", "bytes", "system.memory.total_bytes"),
    "system.memory": _gauge("host", "percent", "system.memory.utilization_ratio", 100),
    "system.disk_used": TargetValue("host", "bytes", fullest("system.disk.used_bytes")),
    "system.disk_total": TargetValue("host", "bytes", fullest("system.disk.total_bytes")),
    "system.disk": TargetValue(
        "host",
        "percent",
        fullest("system.disk.utilization_ratio", 100),
        Trail("system.disk.utilization_ratio", 100),
    ),
}

_API: dict[str, RequestValue] = {
    "api.latency_avg": _latency(lambda stats: stats.avg_ms, "avg_ms", FEWEST_REQUESTS),
    "api.latency_p50": _latency(lambda stats: stats.p50_ms, "p50_ms", FEWEST_FAILURES),
    "api.latency_p95": _latency(lambda stats: stats.p95_ms, "p95_ms", FEWEST_REQUESTS),
    "api.latency_p99": _latency(lambda stats: stats.p99_ms, "p99_ms", 100),
    "api.latency_max": RequestValue("ms", lambda stats: stats.max_ms, topic="latency"),
    "api.requests": RequestValue("count", lambda stats: stats.count),
    "api.requests_per_second": RequestValue(
        "per_second", lambda stats: stats.per_second, "per_second"
    ),
    "api.errors": RequestValue("count", lambda stats: stats.errors),
    "api.error_rate": RequestValue(
        "percent", error_rate, enough=failures(lambda stats: stats.errors)
    ),
    "api.client_errors": RequestValue("count", lambda stats: stats.client_errors),
    "api.client_error_rate": RequestValue(
        "percent", client_error_rate, enough=failures(lambda stats: stats.client_errors)
    ),
}

VALUES: dict[str, Value] = {**_API, **_REDIS, **_POSTGRES, **_SYSTEM}

# Kind of a target -> what the page calls it.
KINDS = {"redis": "Redis", "postgres": "PostgreSQL", "host": "System", "api": "API"}
