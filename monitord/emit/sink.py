"""A loguru sink that forwards every message. loguru itself is not imported."""

from __future__ import annotations

import threading

from typing import Any

from monitord.emit.default import default
from monitord.emit.emitter import Emitter


class MonitordSink:
    """
    Sends each message with its extra fields, its exception and the trace it happened in.

    With `enqueue=True` loguru calls it elsewhere, and the trace is not known there.
    """

    def __init__(self, emitter: Emitter | None = None) -> None:
        self._emitter = emitter or default()
        self._busy = threading.local()

    def __call__(self, message: Any) -> None:
        if getattr(self._busy, "now", False):
            return
        self._busy.now = True
        try:
            self._forward(message.record)
        except Exception:  # noqa: BLE001 - logging must not fail what it logs about
            pass
        finally:
            self._busy.now = False

    def _forward(self, record: Any) -> None:
        exception = record["exception"]
        self._emitter.log(
            record["level"].no,
            record["message"],
            logger=record["name"] or "",
            fields=record["extra"],
            error=exception.value if exception is not None else None,
            time=record["time"].timestamp(),
        )
