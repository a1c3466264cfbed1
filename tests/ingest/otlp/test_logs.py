"""Log records of OTLP."""

from __future__ import annotations

import time
import traceback

from typing import Any

import pytest

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from monitord.ingest.decoded import Decoded
from monitord.ingest.otlp.logs import decode_logs
from tests.ingest.otlp.messages import SPAN, TRACE, attributes, logs, value


def record(body: Any = "hello", found: dict[str, Any] | None = None, **more: Any) -> LogRecord:
    known: dict[str, Any] = {"time_unix_nano": time.time_ns(), "severity_number": 9}
    return LogRecord(**known | more, body=value(body), attributes=attributes(found or {}))


def decoded(*records: LogRecord, **of: Any) -> Decoded:
    return decode_logs(logs(*records, **of).SerializeToString(), time.time(), 10_000)


def test_every_field() -> None:
    """A record keeps time, text, level, logger, ids and attributes."""
    sent = record(trace_id=TRACE, span_id=SPAN, found={"order": 17}, event_name="order.paid")

    [log] = decoded(sent, scope="shop.orders", **{"service.version": "1.8"}).logs

    assert log.time == pytest.approx(sent.time_unix_nano / 1e9)
    assert (log.service, log.level, log.message, log.logger) == (
        "shop",
        "INFO",
        "hello",
        "shop.orders",
    )
    assert (log.trace_id, log.span_id) == (TRACE.hex(), SPAN.hex())
    assert log.fields == {"service.version": "1.8", "order": 17, "event.name": "order.paid"}


def test_levels() -> None:
    """The 24 severity numbers are five levels: TRACE and DEBUG are one."""
    into = decoded(*(record(severity_number=number) for number in range(1, 25)))

    expected = ["DEBUG"] * 8 + ["INFO"] * 4 + ["WARNING"] * 4 + ["ERROR"] * 4 + ["CRITICAL"] * 4
    assert [log.level for log in into.logs] == expected


@pytest.mark.parametrize(
    ("number", "text", "level"),
    [(0, "warn", "WARNING"), (0, "", "INFO"), (0, "odd", "INFO"), (99, "Fatal", "CRITICAL")],
)
def test_without_a_number(number: int, text: str, level: str) -> None:
    """Without a severity number that can be, the level is the text's, and INFO without one."""
    [log] = decoded(record(severity_number=number, severity_text=text)).logs

    assert log.level == level


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        (17, "17"),
        (True, "true"),
        ({"a": [1, "b"]}, '{"a":[1,"b"]}'),
        (b"\x01", "AQ=="),
        (None, "order.paid"),
        ("", ""),
    ],
)
def test_bodies(body: Any, message: str) -> None:
    """A text is the message as it is, anything else as JSON; without a body it is the event."""
    [log] = decoded(record(body, event_name="order.paid")).logs

    assert log.message == message


def test_times() -> None:
    """Without its own time a record has that of its observation, without either that of receipt."""
    seen = time.time_ns() - 10**9
    now = time.time()
    sent = logs(
        record(time_unix_nano=0, observed_time_unix_nano=seen), record(time_unix_nano=0)
    ).SerializeToString()

    into = decode_logs(sent, now, 10)
    observed, received = into.logs

    assert observed.time == pytest.approx(seen / 1e9)
    assert received.time == now
    assert into.undated == 1


def test_ids_that_cannot_be() -> None:
    """They are as good as none; the record stays."""
    [log] = decoded(record(trace_id=b"abc", span_id=bytes(8))).logs

    assert (log.trace_id, log.span_id) == (None, None)


def test_an_exception() -> None:
    """`exception.*` is the record's error with its frames, and not among the fields again."""
    try:
        time.sleep("x")  # type: ignore[arg-type]
    except TypeError:
        stack = traceback.format_exc()
    said = {"exception.type": "TypeError", "exception.message": "bad"}

    [log] = decoded(record(found=said | {"exception.stacktrace": stack, "a": 1})).logs

    assert log.error is not None
    assert (log.error.type, log.error.message) == ("TypeError", "bad")
    assert [frame.function for frame in log.error.frames] == ["test_an_exception"]
    assert log.fields == {"a": 1}


def test_another_languages_stack() -> None:
    """A stack that cannot be read stays among the fields."""
    said = {"exception.type": "Error", "exception.stacktrace": "at f (a.js:1:2)"}

    [log] = decoded(record(found=said)).logs

    assert log.fields == {"exception.stacktrace": "at f (a.js:1:2)"}


def test_what_must_be_mended() -> None:
    """Long messages are cut, late records moved; a key that is too long costs its record alone."""
    late = record("late", time_unix_nano=time.time_ns() - 7_200 * 10**9)
    into = decoded(record("x" * 300_000), record(found={"k" * 201: 1}), late)

    assert [log.message[-10:] for log in into.logs] == ["300000 bytes]"[-10:], "late"]
    assert (into.clamped_times, into.refusals[0].index) == (1, 1)
