"""The WSGI middleware: what is recorded of a request, by bare applications and real servers."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref

from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from monitord.emit import Emitter, MonitordWsgiMiddleware, current, trace_id
from tests.emit.receiver import Receiver
from tests.emit.wsgi import get, serving


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
PLAIN = [("Content-Type", "text/plain")]


def answering(status: str = "200 OK", body: Any = (b"ok",)) -> Any:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response(status, PLAIN)
        return body

    return app


def call(app: Any, path: str = "/", **environ: Any) -> list[bytes]:
    """Serve one request without a server, to the end of its body."""
    given = {"PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", **environ}
    setup_testing_defaults(given)
    body = app(given, lambda status, headers, exc_info=None: print)
    try:
        return list(body)
    finally:
        if hasattr(body, "close"):
            body.close()


def requests(receiver: Receiver, emitter: Emitter) -> list[dict[str, Any]]:
    assert emitter.flush(5)
    emitter.log("INFO", "the end")
    receiver.wait("log")
    return receiver.events("request")


@pytest.mark.parametrize("threaded", [True, False])
def test_a_request(emitter: Emitter, receiver: Receiver, threaded: bool) -> None:
    """
    A request is recorded with its status and trace, which the answer names.
    """

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("201 Created", PLAIN)
        return [str(trace_id.get()).encode()]

    with serving(MonitordWsgiMiddleware(app, emitter), threaded=threaded) as port:
        status, headers, body = get(port, "/orders/17?x=1")
        get(port, "/orders/18", traceparent=f"00-{TRACE}-{CALLER}-01")

    first, second = requests(receiver, emitter)
    assert status == first["status"] == 201
    assert (first["method"], first["route"]) == ("GET", "/orders/:id")
    assert first["trace_id"] == headers["X-Trace-ID"] == body.decode()
    assert first["span_id"] == first["trace_id"][16:]
    assert second["trace_id"] == TRACE
    [span] = receiver.events("span")
    assert (span["name"], span["parent_id"]) == ("GET /orders/:id", CALLER)
    assert span["span_id"] == second["span_id"]


def test_the_standard_is_kept(emitter: Emitter, receiver: Receiver) -> None:
    """
    The standard library's own checks of both sides, server and application, find no fault.
    """
    for body in ([b"ok"], iter([b"o", b"k"])):
        wrapped = MonitordWsgiMiddleware(validator(answering(body=body)), emitter)
        assert b"".join(call(validator(wrapped), "/x")) == b"ok"

    assert [event["status"] for event in requests(receiver, emitter)] == [200, 200]


def test_the_body_is_part_of_it(emitter: Emitter, receiver: Receiver) -> None:
    """
    What is recorded while the body is made belongs to the request, which ends with it.
    """
    closed = threading.Event()

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            for number in range(3):
                with emitter.span(f"part {number}"):
                    yield b"x"

        def close(self) -> None:
            emitter.log("INFO", f"closed in {trace_id.get()}")
            closed.set()

    with serving(MonitordWsgiMiddleware(answering(body=Body()), emitter)) as port:
        _, headers, body = get(port, "/stream")
        assert closed.wait(10)

    trace = headers["X-Trace-ID"]
    told = {span["name"]: span for span in receiver.wait("span", 4)}
    assert body == b"xxx"
    assert {span["trace_id"] for span in told.values()} == {trace}
    assert {told[f"part {n}"]["parent_id"] for n in range(3)} == {told["GET /stream"]["span_id"]}
    assert receiver.wait("log")[0]["message"] == f"closed in {trace}"
    assert trace_id.get() is None
    assert current() is None


@pytest.mark.parametrize("when", ["at once", "in the body"])
def test_an_exception(emitter: Emitter, receiver: Receiver, when: str) -> None:
    """
    It is raised on to the server, is the error of a 500, and a log line of the same trace.
    """

    def broken() -> Iterator[bytes]:
        raise LookupError("no such order")
        yield

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        return broken() if when == "in the body" else iter([next(broken())])

    with pytest.raises(LookupError):
        call(MonitordWsgiMiddleware(app, emitter), "/orders")

    [request] = receiver.wait("request")
    [line] = receiver.wait("log")
    assert (request["status"], request["error"]["type"]) == (500, "LookupError")
    assert line["message"] == "GET /orders: LookupError"
    assert line["trace_id"] == request["trace_id"]
    assert trace_id.get() is None


def test_no_answer_and_a_body_left_alone(emitter: Emitter, receiver: Receiver) -> None:
    """
    Without a status it is a 500; a body nobody reads to its end is recorded when it is closed.
    """

    def silent(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        return []

    call(MonitordWsgiMiddleware(silent, emitter), "/silent")
    environ: dict[str, Any] = {"PATH_INFO": "/left"}
    setup_testing_defaults(environ)
    wrapped = MonitordWsgiMiddleware(answering(body=iter([b"x"])), emitter)
    body: Any = wrapped(environ, lambda *_: None)
    body.close()
    body.close()

    told = {event["route"]: event["status"] for event in requests(receiver, emitter)}
    assert told == {"/silent": 500, "/left": 200}


def test_labels(emitter: Emitter, receiver: Receiver) -> None:
    """
    A function names the route; what it does not name goes by its path, and 404 by none.
    """

    def named(environ: dict[str, Any]) -> str | None:
        if environ["PATH_INFO"] == "/fails":
            raise KeyError("x")
        return "/named" if environ["PATH_INFO"] == "/x" else None

    app = MonitordWsgiMiddleware(answering(), emitter, route=named)
    for path in ("/x", "/y/17", "/fails", "/healthz"):
        call(app, path, SCRIPT_NAME="/api")
    call(MonitordWsgiMiddleware(answering("404 Not Found"), emitter), "/z")

    assert [event["route"] for event in requests(receiver, emitter)] == [
        "/named",
        "/api/y/:id",
        "/api/fails",
        "__unmatched__",
    ]


def test_an_answer_that_names_its_trace_itself(emitter: Emitter, receiver: Receiver) -> None:
    """
    The application's own header is left alone.
    """

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [*PLAIN, ("x-trace-id", "own")])
        return [b"ok"]

    with serving(MonitordWsgiMiddleware(app, emitter)) as port:
        _, headers, _ = get(port, "/")

    assert {name.lower(): value for name, value in headers.items()}["x-trace-id"] == "own"


def test_a_failed_request_is_gone_when_it_is_over(emitter: Emitter) -> None:
    """
    What it held is freed at once, without the garbage collector.
    """

    class Held:
        pass

    held: list[weakref.ref[Held]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ["shop.cart"] = cart = Held()
        held.append(weakref.ref(cart))
        raise LookupError("x")

    gc.disable()
    try:
        for _ in range(3):
            with contextlib.suppress(LookupError):
                call(MonitordWsgiMiddleware(app, emitter))
        assert [reference() for reference in held] == [None] * 3
    finally:
        gc.enable()
