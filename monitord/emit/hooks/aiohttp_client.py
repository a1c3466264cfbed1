"""The requests of aiohttp's client sessions as spans, and the trace handed on with them."""

from __future__ import annotations

import functools
import importlib

from typing import Any

from monitord.emit.emitter import Emitter
from monitord.emit.hooks.outgoing import Asked, Call
from monitord.emit.hooks.patches import Method, Patches, Undo
from monitord.emit.hooks.step import Recorder, tracing


# Of a session's arguments.
CONFIGS = "trace_configs"
# Where the call of a request is meanwhile.
CALL = "monitord_call"

_patches = Patches()


def watch_aiohttp_client(emitter: Emitter | None = None) -> Undo:
    """
    Record what every session that is made from now on sends; returns what ends that.

    A request and its redirects are one span, which lasts until the last answer's headers are here.
    """
    _patches.undo()
    aiohttp = importlib.import_module("aiohttp")
    watch = Watch(Recorder(emitter).emitter)
    _patches.replace(
        aiohttp.ClientSession, "__init__", functools.partial(_tracing_sessions, watch, aiohttp)
    )
    # Sessions keep what they were made with.
    _patches.add(watch.stop)
    return _patches.undo


def _tracing_sessions(watch: Watch, aiohttp: Any, original: Method) -> Method:
    @functools.wraps(original)
    def watched(session: Any, *args: Any, **kwargs: Any) -> None:
        given = kwargs.pop(CONFIGS, None) or ()
        original(session, *args, **kwargs, **{CONFIGS: [*given, watch.config(aiohttp)]})

    return watched


class Watch:
    """What a session calls; the request's Call is kept in its trace context."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._on = True

    def stop(self) -> None:
        self._on = False

    def config(self, aiohttp: Any) -> Any:
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._start)
        config.on_request_end.append(self._end)
        config.on_request_exception.append(self._failed)
        return config

    async def _start(self, session: Any, context: Any, params: Any) -> None:
        if self._on and tracing():
            asked = functools.partial(_asked, params)
            setattr(context, CALL, Call(self._emitter, params.headers, asked).__enter__())

    async def _end(self, session: Any, context: Any, params: Any) -> None:
        call = _taken(context)
        if call is not None:
            call.answered(params.response.status)
            call.__exit__(None, None, None)

    async def _failed(self, session: Any, context: Any, params: Any) -> None:
        call, error = _taken(context), params.exception
        if call is not None:
            call.__exit__(type(error), error, error.__traceback__)


def _taken(context: Any) -> Call | None:
    """Return the request's call once: what fails after its end is told of as an exception, too."""
    call: Call | None = getattr(context, CALL, None)
    if call is not None:
        setattr(context, CALL, None)
    return call


def _asked(params: Any) -> Asked:
    url = params.url
    return Asked(params.method, url.scheme, url.host or "", url.port, url.raw_path)
