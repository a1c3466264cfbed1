"""Log lines on their way out."""

from __future__ import annotations

import json

import pytest

from monitord.http.lines import Encoder, entry, line_filter
from monitord.model import ErrorInfo, Log, LogLine, StackFrame


TRACE = "0123456789abcdef0123456789abcdef"


def line(message: str = "hello", level: str = "INFO", index: int = 0, **further: object) -> LogLine:
    log = Log(time=1_795_459_200.5, service="shop", level=level, message=message, **further)  # type: ignore[arg-type]
    return LogLine(1_795_459_100_000, 7, index, log)


@pytest.mark.parametrize(
    ("level", "text", "kept"),
    [
        (None, "", True),
        (13, "", True),
        (17, "", True),
        (21, "", False),
        (None, "PAYMENT", True),
        (None, "valueerror", True),
        (None, "bad card", True),
        (None, "shop.orders", True),
        (None, "shop", True),
        (None, TRACE[:8], True),
        (None, TRACE.upper(), True),
        (None, TRACE[1:9], False),
        (None, "ORDER_ID", True),
        (None, "4711", True),
        (None, "/cart/é", True),
        (None, "true", True),
        (None, "null", False),
        (None, "nan", False),
        (None, "absent", False),
        (21, "payment", False),
    ],
)
def test_filter(level: int | None, text: str, kept: bool) -> None:
    """
    A level keeps what is as bad or worse; a text is looked for wherever a line has text.
    """
    error = ErrorInfo(type="ValueError", message="bad card")
    fields = {"order_id": 4711, "at": ["/cart/É", {"new": True}], "no": None, "ratio": float("nan")}
    found = line(
        "Payment failed",
        "ERROR",
        logger="shop.orders",
        trace_id=TRACE,
        fields=fields,
        error=error,
    )

    assert line_filter(level, text).keeps(found) is kept


def test_unknown_levels_are_kept() -> None:
    """
    A line whose level nobody knows is not lost by asking for errors.
    """
    assert line_filter(17, "").keeps(line(level="ALERT"))


def test_entry() -> None:
    """
    A line is written with its cursor, its fields and its traceback.
    """
    error = ErrorInfo(type="ValueError", frames=[StackFrame(path="a.py", line=3, function="f")])

    found = entry(line(fields={"order": 7}, error=error))

    assert found.id == "1795459100000-7-0"
    assert (found.time, found.level, found.service) == (1_795_459_200.5, "INFO", "shop")
    assert found.fields == {"order": 7}
    assert found.error == {
        "type": "ValueError",
        "frames": [{"path": "a.py", "line": 3, "function": "f"}],
    }


@pytest.mark.parametrize(
    "message",
    [
        "one\r\revent: alert\rdata: {}",
        "one\n\nevent: alert\ndata: {}\n\n",
        "\r\n\r\n: comment",
        "id: 9\r",
        "line\u2028separator\u2029paragraph\u0085next",
        "\ud800 lone surrogate",
        "nul \0 and escape \x1b[31m",
        "ünïcödé 🦊",
    ],
)
def test_no_text_ends_the_event(message: str) -> None:
    """
    Whatever a line says, it is one event of one id line and one data line, and reads back as sent.
    """
    event = Encoder().event(line(message))

    assert event.isascii()
    first, second, *rest = event.split(b"\r\n")
    assert (first, rest) == (b"id: 1795459100000-7-0", [b"", b""])
    assert second.startswith(b"data: {")
    assert not {b"\r", b"\n", b"\0"} & {bytes([byte]) for byte in second}
    assert json.loads(second.removeprefix(b"data: "))["message"] == message


def test_what_is_no_number_is_null() -> None:
    """
    A NaN in a field does not make the event unreadable for a browser.
    """
    event = Encoder().event(line(fields={"a": float("nan"), "b": [float("inf")]}))

    assert b"NaN" not in event
    assert b"Infinity" not in event
    assert json.loads(event.split(b"data: ")[1])["fields"] == {"a": None, "b": [None]}


def test_encoder_is_bounded_in_bytes() -> None:
    """
    Long lines push out more of what is kept; a very long one is not kept at all.
    """
    encoder = Encoder(limit_bytes=20_000)
    first = encoder.event(line("a" * 8_000, index=0))
    encoder.event(line("b" * 20_000, index=1))

    assert encoder.event(line("a" * 8_000, index=0)) is first
    assert encoder.event(line("b" * 20_000, index=1)) is not encoder.event(
        line("b" * 20_000, index=1)
    )
    for index in (2, 3):
        encoder.event(line("c" * 8_000, index=index))
    assert encoder.event(line("a" * 8_000, index=0)) is not first


def test_encoder_is_bounded() -> None:
    """
    A line is written once while it is news; old ones are not held.
    """
    encoder = Encoder(limit=2)
    first = encoder.event(line(index=0))
    again = encoder.event(line(index=0))

    for index in range(1, 4):
        encoder.event(line(index=index))

    assert first is again
    assert encoder.event(line(index=0)) is not first
    assert encoder.event(line(index=0)) == first
