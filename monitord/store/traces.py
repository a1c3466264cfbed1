"""Reads everything that is stored of one trace: its requests, spans, log lines and exceptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from msgspec import Struct, structs

from monitord.model import ErrorInfo, LogLine
from monitord.store.connection import Connection
from monitord.store.errors import ErrorGroup, ErrorReader
from monitord.store.logs import line
from monitord.store.partitions import CLOSED_HOURS
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.request_events import MOST_OF_TRACE, ROWS, RequestEvents, TraceRequest
from monitord.store.requests import moment
from monitord.store.span_rows import STATUSES, id_text


T = TypeVar("T")

# Where a trace is looked for: a span may be all there is of it.
TABLES = (*ROWS, "spans", "fresh_spans", CLOSED_HOURS)

# Of spans and of log lines each, what they hold of texts.
MOST_BYTES = 4 * 1024 * 1024

# Log lines are found by their time alone: they are read so far around requests and spans, and for
# so long.
LOGS_AROUND_SECONDS = 60.0
LOGS_DEADLINE_SECONDS = 2.0

STATUS_NAMES = {number: name for name, number in STATUSES.items()}


class TraceSpan(Struct, frozen=True, kw_only=True):
    """
    One step of a trace. `start` is Unix seconds.

    `parent_id` is the step it is a part of: a span, or a request, whose own id is not stored.
    """

    start: float
    duration_ms: float
    service: str
    name: str
    kind: str
    status: str
    span_id: str
    parent_id: str | None
    error: bool
    error_id: str | None
    exception: ErrorInfo | None
    attributes: dict[str, Any]


class TraceLine(LogLine, frozen=True):
    """A log line of a trace; `error_id` is the kind of its exception."""

    error_id: str | None = None


class Cut(Struct, frozen=True):
    """Of which there are more than were read; of log lines, or there was no more time for them."""

    requests: bool = False
    spans: bool = False
    logs: bool = False


class WholeTrace(Struct, frozen=True):
    """What is stored of one trace, each by its start; `errors` are the kinds of its exceptions."""

    requests: list[TraceRequest]
    spans: list[TraceSpan]
    logs: list[TraceLine]
    errors: list[ErrorGroup]
    cut: Cut


NOTHING = WholeTrace([], [], [], [], Cut())


class TraceReader:
    """The traces of this instance, looked for as requests of a trace are, and in turn with them."""

    def __init__(self, store: Store, requests: RequestEvents) -> None:
        self._store = store
        self._requests = requests
        self._groups = ErrorReader(store)

    async def whole(self, trace_id: UUID, near: float | None = None) -> WholeTrace:
        """
        Return all there is of a trace, of each sort the MOST_OF_TRACE that ended first.

        It is found as RequestEvents.of_trace finds its requests. A trace that has neither requests
        nor spans is found near a moment only: no index knows the traces of log lines.

        Raises: as of_trace.
        """
        return await self._requests.around(trace_id, near, self._between, TABLES) or NOTHING

    async def _between(self, trace_id: UUID, since: float, until: float) -> WholeTrace:
        requests = await self._requests.between(trace_id, since, until)
        async with self._store.connection() as connection:
            spans, more_spans = await self._spans(connection, trace_id, since, until)
            times = [one.time for one in requests] + [ended(one) for one in spans]
            times += [began(one) for one in requests] + [one.start for one in spans]
            if times:
                since = max(since, min(times) - LOGS_AROUND_SECONDS)
                until = min(until, max(times) + LOGS_AROUND_SECONDS)
            logs, more_logs = await self._logs(connection, trace_id, since, until)
            found: list[TraceRequest | TraceSpan | TraceLine] = [*requests, *spans, *logs]
            failed = {int(one.error_id) for one in found if one.error_id is not None}
            errors = await self._groups.by_id(connection, sorted(failed))
        return WholeTrace(
            sorted(requests, key=began),
            sorted(spans, key=lambda one: one.start),
            logs,
            errors,
            Cut(len(requests) == MOST_OF_TRACE, more_spans, more_logs),
        )

    async def _spans(
        self, connection: Connection, trace_id: UUID, since: float, until: float
    ) -> tuple[list[TraceSpan], bool]:
        async with connection.transaction(readonly=True):
            # Of a table without statistics the planner might read all.
            await connection.execute("SET LOCAL enable_seqscan = off")
            rows = self._asked(queries().trace_spans, connection, trace_id, since, until)
            return some([row async for row in rows], trace_span)

    async def _logs(
        self, connection: Connection, trace_id: UUID, since: float, until: float
    ) -> tuple[list[TraceLine], bool]:
        limit_ms = str(int(LOGS_DEADLINE_SECONDS * 1000))
        try:
            async with connection.transaction(readonly=True):
                await queries().limit_statement(connection, milliseconds=limit_ms)
                rows = self._asked(queries().trace_logs, connection, trace_id, since, until)
                return some([row async for row in rows], trace_line)
        except asyncpg.QueryCanceledError:
            return [], True

    def _asked(
        self, query: Any, connection: Connection, trace_id: UUID, since: float, until: float
    ) -> Any:
        """Return the rows of a trace, one more than are shown."""
        return query(
            connection,
            host_id=self._store.host_id,
            trace_id=trace_id,
            since=moment(since),
            until=moment(until),
            most=MOST_OF_TRACE + 1,
            most_bytes=MOST_BYTES,
        )


def began(request: TraceRequest) -> float:
    """Return when a request began, Unix seconds."""
    return request.time - request.duration_ms / 1000


def ended(span: TraceSpan) -> float:
    """Return when a span ended, Unix seconds."""
    return span.start + span.duration_ms / 1000


def some(
    rows: Sequence[Mapping[str, Any]], make: Callable[[Mapping[str, Any]], T]
) -> tuple[list[T], bool]:
    """Return what is made of as many rows as are shown, and whether there are more."""
    shown = rows[:MOST_OF_TRACE]
    return [make(row) for row in shown], bool(rows) and rows[0]["found"] > len(shown)


def trace_span(row: Mapping[str, Any]) -> TraceSpan:
    error_id, error, attributes = row["error_id"], row["error"], row["attributes"]
    return TraceSpan(
        start=row["at"].timestamp() - row["duration_us"] / 1e6,
        duration_ms=row["duration_us"] / 1000,
        service=row["service"],
        name=row["name"],
        kind=row["kind"],
        status=STATUS_NAMES.get(row["status"], "unset"),
        span_id=id_text(row["span_id"]),
        parent_id=None if row["parent_id"] is None else id_text(row["parent_id"]),
        error=row["status"] == STATUSES["error"] or error_id is not None,
        error_id=None if error_id is None else str(error_id),
        exception=msgspec.json.decode(error, type=ErrorInfo) if error else None,
        attributes=msgspec.json.decode(attributes) if attributes else {},
    )


def trace_line(row: Mapping[str, Any]) -> TraceLine:
    error_id = None if row["error_id"] is None else str(row["error_id"])
    return TraceLine(**structs.asdict(line(row)), error_id=error_id)
