"""A structlog processor that forwards every event. structlog itself is not imported."""

from __future__ import annotations

import threading

from collections.abc import MutableMapping
from typing import Any

from monitord.emit.default import default
from monitord.emit.emitter import Emitter
from monitord.emit.event_dict import told
from monitord.emit.trace import here


class MonitordProcessor:
    """
    Sends each event and passes it on with `trace_id` added. Belongs before the renderer.

    Events logged while another is being forwarded by the same thread are passed on only.
    """

    def __init__(self, emitter: Emitter | None = None) -> None:
        self._emitter = emitter or default()
        self._busy = threading.local()

    def __call__(
        self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        trace = here()
        if trace is not None:
            event_dict.setdefault("trace_id", trace)
        if not getattr(self._busy, "now", False):
            self._busy.now = True
            try:
                self._forward(logger, method_name, event_dict)
            except Exception:  # noqa: BLE001 - logging must not fail what it logs about
                pass
            finally:
                self._busy.now = False
        return event_dict

    def _forward(self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> None:
        message, fields, error = told(event_dict)
        named = event_dict.get("trace_id")
        self._emitter.log(
            event_dict.get("level") or method_name,
            message,
            logger=event_dict.get("logger") or getattr(logger, "name", None) or "",
            fields=fields,
            error=error,
            trace_id=named if isinstance(named, str) and named != here() else None,
        )
