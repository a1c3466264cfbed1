"""One call to another service: a span around it, whose ids go out with it."""

from __future__ import annotations

import contextlib

from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Any, NamedTuple

from monitord.emit.emitter import Emitter
from monitord.emit.encode import METHODS
from monitord.emit.hooks.step import Step


URL_CHARS = 2_000

DEFAULT_PORTS = {"http": 80, "https": 443}


class Asked(NamedTuple):
    """What is asked, and of whom. `path` is as sent, without the query."""

    method: str
    scheme: str
    host: str
    port: int | None
    path: str


class Call:
    """A context manager around one request; never raises what was not raised in its block."""

    def __init__(
        self, emitter: Emitter, headers: MutableMapping[str, str], asked: Callable[[], Asked]
    ) -> None:
        self._emitter = emitter
        self._headers = headers
        self._asked = asked
        self._span: Any = None
        self._put: dict[str, str] = {}

    def __enter__(self) -> Call:
        try:
            name, attributes = step(self._asked())
            self._span = self._emitter.span(name, "client", attributes).__enter__()
            self._hand_on()
        except Exception:  # noqa: BLE001 - a request that cannot be told of is sent all the same
            pass
        return self

    def _hand_on(self) -> None:
        """Name the trace, unless the application does."""
        if "traceparent" in self._headers:
            return
        carried: dict[str, str] = {}
        self._emitter.inject(carried)
        for name, value in carried.items():
            self._headers[name] = self._put[name] = value

    def _take_back(self) -> None:
        """Leave the headers as they were: the same request may be sent again."""
        for name, value in self._put.items():
            if self._headers.get(name) == value:
                del self._headers[name]

    def answered(self, status: int) -> None:
        """Add what came back: 4xx and 5xx are errors to who asked."""
        if self._span is not None:
            self._span.set("http.response.status_code", status)
            if status >= 400:
                self._span.set("error.type", str(status))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(Exception):
            self._take_back()
        if self._span is not None:
            self._span.__exit__(kind, error, traceback)


def step(asked: Asked) -> Step:
    """Return `GET api.example.com`, and what OpenTelemetry says of an HTTP client's span."""
    verb = asked.method.upper() if asked.method.upper() in METHODS else None
    usual = DEFAULT_PORTS.get(asked.scheme)
    port = asked.port or usual
    host = f"[{asked.host}]" if ":" in asked.host else asked.host
    where = host if port == usual else f"{host}:{port}"
    attributes: dict[str, Any] = {
        "http.request.method": verb or "_OTHER",
        "server.address": asked.host,
        "url.full": f"{asked.scheme}://{where}{asked.path}"[:URL_CHARS],
    }
    if port is not None:
        attributes["server.port"] = port
    return f"{verb or 'HTTP'} {asked.host}", attributes
