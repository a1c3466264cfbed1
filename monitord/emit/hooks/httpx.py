"""The requests of httpx's clients as spans, and the trace handed on with them."""

from __future__ import annotations

import functools
import importlib

from typing import Any

from monitord.emit.emitter import Emitter
from monitord.emit.hooks.outgoing import Asked, Call
from monitord.emit.hooks.patches import Method, Patches, Undo
from monitord.emit.hooks.step import Recorder, tracing


_patches = Patches()


def watch_httpx(emitter: Emitter | None = None) -> Undo:
    """
    Record what every client sends from now on, each redirect for itself; returns what ends that.

    A span lasts until the answer's headers are here. Transports that send nothing, as for tests,
    are left out.
    """
    _patches.undo()
    httpx = importlib.import_module("httpx")
    watch = Watch(Recorder(emitter).emitter)
    _patches.replace(httpx.HTTPTransport, "handle_request", watch.blocking)
    _patches.replace(httpx.AsyncHTTPTransport, "handle_async_request", watch.awaited)
    return _patches.undo


class Watch:
    """What is put around the transports' methods."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter

    def blocking(self, original: Method) -> Method:
        @functools.wraps(original)
        def watched(transport: Any, request: Any) -> Any:
            if not tracing():
                return original(transport, request)
            with self._call(request) as call:
                response = original(transport, request)
                call.answered(response.status_code)
            return response

        return watched

    def awaited(self, original: Method) -> Method:
        @functools.wraps(original)
        async def watched(transport: Any, request: Any) -> Any:
            if not tracing():
                return await original(transport, request)
            with self._call(request) as call:
                response = await original(transport, request)
                call.answered(response.status_code)
            return response

        return watched

    def _call(self, request: Any) -> Call:
        return Call(self._emitter, request.headers, functools.partial(_asked, request))


def _asked(request: Any) -> Asked:
    url = request.url
    path = url.raw_path.partition(b"?")[0].decode("ascii", "replace")
    return Asked(request.method, url.scheme, url.host, url.port, path)
