"""Traces as they are read again: one with all it has, and the newest of many."""

from __future__ import annotations

import contextlib
import time

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest

from monitord.errors import StoreUnreachable
from monitord.model import Batch, ErrorInfo, Frame, Log, Request, Span, StackFrame
from monitord.store import recent_traces, request_events, traces
from monitord.store.closing import close
from monitord.store.connection import Connection
from monitord.store.fingerprint import fingerprint
from monitord.store.partitions import CLOSED_HOURS, hour_of
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.recent_traces import RecentTraces, TraceHead, TraceWish
from monitord.store.request_events import RequestEvents
from monitord.store.traces import Cut, TraceReader, WholeTrace


T = TypeVar("T")
SQL = asyncpg.Connection
Write = Callable[[Sequence[Frame]], Awaitable[None]]

# The start of an hour some hours ago.
AT = time.time() // 3_600 * 3_600 - 4 * 3_600
SLOW_BEFORE = """
CREATE OR REPLACE VIEW request_rows AS
SELECT at, duration_us, trace_id, error_id, endpoint_id, status, host_id
FROM requests
WHERE at > to_timestamp({}) OR pg_sleep(60) IS NOT NULL
"""
TRACE = uuid4()
OTHER = uuid4()
ERROR = ErrorInfo("ValueError", "no", [StackFrame("shop/a.py", 7, "buy")])
WORSE = ErrorInfo("KeyError", "gone", [StackFrame("shop/b.py", 9, "look")])


def request(at: float = AT, trace: UUID | None = TRACE, **changes: object) -> Request:
    values: dict[str, object] = {"service": "shop", "method": "GET", "route": "/orders/{id}"}
    values |= {"status": 200, "duration_ms": 100.0, "trace_id": trace.hex if trace else None}
    return Request(at, **(values | changes))  # type: ignore[arg-type]


def span(at: float = AT, trace: UUID = TRACE, **changes: object) -> Span:
    values: dict[str, object] = {"service": "shop", "trace_id": trace.hex, "duration_ms": 10.0}
    values |= {"span_id": "f" * 16, "name": "SELECT orders"}
    return Span(at, **(values | changes))  # type: ignore[arg-type]


def log(at: float = AT, trace: UUID = TRACE, **changes: object) -> Log:
    values: dict[str, object] = {"service": "shop", "level": "ERROR", "message": "it broke"}
    return Log(at, **(values | {"trace_id": trace.hex} | changes))  # type: ignore[arg-type]


def frame(seq: int, **events: Sequence[object]) -> Frame:
    return Frame(1, seq, Batch(time.time(), **events))  # type: ignore[arg-type]


async def whole(store: Store, trace: UUID = TRACE, near: float | None = None) -> WholeTrace:
    return await TraceReader(store, RequestEvents(store)).whole(trace, near)


@pytest.mark.parametrize("near", [None, AT + 60])
async def test_all_of_a_trace(store: Store, write: Write, near: float | None) -> None:
    """
    Requests, spans, log lines and the kinds of their exceptions come together, each by its start,
    near a moment and without one; nothing of another trace does.
    """
    early = span(
        AT - 0.05,
        span_id="00000000000000aa",
        parent_id="00000000000000ff",
        kind="client",
        status="error",
        attributes={"db.query.text": "SELECT 1"},
        error=WORSE,
    )
    late = span(AT - 0.02, duration_ms=70.0, name="cache", span_id="00000000000000bb")
    await write(
        [
            frame(
                1,
                requests=[request(status=500, error=ERROR), request(trace=OTHER)],
                spans=[early, late, span(trace=OTHER)],
                logs=[log(error=ERROR, fields={"n": 1}), log(AT - 1), log(trace=OTHER)],
            )
        ]
    )

    found = await whole(store, near=near)

    [one] = found.requests
    assert (one.route, one.status, one.error) == ("/orders/{id}", 500, True)
    assert one.error_id == str(fingerprint(ERROR))
    assert [each.name for each in found.spans] == ["cache", "SELECT orders"]
    second = found.spans[1]
    assert second.start == pytest.approx(AT - 0.06, abs=1e-5)
    assert (second.span_id, second.parent_id) == ("00000000000000aa", "00000000000000ff")
    assert (second.kind, second.status, second.error) == ("client", "error", True)
    assert (second.exception, second.error_id) == (WORSE, str(fingerprint(WORSE)))
    assert second.attributes == {"db.query.text": "SELECT 1"}
    assert [line.log.time for line in found.logs] == [AT - 1, AT]
    assert found.logs[1].log.fields == {"n": 1}
    assert (found.logs[0].error_id, found.logs[1].error_id) == (None, str(fingerprint(ERROR)))
    assert {group.type for group in found.errors} == {"ValueError", "KeyError"}
    assert found.cut == Cut()


async def test_a_trace_of_spans_alone(store: Store, write: Write) -> None:
    """
    A trace without a request is found by its spans, through the days too; what has neither is not.
    """
    await write([frame(1, spans=[span(AT - 3 * 86_400)], logs=[log(trace=OTHER)])])

    assert len((await whole(store)).spans) == 1
    assert await whole(store, OTHER) == traces.NOTHING
    assert len((await whole(store, OTHER, AT)).logs) == 1


async def test_a_search_while_an_hour_is_closed(
    store: Store, write: Write, sql: SQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An hour that is closed to be thinned after a search has seen which there are is found all the
    same.
    """
    await write([frame(1, spans=[span()])])
    hour, listed = hour_of(AT), request_events.partitions

    async def then_close(connection: Connection, *parents: str) -> list[str]:
        names = await listed(connection, *parents)
        with contextlib.suppress(asyncpg.PostgresError):  # somebody else's lock, or it is closed
            async with sql.transaction():
                await sql.execute("SET LOCAL lock_timeout = '100ms'")
                await close(sql, "fresh_spans", CLOSED_HOURS, hour)
                await queries().add_thinning_mark(sql, hour=hour)
        return names

    monkeypatch.setattr(request_events, "partitions", then_close)
    searching = RequestEvents(store)
    monkeypatch.setattr(searching, "_days", lambda _tables: soon([hour.date()]))

    found = await TraceReader(store, searching).whole(TRACE)

    assert len(found.spans) == 1


async def soon(value: T) -> T:
    return value


async def test_a_trace_is_cut(store: Store, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of each sort so many come, and it is said of which there are more.
    """
    monkeypatch.setattr(traces, "MOST_OF_TRACE", 2)
    spans = [span(AT + n, name=f"{n}") for n in range(3)]
    await write([frame(1, spans=spans, logs=[log(AT), log(AT + 1)])])

    found = await whole(store, near=AT)

    assert [one.name for one in found.spans] == ["0", "1"]
    assert len(found.logs) == 2
    assert found.cut == Cut(spans=True)


async def heads(
    store: Store,
    start: float = AT - 3_600,
    end: float = AT + 3_600,
    limit: int = 10,
    **wish: object,
) -> list[TraceHead]:
    asked = TraceWish(**wish)  # type: ignore[arg-type]
    return (await RecentTraces(store).page(start, end, asked, limit)).traces


async def test_a_trace_with_much_text(
    store: Store, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A trace is cut too where its texts are too long together.
    """
    monkeypatch.setattr(traces, "MOST_BYTES", 1_000)
    spans = [span(AT + n, name=f"{n}", attributes={"q": "x" * 400}) for n in range(3)]
    logs = [log(AT + n, message="x" * 400) for n in range(3)]
    await write([frame(1, spans=spans, logs=logs)])

    found = await whole(store, near=AT)

    assert [one.name for one in found.spans] == ["0", "1"]
    assert len(found.logs) == 2
    assert found.cut == Cut(spans=True, logs=True)


async def test_recent_traces(store: Store, write: Write) -> None:
    """
    The newest comes first, each trace once, by what began first of its requests and first spans; a
    request without a trace is none.
    """
    root = span(AT, duration_ms=500.0, name="checkout", kind="server", status="ok")
    child = span(AT - 0.1, parent_id="f" * 16, error=ERROR)
    await write(
        [
            frame(1, requests=[request(AT - 0.1), request(AT + 1, OTHER, status=503)]),
            frame(2, spans=[root, child], requests=[request(AT + 5, None)]),
        ]
    )

    newest, oldest = await heads(store)

    assert (newest.trace_id, newest.kind, newest.name) == (
        OTHER.hex,
        "request",
        "GET /orders/{id}",
    )
    assert (newest.status, newest.error, newest.spans) == ("503", True, 0)
    assert (oldest.trace_id, oldest.kind, oldest.name) == (TRACE.hex, "server", "checkout")
    assert (oldest.status, oldest.error, oldest.spans) == ("ok", False, 2)
    assert (oldest.time, oldest.duration_ms) == (AT, 500.0)
    assert oldest.start == pytest.approx(AT - 0.5)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({}, ["job", "cart", "order"]),
        ({"service": "shop"}, ["cart", "order"]),
        ({"name": "ORDERS"}, ["order"]),
        ({"name": "/cart"}, ["cart"]),
        ({"name": "%"}, []),
        ({"name": "send"}, ["job"]),
        ({"min_ms": 200.0}, ["job", "order"]),
        ({"only_errors": True}, ["job", "cart"]),
        ({"limit": 1}, ["job"]),
        ({"start": AT - 1, "end": AT + 1}, ["order"]),
        ({"end": AT + 600}, ["cart", "order"]),
    ],
)
async def test_which_traces(
    store: Store, write: Write, wish: dict[str, object], expected: list[str]
) -> None:
    """
    A service, a text in the name, a duration, errors, a stretch of time and a number choose among
    them; what a pattern would mean is looked for as it stands.
    """
    ids = {name: uuid4() for name in ("order", "cart", "job")}
    await write(
        [
            frame(
                1,
                requests=[
                    request(AT, ids["order"], duration_ms=200.0),
                    request(AT + 60, ids["cart"], route="/cart", error=ERROR),
                ],
                spans=[
                    span(
                        AT + 1_800,
                        ids["job"],
                        service="worker",
                        name="send mail",
                        status="error",
                        duration_ms=900.0,
                    )
                ],
            )
        ]
    )
    names = {trace.hex: name for name, trace in ids.items()}

    found = await heads(store, **wish)  # type: ignore[arg-type]

    assert [names[one.trace_id] for one in found] == expected


@pytest.mark.parametrize(
    ("wish", "there"),
    [
        ({}, True),
        ({"service": "front"}, True),
        ({"service": "back"}, False),
        ({"only_errors": True}, False),
        ({"name": "price"}, False),
        ({"min_ms": 50.0}, True),
        ({"end": AT - 0.01}, False),
    ],
)
async def test_a_trace_is_chosen_by_what_began_it(
    store: Store, write: Write, wish: dict[str, object], there: bool
) -> None:
    """
    A later step of a trace that is as asked for does not stand for the first, which is not.
    """
    front = request(AT, service="front", route="/home")
    back = request(AT - 0.05, service="back", route="/price", status=500, duration_ms=10.0)
    await write([frame(1, requests=[front, back])])

    found = await heads(store, **wish)  # type: ignore[arg-type]

    assert [(one.service, one.error) for one in found] == [("front", False)] * there


async def test_a_trace_whose_first_step_was_short(store: Store, write: Write) -> None:
    """
    What goes on after the first step has ended does not stand for it, and is no trace of its own.
    """
    later = [request(AT + n, duration_ms=10.0, route="/later") for n in (1, 15, 40)]
    await write([frame(1, requests=[request(AT), *later])])

    [one] = await heads(store)

    assert (one.time, one.name) == (AT, "GET /orders/{id}")


async def test_traces_of_many_rows(
    store: Store, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What does not count at once is read in turn: each trace is there once, however many of one
    moment there are.
    """
    monkeypatch.setattr(recent_traces, "MOST_ROWS", 2)
    ids = [uuid4() for _ in range(3)]
    many = [request(AT - n // 3, ids[n % 3]) for n in range(12)]
    await write([frame(1, requests=[*many, request(AT - 2_000, TRACE)])])

    found = [one.trace_id for one in await heads(store)]

    assert sorted(found[:3]) == sorted(each.hex for each in ids)
    assert found[3:] == [TRACE.hex]


async def test_a_search_without_time(
    store: Store, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A search that comes nowhere before its deadline is no empty answer; one that came somewhere says
    how far, with what it found.
    """
    await write([frame(1, requests=[request(AT), request(AT - 1_000, OTHER)])])
    monkeypatch.setattr(recent_traces, "DEADLINE_SECONDS", 0.5)
    async with store.connection() as connection:
        await connection.execute(SLOW_BEFORE.format(AT - 1))

    found = await RecentTraces(store).page(AT - 3_600, AT + 1, TraceWish(), 10)

    assert [one.trace_id for one in found.traces] == [TRACE.hex]
    assert found.searched_since is not None
    assert AT - 1_000 < found.searched_since < AT
    with pytest.raises(StoreUnreachable):
        await heads(store, end=AT - 995)
