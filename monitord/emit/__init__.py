"""
The application's side of monitord: requests, logs and numbers, sent to the daemon beside it.

Standard library only, and nothing else of monitord. `docs/emit.md` shows its use.
"""

from monitord.emit.asgi import MonitordMiddleware
from monitord.emit.default import configure, default
from monitord.emit.emitter import Emitter
from monitord.emit.handler import MonitordHandler
from monitord.emit.processor import MonitordProcessor
from monitord.emit.trace import headers, span_id, trace_id, traced


__all__ = [
    "Emitter",
    "MonitordHandler",
    "MonitordMiddleware",
    "MonitordProcessor",
    "configure",
    "default",
    "headers",
    "span_id",
    "trace_id",
    "traced",
]
