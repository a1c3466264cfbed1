"""logging and structlog, forwarded with their fields, their exceptions and their trace."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
import threading

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from monitord.emit import Emitter, MonitordHandler, MonitordProcessor, traced
from tests.emit.receiver import Receiver


@pytest.fixture
def log(emitter: Emitter) -> Iterator[logging.Logger]:
    """
    A logger whose records go to the receiver and nowhere else.
    """
    logger = logging.getLogger("shop.orders")
    handler = MonitordHandler(emitter)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    handler.close()
    logger.propagate = True


def forwarding(log: logging.Logger) -> logging.Handler:
    """Return the handler under test; pytest adds its own beside it."""
    [handler] = [each for each in log.handlers if isinstance(each, MonitordHandler)]
    return handler


def test_a_record(log: logging.Logger, receiver: Receiver) -> None:
    """
    Level, logger, formatted message, extra fields and trace; nothing else of the record.
    """
    with traced() as trace:
        log.warning("order %d refused", 17, extra={"customer": "eve", "items": [1, 2]})

    [line] = receiver.wait("log")
    assert line.pop("time") > 1.7e9
    assert len(line.pop("span_id")) == 16
    assert line == {
        "type": "log",
        "service": "shop",
        "level": "WARNING",
        "logger": "shop.orders",
        "message": "order 17 refused",
        "fields": {"customer": "eve", "items": [1, 2]},
        "trace_id": trace,
    }


def test_an_exception(log: logging.Logger, receiver: Receiver) -> None:
    """
    `log.exception` sends the exception in its own place; `stack_info` is a field.
    """
    try:
        {}["missing"]
    except KeyError:
        log.exception("failed", stack_info=True)

    [line] = receiver.wait("log")
    assert (line["level"], line["error"]["type"]) == ("ERROR", "KeyError")
    assert line["error"]["frames"][-1]["function"] == "test_an_exception"
    assert line["fields"]["stack"].startswith("Stack (most recent call last)")


def test_levels_and_filters(log: logging.Logger, receiver: Receiver) -> None:
    """
    The handler's level and filters hold, and a level of one's own becomes the one below it.
    """
    handler = forwarding(log)
    handler.setLevel(logging.INFO)
    handler.addFilter(lambda record: "secret" not in record.getMessage())

    log.debug("too low")
    log.error("a secret")
    log.log(25, "in between")

    [line] = receiver.wait("log")
    assert (line["message"], line["level"]) == ("in between", "INFO")


def test_a_record_that_cannot_be_formatted(
    log: logging.Logger, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Arguments that do not fit lose nothing and print nothing.
    """
    record = log.makeRecord(log.name, logging.ERROR, "", 0, "%d orders", ("many",), None)

    forwarding(log).handle(record)

    [line] = receiver.wait("log")
    assert line["message"] == "%d orders ('many',)"
    assert capsys.readouterr().err == ""


class Chatty:
    """Logs when it is shown, as lazily loading objects do."""

    def __repr__(self) -> str:
        logging.getLogger("shop.orders").info("being shown")
        return "<chatty>"


def test_logging_while_being_logged(log: logging.Logger, receiver: Receiver) -> None:
    """
    A field that logs when it is shown causes neither a lock-up nor an endless recursion.
    """
    log.info("outer", extra={"value": Chatty()})
    log.info("next")

    lines = receiver.wait("log", 2)
    assert [line["message"] for line in lines] == ["outer", "next"]
    assert lines[0]["fields"] == {"value": "<chatty>"}


def test_the_emitters_own_logger_is_left_out(
    log: logging.Logger, emitter: Emitter, receiver: Receiver
) -> None:
    """
    What the emitter says of itself is not sent by itself.
    """
    own = logging.getLogger("monitord.emit.sender")
    own.addHandler(forwarding(log))

    own.error("cannot send")
    log.info("after")

    assert [line["message"] for line in receiver.wait("log")] == ["after"]
    own.removeHandler(forwarding(log))


def test_threads_do_not_wait_for_each_other(log: logging.Logger, receiver: Receiver) -> None:
    """
    A record is taken while another thread is inside the handler.
    """
    inside, go_on = threading.Event(), threading.Event()

    class Slow:
        def __repr__(self) -> str:
            inside.set()
            assert go_on.wait(10)
            return "slow"

    thread = threading.Thread(target=log.info, args=("first",), kwargs={"extra": {"x": Slow()}})
    thread.start()
    assert inside.wait(10)
    log.info("second")
    go_on.set()
    thread.join()

    assert [line["message"] for line in receiver.wait("log", 2)] == ["second", "first"]


def test_behind_a_queue(emitter: Emitter, receiver: Receiver) -> None:
    """
    Records prepared by a QueueHandler arrive with their message and fields.
    """
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    sender = logging.handlers.QueueHandler(waiting)
    listener = logging.handlers.QueueListener(waiting, MonitordHandler(emitter))
    record = logging.makeLogRecord({"name": "q", "levelno": 40, "msg": "n=%d", "args": (3,)})
    record.order = 17

    listener.start()
    sender.handle(record)
    listener.stop()

    [line] = receiver.wait("log")
    assert (line["message"], line["level"], line["fields"]) == ("n=3", "ERROR", {"order": 17})


def structured(emitter: Emitter) -> Any:
    """Return a structlog logger that forwards, then renders into a list."""
    return structlog.wrap_logger(
        structlog.testing.CapturingLogger(),
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(),
            MonitordProcessor(emitter),
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )


def test_an_event_dict(emitter: Emitter, receiver: Receiver) -> None:
    """
    Event, level and bound values are sent; what is rendered afterwards has the trace id as well.
    """
    logger = structured(emitter)

    with traced() as trace:
        logger.bind(customer="eve").warning("order refused", order=17)

    [line] = receiver.wait("log")
    assert (line["level"], line["message"], line["trace_id"]) == ("WARNING", "order refused", trace)
    assert line["fields"] == {"customer": "eve", "order": 17}
    [call] = logger._logger.calls
    assert f'"trace_id": "{trace}"' in call.args[0]
    assert '"customer": "eve", "event": "order refused", "level": "warning"' in call.args[0]


@pytest.mark.parametrize("how", ["true", "exception", "tuple"])
def test_exc_info_of_structlog(emitter: Emitter, receiver: Receiver, how: str) -> None:
    """
    All three ways of naming an exception give the error with its frames.
    """
    processor = MonitordProcessor(emitter)
    try:
        raise LookupError("no such order")
    except LookupError as error:
        given = {"true": True, "exception": error, "tuple": sys.exc_info()}[how]
        returned = processor(None, "error", {"event": "failed", "exc_info": given})

    [line] = receiver.wait("log")
    assert (line["error"]["type"], "fields" in line) == ("LookupError", False)
    assert line["error"]["frames"][0]["function"] == "test_exc_info_of_structlog"
    assert returned == {"event": "failed", "exc_info": given}


def test_a_bound_trace_id_wins(emitter: Emitter, receiver: Receiver) -> None:
    """
    An event that names a trace, such as a job's, keeps it.
    """
    bound = "ab" * 16
    with traced():
        MonitordProcessor(emitter)(None, "info", {"event": "x", "trace_id": bound})

    assert receiver.wait("log")[0]["trace_id"] == bound


def test_structlog_through_logging(log: logging.Logger, receiver: Receiver) -> None:
    """
    A record whose message is an event dict, as ProcessorFormatter makes them, is split like one.
    """
    log.info({"event": "order refused", "order": 17, "level": "info"}, extra={"_name": "x"})

    [line] = receiver.wait("log")
    assert (line["message"], line["fields"]) == ("order refused", {"order": 17, "_name": "x"})


def test_a_processor_that_cannot_forward_still_passes_on(
    emitter: Emitter, receiver: Receiver
) -> None:
    """
    Whatever is wrong with an event, the application's own log goes on.
    """

    class Unnamed:
        @property
        def name(self) -> str:
            raise RuntimeError("no name")

    event = {"event": "x"}

    assert MonitordProcessor(emitter)(Unnamed(), "info", event) is event
    assert receiver.events("log") == []
