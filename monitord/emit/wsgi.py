"""WSGI middleware: times each request, gives it a trace id, records it when it is answered."""

from __future__ import annotations

import re

from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from typing import Any

from monitord.emit.default import default
from monitord.emit.emitter import Emitter
from monitord.emit.route import UNMATCHED, Labels
from monitord.emit.visit import ANSWER_HEADER, EXCLUDED, Visit, from_cgi


Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

_werkzeug = re.compile(r"<(?:[^<>]*:)?([^<>:]+)>")


class MonitordWsgiMiddleware:
    """
    Wraps a WSGI application.

    The time is that until the last of the body was handed to the server. An exception is recorded
    and raised on. Paths in `exclude` pass through. `route` may name the template of an environment;
    Flask's is found there. Unless the application forwards its tracebacks itself, an exception is a
    log line, too (`log_errors`).
    """

    def __init__(
        self,
        app: App,
        emitter: Emitter | None = None,
        exclude: Iterable[str] = EXCLUDED,
        route: Callable[[Environ], str | None] | None = None,
        log_errors: bool = True,
    ) -> None:
        self.app = app
        self.emitter = emitter or default()
        self.log_errors = log_errors
        self._exclude = frozenset(exclude)
        self._route = route or template_of
        self._labels = Labels()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "") in self._exclude:
            return self.app(environ, start_response)
        return Answer(self, environ, start_response).served()

    def named(self, environ: Environ) -> str | None:
        try:
            return self._route(environ)
        except Exception:  # noqa: BLE001 - a framework's environment may hold anything
            return None

    def of_path(self, path: str, status: int) -> str:
        return self._labels.of_path(path, status)


class Answer:
    """
    One request and the body of its answer, recorded when that ends.

    All of it runs in a context of its own: a server's thread serves others afterwards.
    """

    def __init__(
        self, of: MonitordWsgiMiddleware, environ: Environ, start_response: StartResponse
    ) -> None:
        self._of = of
        self._environ = environ
        self._path = str(environ.get("SCRIPT_NAME", "")) + str(environ.get("PATH_INFO", ""))
        self._start_response = start_response
        self._context: Context = copy_context()
        self._visit = Visit(of.emitter, environ.get("REQUEST_METHOD", "GET"))
        self._status = 0
        self._body: Iterable[bytes] = ()
        self._parts: Iterator[bytes] = iter(())
        self._route: str | None = None
        self._recorded = False

    def served(self) -> Iterable[bytes]:
        self._context.run(self._visit.begin, from_cgi(self._environ))
        try:
            self._body = self._context.run(self._of.app, self._environ, self._start)
            if isinstance(self._body, list | tuple):
                self._record()  # whole already, and servers make a Content-Length of one
                return self._body
            self._parts = iter(self._body)
        except BaseException as error:
            self._failed(error)
            raise
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self._context.run(next, self._parts)
        except StopIteration:
            self._visit.stop()  # recorded when it is closed, which is still part of it
            raise
        except BaseException as error:
            self._failed(error)
            raise

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                self._context.run(close)
        finally:
            self._record()

    def _start(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        self._status = int(status[:3]) if status[:3].isdecimal() else 500
        # Now: Flask takes it away again before the body is sent.
        self._route = self._of.named(self._environ)
        if not any(name.lower() == ANSWER_HEADER.lower() for name, _ in headers):
            headers = [*headers, (ANSWER_HEADER, self._visit.trace)]
        return self._start_response(status, headers, *exc_info)

    def _failed(self, error: BaseException) -> None:
        self._visit.note(error)
        self._status = max(self._status, 500)
        self._record()

    def _record(self) -> None:
        if not self._recorded:
            self._recorded = True
            self._context.run(self._end)

    def _end(self) -> None:
        status = self._status or 500
        label = self._route or self._of.of_path(self._path, status)
        what = f"{self._environ.get('REQUEST_METHOD')} {self._path}" if self._of.log_errors else ""
        self._visit.end(label, status, what)


def template_of(environ: Environ) -> str | None:
    """Return the template of Flask's route, None in other applications."""
    request: Any = environ.get("werkzeug.request")
    if not hasattr(request, "url_rule"):
        return None
    if request.url_rule is None:
        return UNMATCHED
    return str(environ.get("SCRIPT_NAME", "")) + _werkzeug.sub(r"{\1}", request.url_rule.rule)
