"""What the API answers, as frozen structs: JSON, templates and OpenAPI are made from these."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from monitord.model import TargetStatus


State = Literal["ok", "warning", "critical", "unknown"]

# Worst first: what is known to be bad goes before what is not known, that before what is well.
SEVERITY: dict[str, int] = {"critical": 0, "warning": 1, "unknown": 2, "ok": 3}


class Spark(Struct, frozen=True):
    """The points of a sparkline: Unix seconds and values; null is a gap."""

    times: list[float] = []
    values: list[float | None] = []


class Card(Struct, frozen=True):
    """
    One key figure as it is now. `value` is null while unknown, and `text` says why.

    `target` is the worst of several targets of a kind. `window` is the seconds the figure looks
    back. `since` is Unix seconds: when the value was first seen beyond its threshold. Without a
    target of its kind it is not `configured`.
    """

    id: str
    title: str
    value: float | None
    unit: str
    text: str
    state: State
    window: float
    meaning: str = ""
    target: str = ""
    since: float | None = None
    down_since: float | None = None
    reason: str = ""
    spark: Spark = Spark()
    configured: bool = True


class Row(Struct, frozen=True):
    """One line of the table. `reason` says why a value is unknown or beyond its threshold."""

    group: str
    id: str
    metric: str
    value: float | None
    unit: str
    text: str
    state: State
    window: float
    target: str = ""
    since: float | None = None
    down_since: float | None = None
    reason: str = ""
    configured: bool = True


class BannerItem(Struct, frozen=True):
    """
    One thing that is wrong now. `since` is Unix seconds; null when it is not known.

    `page` is the path of the page that says more, without the prefix.
    """

    state: State
    text: str
    since: float | None = None
    target: str = ""
    remedy: str = ""
    page: str = ""


class Banner(Struct, frozen=True):
    """The worst thing that is wrong, or that all is well; `items` has all of them, worst first."""

    state: State
    text: str
    since: float | None = None
    items: list[BannerItem] = []


class StoreState(Struct, frozen=True):
    """Whether the store answers (null: not tried yet), since when in Unix seconds, what it said."""

    up: bool | None
    since: float | None = None
    detail: str = ""


class Overview(Struct, frozen=True):
    """Everything the page shows above its charts. Times are Unix seconds."""

    generated_at: float
    range_seconds: float
    banner: Banner
    cards: list[Card]
    rows: list[Row]
    targets: list[TargetStatus]
    store: StoreState
    insecure: bool
    requests_source: Literal["store", "memory"]


class ChartSeries(Struct, frozen=True):
    """One line of a chart; `values` stands beside the chart's `times`, null is a gap."""

    name: str
    unit: str
    values: list[float | None]
    target: str = ""


class Chart(Struct, frozen=True):
    """
    Up to 720 points of a few series. `times` are the buckets' starts, Unix seconds.

    `source` is `memory` while the store is down: at most the last 6 hours, as `note` says.
    """

    id: str
    title: str
    unit: str
    start: float
    end: float
    step_seconds: float
    times: list[float]
    series: list[ChartSeries]
    source: Literal["store", "memory"] = "store"
    note: str = ""


class MetricSeries(Struct, frozen=True):
    """One series of a metric, told apart by its attributes; null is a gap."""

    attributes: dict[str, str]
    values: list[float | None]


class MetricPoints(Struct, frozen=True):
    """The series of one metric, aggregated per step. `times` are their starts, Unix seconds."""

    name: str
    aggregate: str
    start: float
    end: float
    step_seconds: float
    times: list[float]
    series: list[MetricSeries]
    source: Literal["store", "memory"] = "store"
    note: str = ""


class MetricNames(Struct, frozen=True):
    """The metrics that have been stored."""

    names: list[str]


class LogEntry(Struct, frozen=True):
    """
    One log record. `time` is Unix seconds.

    `id` is its cursor: SSE id, page cursor and permalink in one.
    """

    id: str
    time: float
    level: str
    service: str
    logger: str
    message: str
    trace_id: str | None = None
    fields: dict[str, Any] = {}
    error: dict[str, Any] | None = None


class LogEntries(Struct, frozen=True):
    """
    A page of log records, newest first; `next` leads to the page before, null at the end.

    `gap`: lines before the first one are not stored any more. `searched_since` (Unix seconds): the
    search was ended there by its deadline; `next` goes on.
    """

    lines: list[LogEntry]
    next: str | None = None
    gap: bool = False
    searched_since: float | None = None
    source: Literal["store", "memory"] = "store"
    note: str = ""


class TargetList(Struct, frozen=True):
    """Every target that is scraped, as its last reading left it."""

    targets: list[TargetStatus]


class SummaryApi(Struct, frozen=True):
    """Requests of the last hour. An error is a status of 400 or more; the rate is in percent."""

    avg_latency_ms: float | None = None
    p50_latency_ms: float | None = None
    p95_latency_ms: float | None = None
    p99_latency_ms: float | None = None
    request_count: int | None = None
    requests_per_second: float | None = None
    error_count: int | None = None
    error_rate: float | None = None


class SummaryRedis(Struct, frozen=True):
    """The first Redis target. `hit_rate` (percent) and `evicted_keys` are of the last minute."""

    connected: bool | None = None
    memory_used_mb: float | None = None
    memory_max_mb: float | None = None
    memory_percent: float | None = None
    keys_total: int | None = None
    hit_rate: float | None = None
    evicted_keys: int | None = None
    connected_clients: int | None = None


class SummaryPostgres(Struct, frozen=True):
    """The first PostgreSQL target. `cache_hit_ratio` (percent) is of the last minute."""

    connections_active: int | None = None
    connections_idle: int | None = None
    connections_total: int | None = None
    connections_max: int | None = None
    cache_hit_ratio: float | None = None
    db_size_mb: float | None = None
    slow_queries_count: int | None = None


class SummarySystem(Struct, frozen=True):
    """The host."""

    cpu_percent: float | None = None
    cpu_count: int | None = None
    memory_used_mb: float | None = None
    memory_total_mb: float | None = None
    memory_percent: float | None = None
    disk_used_gb: float | None = None
    disk_total_gb: float | None = None
    disk_percent: float | None = None


class Summary(Struct, frozen=True):
    """The figures of the page in four groups; null is unknown, never zero."""

    api: SummaryApi
    redis: SummaryRedis
    postgres: SummaryPostgres
    system: SummarySystem


class Mistake(Struct, frozen=True, omit_defaults=True):
    """Why a request was refused: one parameter breaks its rule, or what `message` says."""

    message: str = ""
    parameter: str = ""
    rule: str = ""
    found: str = ""


class Failure(Struct, frozen=True):
    """Every answer with a status of 400 or more."""

    error: Mistake


class Health(Struct, frozen=True):
    """That monitord answers at all."""

    status: Literal["ok"]


class Readiness(Struct, frozen=True):
    """Whether every part is ready; `checks` by name, only for those who may read."""

    status: Literal["ready", "not ready"]
    checks: dict[str, bool] = {}
