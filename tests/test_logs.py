"""monitord's own log: readable, safe to show on a terminal, and never a flood."""

from __future__ import annotations

import io
import json
import logging

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from monitord import logs
from monitord.settings import LogSettings, Secret


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes; the logging of the test process is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
    structlog.reset_defaults()


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_holds_the_fields(stream: io.StringIO) -> None:
    """
    Away from a terminal, a record is one JSON object with time, level, logger, event and fields.
    """
    logs.configure(LogSettings(), stream)

    structlog.get_logger("monitord.web").info("web.listening", address="127.0.0.1:9120", port=9120)

    (record,) = records(stream)
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "info",
        "logger": "monitord.web",
        "event": "web.listening",
        "address": "127.0.0.1:9120",
        "port": 9120,
    }


def test_level_holds_for_everything(stream: io.StringIO) -> None:
    """
    Records below the level are not written, whichever library they come from.
    """
    logs.configure(LogSettings(level="warning"), stream)

    structlog.get_logger("a").info("no")
    logging.getLogger("b").info("no")
    structlog.get_logger("a").warning("yes")
    logging.getLogger("b").error("yes")

    assert [r["logger"] for r in records(stream)] == ["a", "b"]


def test_standard_library_goes_the_same_way(stream: io.StringIO) -> None:
    """
    What aiohttp and asyncio log is one JSON line too, its traceback included.
    """
    logs.configure(LogSettings(), stream)

    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling %s", "request")

    (record,) = records(stream)
    assert record["event"] == "Error handling request"
    assert "ValueError: broken" in record["exception"]


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "evil",
    ["\x1b[2J", "\r", "\x00", "\x9b31m", "\u202e", "\u2066", "\u2028", "\ud800", "\x7f", "\ufeff"],
)
def test_outside_text_cannot_steer_the_terminal(stream: io.StringIO, form: str, evil: str) -> None:
    """
    Control characters, terminal escapes and bidirectional marks are written as escapes.
    """
    logs.configure(LogSettings(format=form), stream)

    structlog.get_logger("a").warning(f"event {evil}", text=evil, nested={"key": [evil]})
    logging.getLogger("b").warning("message %s", evil)

    written = stream.getvalue()
    assert evil[0] not in written
    assert len(written.splitlines()) == 2


def test_console_line_cannot_be_forged(stream: io.StringIO) -> None:
    """
    A line break in a message does not begin a new record.
    """
    logs.configure(LogSettings(format="console"), stream)

    structlog.get_logger("a").warning("x\n2026-01-01 [error] forged", text="y\nz")

    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "text",
    [
        "redis://user:hunter2@host:6379/0",
        "cannot reach postgresql://m:hunter2@h/x?sslmode=require now",
        "postgresql://m@h/x?password=hunter2",
        "Authorization: Bearer hunter2",
    ],
)
def test_secrets_are_not_written(stream: io.StringIO, form: str, text: str) -> None:
    """
    A password in an address and a token in a header are written as stars, wherever they stand.
    """
    logs.configure(LogSettings(format=form), stream)

    log = structlog.get_logger("a")
    log.warning("settings", secret=Secret("hunter2"), text=text, nested=[text])
    log.warning(text)
    try:
        raise OSError(text)
    except OSError:
        logging.getLogger("b").exception("failed: %s", text)

    assert "hunter2" not in stream.getvalue()
    assert "***" in stream.getvalue()


def test_identical_messages_are_held_back(stream: io.StringIO) -> None:
    """
    Ten identical messages are written, the rest are counted; numbers do not make them different.
    """
    logs.configure(LogSettings(), stream)
    log = structlog.get_logger("a")

    for attempt in range(25):
        log.warning("scrape.failed", target="main", attempt=attempt)
    log.warning("scrape.failed", target="other")
    logs.configure(LogSettings(), stream)

    events = [r["event"] for r in records(stream)]
    assert events.count("scrape.failed") == 11
    assert events[-1] == "suppressed 15 more of: scrape.failed target=main"


def test_repeats_begin_anew_each_window() -> None:
    """
    After a minute the count is told once, and the message is written again.
    """
    repeats = logs.Repeats(limit=2, window_s=60)
    key = ("a", 30, "x")

    first = [repeats.admit(key, now) for now in (0, 1, 2, 3)]
    held = repeats.due(59), repeats.due(60), repeats.due(61)
    again = repeats.admit(key, 61)

    assert first == [True, True, False, False]
    assert held == ([], [(key, 2)], [])
    assert again


def test_repeats_are_bounded() -> None:
    """
    Ever new messages do not grow the memory of what was seen; what was held back is still told.
    """
    repeats = logs.Repeats(limit=1)
    for _ in range(3):
        repeats.admit(("a", 30, "first"), 0)

    told = []
    for number in range(3 * logs.REPEAT_KEYS):
        told += repeats.due(1)
        repeats.admit(("a", 30, str(number)), 1)

    assert told == [(("a", 30, "first"), 2)]
    assert len(repeats._seen) <= logs.REPEAT_KEYS


def test_colour_only_on_a_terminal(stream: io.StringIO) -> None:
    """
    A console log that is piped away holds no colour codes.
    """
    logs.configure(LogSettings(format="console"), stream)

    structlog.get_logger("a").error("x", number=1)

    assert "\x1b" not in stream.getvalue()
