"""What goes over the wire, field by field, as docs/ingest.md has it."""

from __future__ import annotations

import math
import threading
import uuid

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import pytest

from monitord.emit import Emitter, trace_id, traced
from tests.emit.receiver import Receiver, wait_until


TRACE, SPAN = "ab" * 16, "cd" * 8


def fail() -> None:
    raise LookupError("no such order")


def caught(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - the tests raise what they like
        return error
    raise AssertionError("nothing was raised")


def test_a_request_with_everything(emitter: Emitter, receiver: Receiver) -> None:
    """
    A request has exactly the protocol's fields, with the exception's frames outermost first.
    """
    error = caught(fail)

    emitter.request("GET", "/orders/{id}", 500, 12.5, TRACE, SPAN, error, 1795459200.25, "order-1")

    [sent] = receiver.wait("request")
    frames = sent["error"].pop("frames")
    assert sent == {
        "type": "request",
        "time": 1795459200.25,
        "service": "shop",
        "method": "GET",
        "route": "/orders/{id}",
        "status": 500,
        "duration_ms": 12.5,
        "trace_id": TRACE,
        "span_id": SPAN,
        "id": "order-1",
        "error": {"type": "LookupError", "message": "no such order"},
    }
    # Who called the place that caught it is told too.
    called = ["test_a_request_with_everything", "caught", "fail"]
    assert [frame["function"] for frame in frames] == called
    assert frames[-1] == {
        "path": frames[0]["path"],
        "line": fail.__code__.co_firstlineno + 1,
        "function": "fail",
        "source": 'raise LookupError("no such order")',
        "in_app": True,
    }
    assert frames[0]["path"].endswith("tests/emit/test_wire.py")


def test_what_is_not_known_is_absent(emitter: Emitter, receiver: Receiver) -> None:
    """
    Optional fields that were not given are not sent, and the time is that of the call.
    """
    emitter.request("GET", "/", HTTPStatus.OK, 1)
    emitter.log("INFO", "hello")
    emitter.gauge("queue.depth", 3)

    receiver.wait("metric")
    sent = {line["type"]: line for line in receiver.lines()}
    assert set(sent["request"]) == {
        *("type", "time", "service", "method", "route", "status", "duration_ms")
    }
    assert sent["request"]["status"] == 200
    assert set(sent["log"]) == {"type", "time", "service", "level", "message"}
    assert set(sent["metric"]) == {"type", "time", "service", "name", "kind", "value"}
    assert abs(sent["log"]["time"] - datetime.now(UTC).timestamp()) < 60


def test_a_log_with_everything(emitter: Emitter, receiver: Receiver) -> None:
    """
    A log line has exactly the protocol's fields.
    """
    emitter.log(
        "ERROR",
        "order refused",
        logger="shop.orders",
        fields={"order": 17, "total": 9.5, "paid": False, "coupon": None},
        error=ValueError("no stock"),
        trace_id=TRACE,
        span_id=SPAN,
        time=1795459200.5,
        id="log-1",
    )

    [sent] = receiver.wait("log")
    assert sent == {
        "type": "log",
        "time": 1795459200.5,
        "service": "shop",
        "level": "ERROR",
        "logger": "shop.orders",
        "message": "order refused",
        "fields": {"order": 17, "total": 9.5, "paid": False, "coupon": None},
        "trace_id": TRACE,
        "span_id": SPAN,
        "id": "log-1",
        "error": {"type": "ValueError", "message": "no stock", "frames": []},
    }


def test_numbers(emitter: Emitter, receiver: Receiver) -> None:
    """
    Gauges, counters and histogram observations carry unit and attributes; attributes are text.
    """
    emitter.metric("queue.depth", 3, "gauge", "1", {"queue": "mail"}, 1795459200.0, "m-1")
    emitter.count("orders.placed", 2, {"shop": 7})  # type: ignore[dict-item]
    emitter.metric("order.total", 9.5, "histogram", "EUR")

    gauge, counter, histogram = receiver.wait("metric", 3)
    assert gauge == {
        "type": "metric",
        "time": 1795459200.0,
        "service": "shop",
        "name": "queue.depth",
        "kind": "gauge",
        "value": 3,
        "unit": "1",
        "attributes": {"queue": "mail"},
        "id": "m-1",
    }
    assert (counter["kind"], counter["value"], counter["attributes"]) == (
        "counter",
        2,
        {"shop": "7"},
    )
    assert (histogram["kind"], histogram["value"], histogram["unit"]) == ("histogram", 9.5, "EUR")


@pytest.mark.parametrize(
    ("level", "sent"),
    [
        ("warn", "WARNING"),
        ("fatal", "CRITICAL"),
        ("exception", "ERROR"),
        ("trace", "DEBUG"),
        ("whatever", "INFO"),
        (10, "DEBUG"),
        (25, "INFO"),
        (30, "WARNING"),
        (41, "ERROR"),
        (50, "CRITICAL"),
    ],
)
def test_levels(emitter: Emitter, receiver: Receiver, level: str | int, sent: str) -> None:
    """
    Other names and the numbers of the logging module become one of the protocol's five levels.
    """
    emitter.log(level, "x")

    [line] = receiver.wait("log")
    assert line["level"] == sent


@pytest.mark.parametrize(
    ("method", "sent"), [("get", "GET"), ("QUERY", "QUERY"), ("EVIL", "OTHER"), ('"', "OTHER")]
)
def test_methods(emitter: Emitter, receiver: Receiver, method: str, sent: str) -> None:
    """
    A method nobody knows is OTHER: it may come from anybody and must not make labels.
    """
    emitter.request(method, "/", 200, 1)

    [line] = receiver.wait("request")
    assert line["method"] == sent


class Odd:
    """Cannot be shown in any way."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        (2**80, str(2**80)),
        (Decimal("1.50"), "Decimal('1.50')"),
        (datetime(2026, 11, 23, tzinfo=UTC), "2026-11-23T00:00:00+00:00"),
        (b"\x00\xff", "b'\\x00\\xff'"),
        ({"a": {1: ("x", {2})}}, {"a": {"1": ["x", [2]]}}),
        ("a\x00b", "a\ufffdb"),
        ("\ud800", "?"),
        (HTTPStatus.OK, "200"),
        (Odd(), "<Odd that cannot be shown>"),
        (uuid.UUID(int=5), "UUID('00000000-0000-0000-0000-000000000005')"),
    ],
)
def test_any_value_can_be_a_field(
    emitter: Emitter, receiver: Receiver, value: object, sent: object
) -> None:
    """
    What JSON does not know is sent as text, and nothing a value does can lose the line.
    """
    emitter.log("INFO", "x", fields={"value": value})

    [line] = receiver.wait("log")
    assert line["fields"] == {"value": sent}


def test_a_cycle_and_a_flood_of_fields_are_cut(emitter: Emitter, receiver: Receiver) -> None:
    """
    Nested, long and many values are bounded: 64 entries, 8 levels, 64 Ki characters.
    """
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    many = {f"key-{number}": "x" * 100_000 for number in range(1_000)}

    emitter.log("INFO", "x", fields=cycle)
    emitter.log("INFO", "y", fields=many)

    deep, wide = sorted(receiver.wait("log", 2), key=lambda line: str(line["message"]))
    assert str(deep["fields"]).count("'self'") == 9
    assert len(wide["fields"]) == 64
    assert sum(map(len, wide["fields"].values())) < 66_000


class Hostile(Mapping[str, str]):
    """A mapping that fails at whatever it is asked."""

    def __getitem__(self, key: str) -> str:
        raise RuntimeError(key)

    def __iter__(self) -> Iterator[str]:
        raise OSError("gone")

    def __len__(self) -> int:
        return 1


def test_a_mapping_that_fails_costs_its_fields_alone(emitter: Emitter, receiver: Receiver) -> None:
    """
    Fields and attributes that cannot be read are replaced by a word about it.
    """
    emitter.log("INFO", "x", fields=Hostile())
    emitter.count("x", 1, Hostile())

    [line] = receiver.wait("log")
    [number] = receiver.wait("metric")
    assert line["fields"] == {"fields": "<Hostile that cannot be shown>"}
    assert number["attributes"] == {"attributes": "<Hostile that cannot be shown>"}


def test_fields_are_those_of_the_call(emitter: Emitter, receiver: Receiver) -> None:
    """
    What the application does to a logged object afterwards changes nothing.
    """
    basket = ["tea"]
    fields = {"basket": basket}

    emitter.log("INFO", "x", fields=fields)
    basket.append("milk")
    fields.clear()

    [line] = receiver.wait("log")
    assert line["fields"] == {"basket": ["tea"]}


def test_text_is_bounded_and_one_line(emitter: Emitter, receiver: Receiver) -> None:
    """
    A message is cut at 64 Ki characters, and no text of any field can begin another line.
    """
    emitter.log("INFO", 'a\n{"type":"request"}\u2028\x7f', logger="l\n")
    emitter.log("INFO", "é" * 100_000)
    emitter.request("GET", "/\n" + "x" * 2_000, 200, 1)

    receiver.wait("request")
    first, second = sorted(receiver.wait("log", 2), key=lambda line: len(line["message"]))
    assert first["message"] == 'a\n{"type":"request"}\u2028\x7f'
    assert first["logger"] == "l\n"
    assert len(second["message"]) == 65_536
    assert len(receiver.events("request")[0]["route"]) == 1_000


@pytest.mark.parametrize(
    "record",
    [
        lambda emitter: emitter.metric("x", math.nan),
        lambda emitter: emitter.metric("x", "many"),
        lambda emitter: emitter.metric("x", 1, "thing"),
        lambda emitter: emitter.metric("", 1),
        lambda emitter: emitter.request("GET", "/", 99, 1),
        lambda emitter: emitter.request("GET", "/", 600, 1),
        lambda emitter: emitter.request("GET", "/", 200, math.nan),
        lambda emitter: emitter.request("GET", "", 200, 1),
        lambda emitter: emitter.request(None, None, None, None),
        lambda emitter: emitter.request("GET", "/", 200, 1, time=math.inf),
        lambda emitter: emitter.log(None, "x"),
    ],
)
def test_what_the_daemon_would_refuse_is_counted(
    emitter: Emitter, receiver: Receiver, record: Callable[[Any], None]
) -> None:
    """
    An impossible event raises nothing, costs its neighbours nothing, and is counted as invalid.
    """
    record(emitter)
    emitter.log("INFO", "after")

    receiver.wait("log")
    wait_until(lambda: emitter.lost == {"invalid": 1})
    assert [line["type"] for line in receiver.lines()] == ["sender", "log"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("AB" * 16, "ab" * 16),
        ("01234567-89AB-cdef-0123-456789abcdef", "0123456789abcdef0123456789abcdef"),
        ("abc", None),
        ("g" * 32, None),
        ('"' * 32, None),
    ],
)
def test_trace_ids_are_hex_or_absent(
    emitter: Emitter, receiver: Receiver, given: str, sent: str | None
) -> None:
    """
    A trace id is 32 lower-case hex digits, a UUID loses its dashes, anything else is not sent.
    """
    emitter.request("GET", "/", 200, 1, given)

    [line] = receiver.wait("request")
    assert line.get("trace_id") == sent


def test_a_duration_out_of_range_is_moved_into_it(emitter: Emitter, receiver: Receiver) -> None:
    """
    A clock that went back, or a stream of days, costs no request.
    """
    emitter.request("GET", "/back", 200, -5.0)
    emitter.request("GET", "/days", 200, 1e12)

    assert [line["duration_ms"] for line in receiver.wait("request", 2)] == [0.0, 86_400_000.0]


def test_logs_belong_to_the_trace_being_served(emitter: Emitter, receiver: Receiver) -> None:
    """
    A log line carries the ids of the trace it was written in; the one after it has none.
    """
    with traced() as trace:
        emitter.log("INFO", "inside")
    emitter.log("INFO", "outside")

    inside, outside = receiver.wait("log", 2)
    assert (inside["trace_id"], len(inside["span_id"])) == (trace, 16)
    assert "trace_id" not in outside
    assert trace_id.get() is None


def test_a_long_traceback_keeps_both_ends(emitter: Emitter, receiver: Receiver) -> None:
    """
    Of a thousand frames the first ten and the last thirty are sent.
    """

    def down(depth: int) -> None:
        if depth == 0:
            fail()
        down(depth - 1)

    emitter.log("ERROR", "deep", error=caught(lambda: down(500)))

    [line] = receiver.wait("log")
    functions = [frame["function"] for frame in line["error"]["frames"]]
    caller, *functions = functions
    assert caller == "test_a_long_traceback_keeps_both_ends"
    assert len(functions) == 40
    assert (functions[0], functions[-1]) == ("caught", "fail")


def test_a_group_of_one_is_the_one(emitter: Emitter, receiver: Receiver) -> None:
    """
    What a task group wraps around a single exception is taken off; a type has its module's name.
    """
    inner = caught(lambda: uuid.UUID("x"))

    emitter.log("ERROR", "x", error=ExceptionGroup("tasks", [inner]))  # type: ignore[list-item]
    emitter.log("ERROR", "y", error=threading.BrokenBarrierError())

    single, named = receiver.wait("log", 2)
    assert single["error"]["type"] == "ValueError"
    assert single["error"]["frames"][-1]["in_app"] is False
    assert named["error"]["type"] == "threading.BrokenBarrierError"
