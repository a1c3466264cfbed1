"""The standard library's logging, forwarded. Takes no lock and prints nothing when it fails."""

from __future__ import annotations

import logging
import threading

from typing import Any

from monitord.emit.default import default
from monitord.emit.emitter import Emitter
from monitord.emit.event_dict import told


OWN = "monitord.emit"
FORMATTED = frozenset({"message", "asctime", "color_message"})


class MonitordHandler(logging.Handler):
    """
    Sends each record with its extra fields, its exception and the trace it happened in.

    Records of the emitter itself, and those logged while another is being forwarded by the same
    thread (a `__repr__` that logs), are left out.
    """

    def __init__(self, emitter: Emitter | None = None, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._emitter = emitter or default()
        self._busy = threading.local()
        # What every record has, or formatters and uvicorn put there; all else came in by `extra`.
        self._standard = frozenset(vars(logging.makeLogRecord({}))) | FORMATTED

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter and forward without the handler's lock: appending to a deque needs none."""
        passed = self.filter(record)
        if isinstance(passed, logging.LogRecord):
            record = passed
        if passed:
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        own = record.name == OWN or record.name.startswith(OWN + ".")
        if own or getattr(self._busy, "now", False):
            return
        self._busy.now = True
        try:
            self._forward(record)
        except Exception:  # noqa: BLE001 - logging must not fail what it logs about
            pass
        finally:
            self._busy.now = False

    def _forward(self, record: logging.LogRecord) -> None:
        fields = {key: value for key, value in vars(record).items() if key not in self._standard}
        if record.stack_info:
            fields["stack"] = record.stack_info
        message: object
        if isinstance(record.msg, dict) and "event" in record.msg:
            # structlog's ProcessorFormatter puts the whole event dict where the message goes.
            message, more, _ = told(record.msg)
            fields |= more
        else:
            message = _message(record)
        self._emitter.log(
            record.levelno,
            message,
            logger=record.name,
            fields=fields,
            error=record.exc_info[1] if record.exc_info else None,
            time=record.created,
        )


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit their format
        return f"{record.msg} {record.args!r}"
