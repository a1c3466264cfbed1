"""What the page and the API stand on: everything they read, handed in as one struct."""

from __future__ import annotations

import time

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from monitord.http.kpis import Kpis
from monitord.http.parameters import Aggregate
from monitord.http.static import Assets
from monitord.intake.bus import Bus
from monitord.intake.spool.spool import Refusal
from monitord.intake.window import Window
from monitord.latency import RequestStats
from monitord.model import DurableSink, LogLine
from monitord.settings import Settings
from monitord.store.annotations import StoredAnnotation
from monitord.store.dictionaries import Crowd
from monitord.store.endpoint_stats import EndpointStats
from monitord.store.errors import ErrorDetail, ErrorsSeen
from monitord.store.jobs import Jobs
from monitord.store.recent_traces import TracePage, TraceWish
from monitord.store.request_events import Exact, TraceRequest
from monitord.store.series import SeriesFound
from monitord.store.size_cap import StoreSize
from monitord.store.traces import WholeTrace
from monitord.telemetry import Telemetry


class StoreStatus(Protocol):
    """Whether the store answers. Reading it never asks the store."""

    @property
    def up(self) -> bool | None: ...

    @property
    def since(self) -> float: ...

    @property
    def detail(self) -> str: ...


class SpoolStatus(Protocol):
    """Whether the spool takes events. Reading it never asks the disk."""

    @property
    def trouble(self) -> str: ...

    def refusal(self, size: int) -> Refusal | None: ...


class RequestSeries(Protocol):
    """Requests per step of time; None where there were none. Durations in ms."""

    @property
    def count(self) -> Sequence[float | None]: ...

    @property
    def avg_ms(self) -> Sequence[float | None]: ...

    @property
    def p50_ms(self) -> Sequence[float | None]: ...

    @property
    def p95_ms(self) -> Sequence[float | None]: ...

    @property
    def p99_ms(self) -> Sequence[float | None]: ...


class RequestReader(Protocol):
    """Reads what the store holds of requests. Raises StoreUnreachable, StoreError."""

    async def stats(self, start: float, end: float) -> RequestStats | None: ...

    async def points(self, start: float, end: float, step: float) -> RequestSeries: ...


class RequestEvents(Protocol):
    """Reads the stored requests row by row. Raises StoreUnreachable, StoreError."""

    async def exact(self, start: float, end: float) -> Exact: ...

    async def of_trace(self, trace_id: UUID, near: float | None = None) -> list[TraceRequest]: ...


class EndpointReader(Protocol):
    """Reads the stored requests by endpoint, from rollups. Raises StoreUnreachable, StoreError."""

    async def stats(self, start: float, end: float) -> list[EndpointStats]: ...


class MetricReader(Protocol):
    """Reads the stored samples. Raises StoreUnreachable, StoreError."""

    async def points(
        self,
        name: str,
        attributes: Mapping[str, str],
        start: float,
        end: float,
        step: float,
        aggregate: Aggregate | None = None,
        service: str | None = None,
    ) -> Sequence[tuple[Mapping[str, str], Sequence[float | None]]]: ...

    async def names(self) -> Sequence[str]: ...


class LogPage(Protocol):
    """
    A page of lines, newest first; `next` is the cursor to go on from, None at the end.

    `gap`: the line it was to begin before is not stored any more. `searched_since`: the search
    ended there, Unix seconds, because its time was up.
    """

    @property
    def lines(self) -> Sequence[LogLine]: ...

    @property
    def next(self) -> str | None: ...

    @property
    def gap(self) -> bool: ...

    @property
    def searched_since(self) -> float | None: ...


class LogReader(Protocol):
    """Reads the stored log. Times in Unix seconds. Raises StoreUnreachable, StoreError."""

    async def page(
        self,
        *,
        before: str | None,
        limit: int,
        level_at_least: int | None,
        text: str,
        since: float | None,
        until: float | None,
    ) -> LogPage: ...


class TraceReader(Protocol):
    """Reads all that is stored of one trace. Raises StoreUnreachable, StoreError."""

    async def whole(self, trace_id: UUID, near: float | None = None) -> WholeTrace: ...


class RecentTraces(Protocol):
    """Reads which traces there were. Raises StoreUnreachable, StoreError."""

    async def page(self, start: float, end: float, wish: TraceWish, limit: int) -> TracePage: ...


class ErrorReader(Protocol):
    """Reads the kinds of exceptions. Raises StoreUnreachable, StoreError."""

    async def seen(self, start: float, end: float, service: str, limit: int) -> ErrorsSeen: ...

    async def one(self, error_id: int) -> ErrorDetail | None: ...


class AnnotationReader(Protocol):
    """Reads the stored annotations. Raises StoreUnreachable, StoreError."""

    async def between(
        self, start: float, end: float, service: str, limit: int
    ) -> list[StoredAnnotation]: ...


class SeriesReader(Protocol):
    """Reads which series there are. Raises StoreUnreachable, StoreError."""

    async def find(
        self, name: str, service: str, attributes: Mapping[str, str], limit: int
    ) -> SeriesFound: ...


class JobReader(Protocol):
    """Reads what jobs did. Raises StoreUnreachable, StoreError."""

    async def stats(self, start: float, end: float) -> Jobs: ...


class NameCounts(Protocol):
    """How many names the store tells apart, by their tables. Reading it never asks the store."""

    def counts(self) -> Mapping[str, int | None]: ...

    def crowded(self) -> Mapping[str, Sequence[Crowd]]: ...


class Ports(Struct, frozen=True, kw_only=True):
    """
    The parts the web server reads. It owns none of them, and writes to `intake` alone.

    `checks` says by name which parts are ready; all must be, for `/readyz` to say so. `store_size`
    is what the store took when it was measured last, None before the first time; `names` is None
    where nobody writes to it.
    """

    settings: Settings
    window: Window
    bus: Bus
    intake: DurableSink
    spool: SpoolStatus
    store: StoreStatus
    store_size: Callable[[], StoreSize | None]
    requests: RequestReader
    events: RequestEvents
    endpoints: EndpointReader
    metrics: MetricReader
    logs: LogReader
    traces: TraceReader
    recent_traces: RecentTraces
    errors: ErrorReader
    annotations: AnnotationReader
    series: SeriesReader
    jobs: JobReader
    telemetry: Telemetry
    kpis: Kpis
    assets: Assets
    checks: Callable[[], Mapping[str, bool]]
    names: NameCounts | None = None
    now: Callable[[], float] = time.time
