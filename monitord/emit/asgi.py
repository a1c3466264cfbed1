"""Pure ASGI middleware: times each request, gives it a trace id, records it when it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from time import perf_counter
from typing import Any

from monitord.emit.default import default
from monitord.emit.emitter import Emitter
from monitord.emit.failure import Failure, capture
from monitord.emit.route import UNMATCHED, Labels, Scope
from monitord.emit.trace import Joined, hung, inner, join, joined, random_bits, trace_id
from monitord.emit.visit import CLIENT_CLOSED, EXCLUDED


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ANSWER_HEADER = b"x-trace-id"


class MonitordMiddleware:
    """
    Wraps an ASGI application; only HTTP is touched.

    The time is that until the last byte of the body was handed to the server. An exception is
    recorded and raised on. Paths in `exclude` (below the application's root path) pass through.
    `route` may name the template of a scope where no framework has put it there. Unless the
    application forwards its tracebacks itself, an exception is a log line, too (`log_errors`).
    """

    def __init__(
        self,
        app: App,
        emitter: Emitter | None = None,
        exclude: Iterable[str] = EXCLUDED,
        route: Callable[[Scope], str | None] | None = None,
        log_errors: bool = True,
    ) -> None:
        self.app = app
        self._log_errors = log_errors
        self._exclude = frozenset(exclude)
        self._emitter = emitter or default()
        self._label = Labels(route).label
        self._bits = random_bits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        root: str | None = scope.get("root_path")
        if (path.removeprefix(root) if root else path) in self._exclude:
            await self.app(scope, receive, send)
            return
        # Filled in here: an __init__ would cost 0.1 us more.
        exchange = Exchange()
        exchange.emitter = self._emitter
        exchange.label = self._label
        exchange.log_errors = self._log_errors
        exchange.scope = scope
        exchange.path = path
        exchange.server_receive = receive
        exchange.server_send = send
        exchange.status = 0
        exchange.gone = exchange.recorded = False
        exchange.ended = 0.0
        exchange.started = perf_counter()
        # Two comparisons are cheaper than one look into a set: new bytes must be hashed first.
        for name, _ in scope["headers"]:
            if name == b"traceparent" or name == b"x-trace-id":
                part = join(scope["headers"])
                break
        else:
            part = None
        if part is not None:
            outer = joined.get(), inner.get()
            joined.set(part)
            inner.set(None)  # a span of the same trace around this call is the caller's
            exchange.joined = part
            exchange.trace, exchange.span = part.trace_id, part.span_id
        else:
            # new_trace, without the calls; the same as span id means the trace's first span.
            exchange.trace = exchange.span = self._bits(128).to_bytes(16, "big").hex()
        token = trace_id.set(exchange.trace)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.failed(error)
            raise
        else:
            if not exchange.recorded:
                exchange.returned()
        finally:
            try:
                trace_id.reset(token)
                if part is not None:
                    joined.set(outer[0])
                    inner.set(outer[1])
            except ValueError:
                pass  # a coroutine thrown away is closed in another context than it ran in
            if hung:
                hung.pop(exchange.span, None)  # of background tasks, after the answer


class Exchange:
    """One request and its answer, recorded once."""

    __slots__ = (
        "emitter",
        "ended",
        "gone",
        "joined",
        "label",
        "log_errors",
        "path",
        "recorded",
        "scope",
        "server_receive",
        "server_send",
        "span",
        "started",
        "status",
        "trace",
    )

    emitter: Emitter
    label: Callable[[Scope, str, int], str]
    log_errors: bool
    scope: Scope
    path: str  # as it came: a mount or a framework may change the scope's
    server_receive: Receive
    server_send: Send
    trace: str
    span: str  # the very trace unless another began it
    joined: Joined  # unset then
    started: float  # by perf_counter, as `ended`, which is 0 until the last byte is sent
    ended: float
    status: int  # 0 until the answer starts
    gone: bool
    recorded: bool

    async def receive(self) -> Message:
        message = await self.server_receive()
        if message["type"] == "http.disconnect":
            self.gone = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Pass the message on; only what ends the body needs a coroutine of its own."""
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
            given = message.get("headers", ())
            for name, _ in given:
                if len(name) == 10 and name.lower() == ANSWER_HEADER:
                    break
            else:
                headers = [*given, (ANSWER_HEADER, self.trace.encode())]
                message = {**message, "headers": headers}
        elif (kind == "http.response.body" and not message.get("more_body")) or (
            kind == "http.response.pathsend"
        ):
            return self._last(message)
        return self.server_send(message)

    async def _last(self, message: Message) -> None:
        """Record an answer that went well; another at the end, when its exception is known."""
        await self.server_send(message)
        self.ended = perf_counter()
        if self.status < 500:
            self._record()

    def returned(self) -> None:
        """Nothing ended the answer; without one, servers answer 500 to who is still there."""
        self.status = self.status or (CLIENT_CLOSED if self.gone else 500)
        self._record()

    def failed(self, error: BaseException) -> None:
        """The application raised, or was cancelled, which is no fault of its own."""
        left = not isinstance(error, Exception) or type(error).__name__ == "ClientDisconnect"
        if not self.recorded:
            self.status = self.status or (CLIENT_CLOSED if left else 500)
            failure = None if left else capture(error, skip=1)
            self._record(failure)
            if failure and self.log_errors:
                # Servers log it past the root logger, and so past every handler of ours.
                what = f"{self.scope['method']} {self.path}: {failure.type}"
                self.emitter.log(
                    "ERROR",
                    what,
                    logger="monitord.emit",
                    error=failure,
                    trace_id=self.trace,
                    span_id=self.span,
                )
        elif not left:
            what = f"{self.scope['method']} {self.path}: an exception after the answer"
            self.emitter.log("ERROR", what, logger="monitord.emit", error=error)

    def _record(self, error: Failure | None = None) -> None:
        self.recorded = True
        duration_ms = ((self.ended or perf_counter()) - self.started) * 1000.0
        scope, status = self.scope, self.status
        try:
            label = self.label(scope, self.path, status)
        except Exception:  # noqa: BLE001 - a framework's scope may hold anything
            label = UNMATCHED
        method, trace = scope["method"], self.trace
        self.emitter.request(method, label, status, duration_ms, trace, self.span, error)
        # Nearly all are through here: a span of their own costs more than all the rest.
        if self.span is not trace or (hung and trace in hung):
            part = self.joined if self.span is not trace else None
            self.emitter.served(method, label, status, duration_ms, trace, part)
