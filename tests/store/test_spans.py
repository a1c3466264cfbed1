"""Spans and annotations are stored as they were sent, once."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import asyncpg
import pytest

from monitord.model import Annotation, Batch, ErrorInfo, Frame, Span, StackFrame
from monitord.store.span_rows import id_text
from monitord.telemetry import Telemetry


SQL = asyncpg.Connection
Write = Callable[[Sequence[Frame]], Awaitable[None]]

AT = datetime(2026, 8, 1, 12, 30, 15, 123456, UTC)
NOW = AT.timestamp()
TRACE = "0123456789abcdef0123456789abcdef"
ERROR = ErrorInfo("ValueError", "no", [StackFrame("shop/a.py", 7, "buy")])


def span(**changes: object) -> Span:
    values: dict[str, object] = {
        "time": NOW,
        "service": "shop",
        "trace_id": TRACE,
        "span_id": "f123456789abcdef",
        "name": "SELECT orders",
        "duration_ms": 3.125,
    }
    return Span(**(values | changes))  # type: ignore[arg-type]


def frame(seq: int, **events: Sequence[object]) -> Frame:
    return Frame(1, seq, Batch(NOW, **events))  # type: ignore[arg-type]


async def test_span_is_stored_as_it_was(write: Write, sql: SQL) -> None:
    """
    Every column has its value, ids with their first bit set too; what is absent is null.
    """
    full = span(
        parent_id="00000000000000ff",
        kind="client",
        status="error",
        attributes={"db.query.text": "SELECT 1", "rows": [1, None]},
        error=ERROR,
    )
    await write([frame(1, spans=[full, span(duration_ms=0, span_id="0000000000000001")])])

    rows = await sql.fetch(
        "SELECT at, duration_us, span_id, parent_id, trace_id::text, status, service, name, kind,"
        " attributes, error, error_id IS NOT NULL AS failed"
        " FROM span_rows JOIN span_names USING (host_id, span_name_id) ORDER BY duration_us DESC"
    )
    first, second = rows
    assert (first["at"], first["duration_us"]) == (AT, 3_125)
    assert id_text(first["span_id"]) == "f123456789abcdef"
    assert id_text(first["parent_id"]) == "00000000000000ff"
    assert first["trace_id"].replace("-", "") == TRACE
    assert (first["service"], first["name"], first["kind"]) == ("shop", "SELECT orders", "client")
    assert (first["status"], first["failed"]) == (2, True)
    assert first["attributes"] == '{"rows": [1, null], "db.query.text": "SELECT 1"}'
    assert '"buy"' in first["error"]
    assert (second["span_id"], second["parent_id"], second["status"]) == (1, None, 0)
    assert (second["attributes"], second["error"], second["failed"]) == (None, None, False)


async def test_a_span_with_an_id_is_stored_once(write: Write, sql: SQL) -> None:
    """
    A span's id is minded like every other event's.
    """
    await write([frame(1, spans=[span(id="a")]), frame(2, spans=[span(id="a"), span()])])

    assert await sql.fetchval("SELECT count(*) FROM span_rows") == 2


async def test_a_span_that_cannot_be_stored_costs_no_neighbour(
    write: Write, sql: SQL, telemetry: Telemetry
) -> None:
    """
    A span without a time is refused, counted and given to the dead letters.
    """
    await write([frame(1, spans=[span(), span(time=float("nan")), span(time=NOW - 1)])])

    assert await sql.fetchval("SELECT count(*) FROM span_rows") == 2
    value = telemetry.registry.get_sample_value
    assert value("monitord_store_refused_events_total", {"type": "span"}) == 1
    assert value("monitord_store_events_total", {"type": "span"}) == 2


@pytest.mark.parametrize("text", ["by Ada", "\0 and \ud800", "x" * 30_000])
async def test_annotation_is_stored_as_it_was(write: Write, sql: SQL, text: str) -> None:
    """
    Every column has its value; what PostgreSQL takes no text of is replaced.
    """
    note = Annotation(NOW, "1.8.2", "shop", "deploy", text, attributes={"version": "1.8.2"})
    await write([frame(7, annotations=[note, Annotation(NOW, "second")])])

    first, second = await sql.fetch("SELECT * FROM annotations ORDER BY index")
    assert (first["at"], first["writer"], first["seq"], first["index"]) == (AT, 1, 7, 0)
    assert (first["service"], first["kind"], first["title"]) == ("shop", "deploy", "1.8.2")
    assert first["text"] == text.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
    assert first["attributes"] == '{"version": "1.8.2"}'
    assert (second["index"], second["kind"], second["service"]) == (1, "note", "")
