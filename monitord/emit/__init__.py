"""
The application's side of monitord: requests, logs and numbers, sent to the daemon beside it.

Standard library only, and nothing else of monitord. `docs/emit.md` shows its use.
"""

from monitord.emit.aiohttp import aiohttp_middleware
from monitord.emit.asgi import MonitordMiddleware
from monitord.emit.default import configure, default
from monitord.emit.emitter import Emitter
from monitord.emit.handler import MonitordHandler
from monitord.emit.jobs import job
from monitord.emit.processor import MonitordProcessor
from monitord.emit.sink import MonitordSink
from monitord.emit.span import Span, current, inject, record_span, span, traceparent
from monitord.emit.trace import headers, span_id, trace_id, traced
from monitord.emit.wsgi import MonitordWsgiMiddleware


__all__ = [
    "Emitter",
    "MonitordHandler",
    "MonitordMiddleware",
    "MonitordProcessor",
    "MonitordSink",
    "MonitordWsgiMiddleware",
    "Span",
    "aiohttp_middleware",
    "configure",
    "current",
    "default",
    "headers",
    "inject",
    "job",
    "record_span",
    "span",
    "span_id",
    "trace_id",
    "traced",
    "traceparent",
]
