"""Flask under a real server: routes by their rules, the exceptions it answers itself."""

from __future__ import annotations

import logging

from time import perf_counter_ns

from flask import Blueprint, Flask, abort, stream_with_context

from monitord.emit import Emitter, MonitordHandler, current
from monitord.emit.flask import watch
from tests.emit.receiver import Receiver
from tests.emit.wsgi import get, serving


def shop(emitter: Emitter) -> Flask:
    app = Flask("shop")
    api = Blueprint("api", __name__, url_prefix="/api")

    @api.get("/orders/<int:number>/<any(a,b):kind>")
    def order(number: int, kind: str) -> str:
        emitter.record_span("SELECT", "client", perf_counter_ns())
        return f"{number} {kind}"

    @api.get("/broken/<name>")
    def broken(name: str) -> str:
        raise LookupError(name)

    @api.get("/refused")
    def refused() -> str:
        abort(403)

    @api.get("/stream")
    def stream() -> object:
        def parts() -> object:
            yield "x"
            assert current() is not None
            emitter.record_span("late", "client", perf_counter_ns())
            yield "y"

        return app.response_class(stream_with_context(parts()))  # type: ignore[arg-type]

    app.register_blueprint(api)
    return watch(app, emitter)


def test_flask(emitter: Emitter, receiver: Receiver) -> None:
    """
    Each request is counted under its rule; a view's exception is told though Flask answers it.
    """
    handler = MonitordHandler(emitter)
    app = shop(emitter)
    app.logger.addHandler(handler)
    app.logger.propagate = False
    logging.getLogger("shop")

    with serving(app) as port:
        paths = ("/api/orders/17/a", "/api/broken/x", "/api/refused", "/nothing", "/api/stream")
        answers = [get(port, path) for path in paths]
        told = {event["route"]: event for event in receiver.wait("request", 5)}

    assert [status for status, _, _ in answers] == [200, 500, 403, 404, 200]
    assert answers[4][2] == b"xy"
    assert {route: event["status"] for route, event in told.items()} == {
        "/api/orders/{number}/{kind}": 200,
        "/api/broken/{name}": 500,
        "/api/refused": 403,
        "__unmatched__": 404,
        "/api/stream": 200,
    }
    error = told["/api/broken/{name}"]["error"]
    assert (error["type"], error["message"]) == ("LookupError", "x")
    assert error["frames"][-1]["function"].endswith("broken")
    assert [route for route, event in told.items() if "error" in event] == ["/api/broken/{name}"]
    [line] = receiver.wait("log")
    assert line["trace_id"] == told["/api/broken/{name}"]["trace_id"]
    spans = {span["name"]: span for span in receiver.wait("span", 4)}
    server = spans["GET /api/orders/{number}/{kind}"]
    assert spans["SELECT"]["parent_id"] == server["span_id"]
    assert server["span_id"] == told["/api/orders/{number}/{kind}"]["span_id"]
    assert spans["late"]["parent_id"] == spans["GET /api/stream"]["span_id"]
    assert answers[0][1]["X-Trace-ID"] == server["trace_id"]


def test_flask_that_raises(emitter: Emitter, receiver: Receiver) -> None:
    """
    Exceptions that Flask passes on, as when it tests, are told as well.
    """
    app = shop(emitter)
    app.testing = True

    with serving(app) as port:
        get(port, "/api/broken/x")
        [event] = receiver.wait("request")

    assert (event["status"], event["error"]["type"]) == (500, "LookupError")
