"""loguru's messages, forwarded by the real library."""

from __future__ import annotations

from loguru import logger

from monitord.emit import Emitter, MonitordSink
from tests.emit.receiver import Receiver


def test_loguru(emitter: Emitter, receiver: Receiver) -> None:
    """
    Level, message, fields, exception and trace arrive; a level of one's own is the next lower.
    """

    class Odd:
        def __repr__(self) -> str:
            logger.info("while it is shown")
            return "odd"

    own = logger.bind(user="ada")
    number = own.add(MonitordSink(emitter), level=0, format="{message}")
    try:
        with emitter.span("step") as span:
            own.success("placed order {}", 17)
        own.bind(odd=Odd()).trace("odd")
        try:
            raise LookupError("no such order")
        except LookupError:
            own.exception("failed")
    finally:
        own.remove(number)

    placed, odd, failed = receiver.wait("log", 3)
    assert (placed["level"], placed["message"]) == ("INFO", "placed order 17")
    assert placed["logger"] == __name__
    assert placed["fields"] == {"user": "ada"}
    assert (placed["trace_id"], placed["span_id"]) == (span.trace_id, span.span_id)
    assert (odd["level"], odd["fields"]) == ("DEBUG", {"user": "ada", "odd": "odd"})
    assert (failed["level"], failed["message"]) == ("ERROR", "failed")
    assert failed["error"]["type"] == "LookupError"
    assert failed["error"]["frames"][-1]["in_app"]
