"""The middleware around applications that answer, stream, fail, hang and are left."""

from __future__ import annotations

import asyncio
import contextvars
import time

from typing import Any

import aiohttp
import pytest

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from monitord.emit import Emitter, MonitordMiddleware, trace_id
from tests.emit.asgi import BODY, START, answering, ask, header, http_scope
from tests.emit.receiver import Receiver, serving


async def events(receiver: Receiver, emitter: Emitter, kind: str = "request") -> list[Any]:
    assert await asyncio.to_thread(emitter.flush, 5)
    found = receiver.events(kind)
    return found or await asyncio.to_thread(receiver.wait, kind)


async def test_a_request_is_recorded(emitter: Emitter, receiver: Receiver) -> None:
    """
    One event for one request, under the trace id that the client is told.
    """
    sent = await ask(MonitordMiddleware(answering, emitter), "/orders/17", method="POST")

    [event] = await events(receiver, emitter)
    assert (event["method"], event["route"], event["status"]) == ("POST", "/orders/:id", 200)
    assert 0 <= event["duration_ms"] < 1_000
    assert [event["trace_id"].encode()] == header(sent, b"x-trace-id")
    assert len(event["span_id"]) == 16
    assert "error" not in event
    assert sent[0]["headers"][0] == (b"content-length", b"2")
    assert sent[1] is BODY


async def test_messages_of_the_application_are_left_as_they_are(emitter: Emitter) -> None:
    """
    An application that sends the same dict each time has a new trace id in each answer.
    """
    app = MonitordMiddleware(answering, emitter)

    answers = [await ask(app) for _ in range(100)]

    assert len({header(sent, b"x-trace-id")[0] for sent in answers}) == 100
    assert START["headers"] == [(b"content-length", b"2")]


@pytest.mark.parametrize("name", [b"x-trace-id", b"X-Trace-ID", b"X-TRACE-ID"])
async def test_the_header_is_never_there_twice(emitter: Emitter, name: bytes) -> None:
    """
    An application that answers with a trace id of its own keeps it, however it spells the header.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": ((name, b"own"),)})
        await send(BODY)

    assert header(await ask(MonitordMiddleware(app, emitter)), b"x-trace-id") == [b"own"]


async def test_an_answer_without_headers_gets_one(emitter: Emitter) -> None:
    """
    `headers` is optional in ASGI.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "trailers": False})
        await send({"type": "http.response.body"})

    sent = await ask(MonitordMiddleware(app, emitter))

    assert len(header(sent, b"x-trace-id")) == 1
    assert (sent[0]["status"], sent[0]["trailers"]) == (204, False)


async def test_the_time_ends_with_the_last_byte(emitter: Emitter, receiver: Receiver) -> None:
    """
    A streamed body counts to its end; what the application does afterwards neither counts nor
    delays the event.
    """
    finished = asyncio.Event()

    async def chunks() -> Any:
        for _ in range(4):
            await asyncio.sleep(0.05)
            yield b"x" * 1_000

    async def stream(_: Request) -> Response:
        return StreamingResponse(chunks(), background=BackgroundTask(finished.wait))

    app = Starlette(routes=[Route("/stream", stream)])
    app.add_middleware(MonitordMiddleware, emitter=emitter)

    async with serving(app) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/stream") as reply:
            assert len(await reply.read()) == 4_000
        [event] = await asyncio.to_thread(receiver.wait, "request")
        finished.set()

    assert event["duration_ms"] >= 200


@pytest.mark.parametrize("last", ["http.response.pathsend", "http.response.body"])
async def test_whatever_ends_the_body_ends_the_request(
    emitter: Emitter, receiver: Receiver, last: str
) -> None:
    """
    A file sent by the server itself, or an empty last part, is the end as well.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": last, "path": "/x", "body": b"", "more_body": False})
        assert len(await events(receiver, emitter)) == 1

    await ask(MonitordMiddleware(app, emitter))


def broken() -> None:
    raise LookupError("no such order")


async def test_an_exception_is_recorded_and_raised(emitter: Emitter, receiver: Receiver) -> None:
    """
    The request is a 500 with type, message and the application's own frames; the caller still
    gets the exception.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        broken()

    with pytest.raises(LookupError, match="no such order"):
        await ask(MonitordMiddleware(app, emitter))

    [event] = await events(receiver, emitter)
    assert event["status"] == 500
    assert (event["error"]["type"], event["error"]["message"]) == ("LookupError", "no such order")
    functions = [frame["function"].split(".")[-1] for frame in event["error"]["frames"]]
    assert functions[-2:] == ["app", "broken"]
    assert event["error"]["frames"][-1]["source"] == 'raise LookupError("no such order")'


@pytest.mark.parametrize("forwarded", [True, False])
async def test_an_exception_is_a_log_line_too(
    emitter: Emitter, receiver: Receiver, forwarded: bool
) -> None:
    """
    The traceback is forwarded, unless the application says that it does so itself.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        broken()

    with pytest.raises(LookupError):
        await ask(MonitordMiddleware(app, emitter, log_errors=forwarded))

    assert await events(receiver, emitter)
    told = receiver.events("log")
    assert [event["error"]["type"] for event in told] == ["LookupError"] * forwarded


async def test_an_exception_after_the_start_keeps_the_status(
    emitter: Emitter, receiver: Receiver
) -> None:
    """
    What the client was told stays, and the error is known.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        broken()

    with pytest.raises(LookupError):
        await ask(MonitordMiddleware(app, emitter))

    [event] = await events(receiver, emitter)
    assert (event["status"], event["error"]["type"]) == (200, "LookupError")


@pytest.mark.parametrize("outermost", [True, False])
async def test_the_error_of_an_error_page(
    emitter: Emitter, receiver: Receiver, outermost: bool
) -> None:
    """
    Inside the framework's error page or around it, the request has its status and its exception.
    """

    async def fail(_: Request) -> Response:
        broken()
        return Response()

    stack = [] if outermost else [Middleware(MonitordMiddleware, emitter=emitter)]
    app: Any = Starlette(routes=[Route("/fail/{id}", fail)], middleware=stack)
    if outermost:
        app = MonitordMiddleware(app, emitter)

    with pytest.raises(LookupError):
        await ask(app, "/fail/1")

    [event] = await events(receiver, emitter)
    assert (event["route"], event["status"]) == ("/fail/{id}", 500)
    assert event["error"]["type"] == "LookupError"
    frames = event["error"]["frames"]
    library = [frame["in_app"] for frame in frames if "starlette" in frame["path"]]
    assert library
    assert not any(library)
    assert frames[-1]["in_app"] is True


async def test_a_background_task_that_fails_is_a_log(emitter: Emitter, receiver: Receiver) -> None:
    """
    An exception after a good answer does not change the request, and is not lost either.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(scope, receive, send)
        broken()

    with pytest.raises(LookupError):
        await ask(MonitordMiddleware(app, emitter), "/later")

    [event] = await events(receiver, emitter)
    [log] = await events(receiver, emitter, "log")
    assert (event["status"], "error" in event) == (200, False)
    assert (log["level"], log["error"]["type"]) == ("ERROR", "LookupError")
    assert log["trace_id"] == event["trace_id"]


async def test_a_handled_error_is_a_status(emitter: Emitter, receiver: Receiver) -> None:
    """
    A 500 that the application answers itself is recorded once, when the application is done.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "status": 503})
        await send(BODY)

    await ask(MonitordMiddleware(app, emitter))

    [event] = await events(receiver, emitter)
    assert (event["status"], "error" in event) == (503, False)


@pytest.mark.parametrize(("left", "status"), [(True, 499), (False, 500)])
async def test_no_answer_at_all(
    emitter: Emitter, receiver: Receiver, left: bool, status: int
) -> None:
    """
    An application that returns without an answer is at fault, unless its client had left.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    await ask(MonitordMiddleware(app, emitter), messages=[] if left else None)

    [event] = await events(receiver, emitter)
    assert (event["status"], "error" in event) == (status, False)


async def test_a_cancelled_request_is_no_error(emitter: Emitter, receiver: Receiver) -> None:
    """
    Servers cancel the application of a client that has left.
    """
    started = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        started.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(ask(MonitordMiddleware(app, emitter)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    [event] = await events(receiver, emitter)
    assert (event["status"], "error" in event) == (499, False)


async def test_a_client_that_leaves_while_sending(emitter: Emitter, receiver: Receiver) -> None:
    """
    Half an upload over a real connection that breaks is the client's doing, not an error.
    """
    reading = asyncio.Event()

    async def upload(request: Request) -> Response:
        async for _ in request.stream():
            reading.set()
        return Response()

    app = Starlette(routes=[Route("/upload", upload, methods=["POST"])])
    app.add_middleware(MonitordMiddleware, emitter=emitter)

    async with serving(app) as url:
        host, port = url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
        await writer.drain()
        await reading.wait()
        writer.transport.abort()
        [event] = await asyncio.to_thread(receiver.wait, "request")

    assert (event["route"], event["status"], "error" in event) == ("/upload", 499, False)


async def test_requests_at_once_keep_their_own_trace(emitter: Emitter, receiver: Receiver) -> None:
    """
    Among fifty requests in flight each sees its own trace id from begin to end, in threads too.
    """

    async def slow(request: Request) -> Response:
        before = trace_id.get()
        await asyncio.sleep(0.01)
        emitter.log("INFO", "served", fields={"order": request.path_params["id"]})
        in_thread = await asyncio.to_thread(trace_id.get)
        assert before == trace_id.get() == in_thread
        return PlainTextResponse(str(before))

    def threaded(_: Request) -> Response:
        time.sleep(0.01)
        return PlainTextResponse(str(trace_id.get()))

    app = Starlette(routes=[Route("/slow/{id}", slow), Route("/threaded/{id}", threaded)])
    app.add_middleware(MonitordMiddleware, emitter=emitter)

    async with serving(app) as url, aiohttp.ClientSession() as session:

        async def get(kind: str, number: int) -> str:
            async with session.get(f"{url}/{kind}/{number}") as reply:
                assert await reply.text() == reply.headers["X-Trace-ID"]
                return reply.headers["X-Trace-ID"]

        asked = [get(kind, number) for number in range(25) for kind in ("slow", "threaded")]
        traces = await asyncio.gather(*asked)
        await asyncio.to_thread(receiver.wait, "log", 25)
        await asyncio.to_thread(receiver.wait, "request", 50)

    assert len(set(traces)) == 50
    assert {event["trace_id"] for event in receiver.events("request")} == set(traces)
    by_order = {line["fields"]["order"]: line["trace_id"] for line in receiver.events("log")}
    assert [by_order[str(number)] for number in range(25)] == traces[::2]


async def test_the_trace_ends_with_the_request(emitter: Emitter) -> None:
    """
    After a request the context is what it was before, also after one that failed.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert trace_id.get()
        broken()

    token = trace_id.set("ab" * 16)
    with pytest.raises(LookupError):
        await ask(MonitordMiddleware(app, emitter))

    assert trace_id.get() == "ab" * 16
    trace_id.reset(token)


@pytest.mark.parametrize(
    ("path", "root"), [("/healthz", ""), ("/metrics", ""), ("/api/healthz", "/api")]
)
async def test_excluded_paths_pass_through(
    emitter: Emitter, receiver: Receiver, path: str, root: str
) -> None:
    """
    A probe is neither recorded nor given a trace, with or without a prefix before it.
    """
    app = MonitordMiddleware(answering, emitter)

    sent = await ask(app, path, root_path=root)
    await ask(app, "/counted")

    assert sent == [START, BODY]
    assert [event["route"] for event in await events(receiver, emitter)] == ["/counted"]


async def test_another_list_of_exclusions(emitter: Emitter, receiver: Receiver) -> None:
    """
    `exclude` replaces the list; only whole paths are excluded.
    """
    app = MonitordMiddleware(answering, emitter, exclude=["/ping"])

    for path in ("/ping", "/healthz", "/ping/x"):
        await ask(app, path)

    assert [event["route"] for event in await events(receiver, emitter)] == ["/healthz", "/ping/x"]


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_only_http_is_touched(emitter: Emitter, kind: str) -> None:
    """
    The application gets the very objects of the server for anything but HTTP.
    """
    seen: list[object] = []

    async def app(*given: Any) -> None:
        seen.extend(given)

    scope = {"type": kind}
    await MonitordMiddleware(app, emitter)(scope, ask, answering)

    assert all(got is given for got, given in zip(seen, [scope, ask, answering], strict=True))


async def test_a_request_thrown_away_is_harmless(emitter: Emitter) -> None:
    """
    A coroutine closed in another context than it ran in, as at the end of a loop, says nothing.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def nothing() -> Any:
        return {}

    running = MonitordMiddleware(app, emitter)(http_scope(), nothing, answering)

    contextvars.copy_context().run(running.send, None)
    running.close()
