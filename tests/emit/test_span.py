"""Spans: what hangs on what, what is recorded of which trace, what they say of an exception."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading

from time import perf_counter_ns
from typing import Any

import aiohttp
import msgspec
import pytest

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from monitord import emit
from monitord.emit import Emitter, MonitordMiddleware, current, headers, span_id, trace_id, traced
from monitord.emit import trace as traces
from monitord.model import ErrorInfo
from monitord.store.fingerprint import fingerprint
from tests.emit.asgi import answering, ask
from tests.emit.receiver import Receiver, serving
from tests.emit.test_process import script


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


def parent(flags: str = "01", trace: str = TRACE) -> tuple[bytes, bytes]:
    return b"traceparent", f"00-{trace}-{CALLER}-{flags}".encode()


def spans(receiver: Receiver, emitter: Emitter) -> dict[str, dict[str, Any]]:
    """Return everything recorded so far, by name."""
    emitter.log("INFO", "the end")
    assert emitter.flush(5)
    receiver.wait("log")
    return {span["name"]: span for span in receiver.events("span")}


def test_a_span_by_itself(emitter: Emitter, receiver: Receiver) -> None:
    """
    Outside of a request a span begins a trace of its own, and says when, how long and what.
    """
    began_ns = perf_counter_ns()
    with emitter.span("charge card", "client", {"amount": 9.5}) as span:
        span.set("shop.id", "s1")
        assert trace_id.get() == span.trace_id
    longest_ms = (perf_counter_ns() - began_ns) / 1e6

    [told] = receiver.wait("span")
    time, duration_ms = told.pop("time"), told.pop("duration_ms")
    assert told == {
        "type": "span",
        "service": "shop",
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "name": "charge card",
        "kind": "client",
        "attributes": {"amount": 9.5, "shop.id": "s1"},
    }
    assert 0 <= duration_ms <= longest_ms + 0.0001
    assert time > 1_700_000_000
    assert trace_id.get() is None


def test_spans_within_spans(emitter: Emitter, receiver: Receiver) -> None:
    """
    Each hangs on the one around it, and all are of one trace; so is what is recorded in one go.
    """
    with emitter.span("outer") as outer:
        assert current() is outer
        with emitter.span("inner") as inner:
            assert current() is inner
            emitter.record_span("query", "client", perf_counter_ns())
        with emitter.span("second"):
            pass
    assert current() is None

    told = spans(receiver, emitter)
    assert {span["trace_id"] for span in told.values()} == {outer.trace_id}
    assert "parent_id" not in told["outer"]
    assert told["inner"]["parent_id"] == told["second"]["parent_id"] == outer.span_id
    assert told["query"]["parent_id"] == inner.span_id
    assert len({span["span_id"] for span in told.values()}) == 4


def test_tasks_and_threads(emitter: Emitter, receiver: Receiver) -> None:
    """
    Tasks begun within a span hang on it, each keeps its own; another thread begins anew.
    """

    async def step(number: int) -> None:
        with emitter.span(f"step {number}"):
            await asyncio.sleep(0.001)
            emitter.record_span(f"query {number}", "client", perf_counter_ns())

    async def steps() -> None:
        with emitter.span("all"):
            await asyncio.gather(*(step(number) for number in range(5)))

    asyncio.run(steps())
    with emitter.span("here"):
        thread = threading.Thread(target=lambda: emitter.record_span("there", "internal", 0))
        thread.start()
        thread.join()

    told = spans(receiver, emitter)
    for number in range(5):
        assert told[f"step {number}"]["parent_id"] == told["all"]["span_id"]
        assert told[f"query {number}"]["parent_id"] == told[f"step {number}"]["span_id"]
    assert "parent_id" not in told["there"]
    assert told["there"]["trace_id"] != told["here"]["trace_id"]


def test_an_exception_passes_through(emitter: Emitter, receiver: Receiver) -> None:
    """
    It is the span's error with its frames, and is raised on; being cancelled is no error.
    """
    with pytest.raises(LookupError), emitter.span("fails"):
        raise LookupError("no such order")
    with pytest.raises(asyncio.CancelledError), emitter.span("cancelled"):
        raise asyncio.CancelledError
    emitter.record_span("failed", "client", perf_counter_ns(), error=ValueError("x"))
    emitter.record_span("given up", "client", perf_counter_ns(), error=asyncio.CancelledError())

    told = spans(receiver, emitter)
    assert (told["fails"]["status"], told["failed"]["status"]) == ("error", "error")
    error = told["fails"]["error"]
    assert (error["type"], error["message"]) == ("LookupError", "no such order")
    assert error["frames"][-1]["source"] == 'raise LookupError("no such order")'
    assert error["frames"][-1]["in_app"]
    assert told["failed"]["error"] == {"type": "ValueError", "message": "x", "frames": []}
    for name in ("cancelled", "given up"):
        assert not {"status", "error"} & told[name].keys()


async def test_one_exception_is_one_wherever_it_is_caught(
    emitter: Emitter, receiver: Receiver
) -> None:
    """
    Caught by two spans, a log record and the request, it is one kind of exception to the store.
    """

    async def charge() -> None:
        with emitter.span("charge"):
            raise LookupError("no such card")

    async def pay() -> None:
        with emitter.span("pay"):
            await charge()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await pay()
        except LookupError as error:
            emitter.log("ERROR", "not paid", error=error)
            raise

    with pytest.raises(LookupError):
        await ask(MonitordMiddleware(app, emitter))
    assert emitter.flush(5)
    receiver.wait("request")

    told = [event for event in receiver.lines() if event.get("error")]
    kinds = {fingerprint(msgspec.convert(event["error"], ErrorInfo)) for event in told}
    assert {event["type"] for event in told} == {"span", "log", "request"}
    assert len(told) == 5  # the request has a span of its own
    assert len(kinds) == 1, [event["error"]["frames"] for event in told]


async def test_a_request_and_its_spans(emitter: Emitter, receiver: Receiver) -> None:
    """
    A request on which spans hang has one itself, with the ids of its event; others have none.
    """

    async def order(_: Request) -> Response:
        surrounding = current()
        assert surrounding is not None
        assert surrounding.span_id == span_id()
        with emitter.span("load"):
            emitter.record_span("SELECT", "client", perf_counter_ns())
            emitter.log("INFO", "loaded")
        return PlainTextResponse("x", 500)

    async def plain(_: Request) -> Response:
        return PlainTextResponse("x")

    app = Starlette(routes=[Route("/orders/{id}", order), Route("/plain", plain)])
    app.add_middleware(MonitordMiddleware, emitter=emitter)

    async with serving(app) as url, aiohttp.ClientSession() as session:
        for path in ("/orders/17", "/plain"):
            async with session.get(f"{url}{path}") as reply:
                await reply.read()
        requests = await asyncio.to_thread(receiver.wait, "request", 2)

    [line] = receiver.wait("log")
    told = {span["name"]: span for span in receiver.wait("span", 3)}
    request = next(each for each in requests if each["route"] == "/orders/{id}")
    server = told["GET /orders/{id}"]
    assert {span["trace_id"] for span in told.values()} == {request["trace_id"]}
    assert (server["span_id"], server["kind"]) == (request["span_id"], "server")
    assert "parent_id" not in server
    assert server["status"] == "error"
    assert server["duration_ms"] == request["duration_ms"]
    assert server["attributes"] == {
        "http.request.method": "GET",
        "http.response.status_code": 500,
        "http.route": "/orders/{id}",
    }
    assert told["load"]["parent_id"] == server["span_id"]
    assert told["SELECT"]["parent_id"] == told["load"]["span_id"]
    assert line["span_id"] == told["load"]["span_id"]
    assert len(told) == 3


@pytest.mark.parametrize("flags", ["00", "01"])
async def test_the_caller_decides(emitter: Emitter, receiver: Receiver, flags: str) -> None:
    """
    Called within a sampled trace a request has a span below the caller's; in another it has none.
    """
    outgoing: dict[str, str] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with emitter.span("step") as step:
            emitter.inject(outgoing)
            assert step.span_id == span_id() == outgoing["traceparent"].split("-")[2]
            emitter.record_span("query", "client", perf_counter_ns())
        await answering(scope, receive, send)

    await ask(MonitordMiddleware(app, emitter), headers=[parent(flags)])
    await ask(MonitordMiddleware(answering, emitter), "/plain", headers=[parent(flags)])

    told = spans(receiver, emitter)
    requests = receiver.events("request")
    assert {each["trace_id"] for each in requests} == {TRACE}
    assert outgoing["traceparent"].endswith(f"-{flags}")
    if flags == "00":
        assert told == {}
        return
    servers = [span for span in receiver.events("span") if span["kind"] == "server"]
    assert {span["parent_id"] for span in servers} == {CALLER}
    assert {span["span_id"] for span in servers} == {each["span_id"] for each in requests}
    assert told["step"]["parent_id"] in {span["span_id"] for span in servers}


async def test_a_service_called_within_its_own_process(
    emitter: Emitter, receiver: Receiver
) -> None:
    """
    What it records hangs on its own request, and the caller goes on where it was.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        emitter.record_span("there", "client", perf_counter_ns())
        await answering(scope, receive, send)

    with emitter.span("here") as here:
        outgoing = [(name.encode(), value.encode()) for name, value in headers().items()]
        await ask(MonitordMiddleware(app, emitter), headers=outgoing)
        assert current() is here
        emitter.record_span("after", "client", perf_counter_ns())

    told = spans(receiver, emitter)
    assert told["GET /"]["parent_id"] == told["after"]["parent_id"] == here.span_id
    assert told["there"]["parent_id"] == told["GET /"]["span_id"]


async def test_requests_leave_nothing_behind(emitter: Emitter) -> None:
    """
    What is kept of requests with spans until they are answered is gone afterwards, and bounded.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        emitter.record_span("step", "client", perf_counter_ns())
        await answering(scope, receive, send)

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await answering(scope, receive, send)
        emitter.record_span("late", "client", perf_counter_ns())

    traces.hung.clear()
    await ask(MonitordMiddleware(app, emitter))
    assert not traces.hung

    await ask(MonitordMiddleware(late, emitter))
    assert not traces.hung

    for _ in range(2 * traces.MOST_HUNG):
        traces.hang_on(traces.new_trace())
    assert len(traces.hung) == traces.MOST_HUNG
    traces.hung.clear()


def test_a_trace_that_is_no_request(emitter: Emitter, receiver: Receiver) -> None:
    """
    In `traced` the first spans are roots of the trace, for nothing else stands for it.
    """
    with traced() as trace:
        assert current() is None
        with emitter.span("one"):
            pass
        emitter.record_span("two", "internal", perf_counter_ns())

    told = spans(receiver, emitter)
    assert {span["trace_id"] for span in told.values()} == {trace}
    assert not any("parent_id" in span for span in told.values())


def test_a_share_of_traces(receiver: Receiver) -> None:
    """
    A trace is recorded whole or not at all, each process decides alike, and tells whom it calls.
    """
    one = Emitter(receiver.address, service="shop", spans=0.3, flush_every=0.01)
    other = Emitter(receiver.address, service="stock", spans=0.3, flush_every=0.01)
    said = set()

    for _ in range(400):
        with one.span("outer") as outer:
            one.record_span("inner", "client", perf_counter_ns())
            other.record_span("other", "client", perf_counter_ns())
            if (one.traceparent() or "").endswith("-01"):
                said.add(outer.trace_id)
    assert one.flush(5)
    assert other.flush(5)

    by_name: dict[str, set[str]] = {"outer": set(), "inner": set(), "other": set()}
    for span in receiver.wait("span", 3 * len(said)):
        by_name[span["name"]].add(span["trace_id"])
    assert by_name["outer"] == by_name["inner"] == by_name["other"] == said
    assert 60 < len(said) < 180
    one.close()
    other.close()


@pytest.mark.parametrize("options", [{"spans": 0.0}, {"address": "off"}])
def test_no_spans(receiver: Receiver, options: dict[str, Any]) -> None:
    """
    Switched off, or without a target, a span is a block like any other.
    """
    emitter = Emitter(**{"address": receiver.address, "service": "shop", **options})

    with traced() as trace, emitter.span("step") as span:
        span.set("key", "value")
        assert (span.trace_id, span.span_id) == (trace, span_id())
        emitter.record_span("query", "client", perf_counter_ns())
    with emitter.span("step") as span:
        assert (span.trace_id, span.span_id) == (None, None)

    assert emitter.flush(5)
    assert receiver.events("span") == []
    emitter.close()


def test_attributes_are_what_they_were(emitter: Emitter, receiver: Receiver) -> None:
    """
    Any value is told as a log's field is, long ones cut; nothing changes after the block.
    """
    tags = ["a"]
    given: dict[Any, Any] = {"tags": tags, "statement": "x" * 100_000, 1: object, "zero": "\0"}

    with emitter.span("step", attributes=given) as span:
        span.set("nan", float("nan"))
    tags.append("b")
    given["more"] = 1
    emitter.record_span("many", "client", 0, {f"{number}": number for number in range(100)})
    emitter.record_span("short", "client", 0, {"a": 1, "b": None, "c": True, "d": 2.5, "e": 2**70})

    told = spans(receiver, emitter)
    attributes = told["step"]["attributes"]
    assert attributes["tags"] == ["a"]
    assert len(attributes["statement"]) == 8_192
    assert attributes["1"] == "<class 'object'>"
    assert attributes["zero"] == "\ufffd"
    assert attributes["nan"] == "nan"
    assert "more" not in attributes
    assert len(told["many"]["attributes"]) == 64
    assert told["short"]["attributes"] == {"a": 1, "b": None, "c": True, "d": 2.5, "e": str(2**70)}


@pytest.mark.parametrize("wrong", [("", "client"), ("step", "nonsense"), ([], {}), (b"", None)])
def test_an_impossible_span_is_counted(
    emitter: Emitter, receiver: Receiver, wrong: tuple[Any, Any]
) -> None:
    """
    It does not raise where it is recorded, and counts as lost; odd attributes do not matter.
    """
    odd: Any = 17
    with emitter.span(*wrong):
        pass
    emitter.record_span(*wrong, perf_counter_ns())
    emitter.record_span("step", "client", odd and "then")  # type: ignore[arg-type]
    with emitter.span("odd", attributes=odd):
        emitter.record_span("odd", "client", perf_counter_ns(), odd)

    assert emitter.flush(5)
    assert emitter.lost == {"invalid": 3}
    for span in receiver.wait("span", 2):
        assert span["attributes"]


def test_a_block_closed_elsewhere_is_harmless(emitter: Emitter) -> None:
    """
    A generator thrown away in another context than it ran in says nothing.
    """

    def steps() -> Any:
        with emitter.span("step"):
            yield

    running = steps()
    contextvars.copy_context().run(next, running)
    running.close()


async def test_a_generator_thrown_away(emitter: Emitter, receiver: Receiver) -> None:
    """
    Who stops early to read from one is out of its spans, and of the trace they began.
    """

    async def rows() -> Any:
        with emitter.span("read"), emitter.span("row"):
            for number in range(3):
                yield number

    async def first() -> None:
        async for _ in rows():
            break
        gc.collect()
        while len(receiver.events("span")) < wanted:  # noqa: ASYNC110 - told by another thread
            await asyncio.sleep(0.01)

    wanted = 2
    await first()
    assert (current(), span_id(), headers()) == (None, None, {})
    with emitter.span("page") as page:
        wanted = 4
        await first()
        assert current() is page
        emitter.record_span("query", "client", perf_counter_ns())
    emitter.record_span("alone", "internal", perf_counter_ns())

    told = spans(receiver, emitter)
    assert "parent_id" not in told["page"]
    assert told["query"]["parent_id"] == page.span_id
    assert "parent_id" not in told["alone"]
    assert len({each["trace_id"] for each in receiver.events("span")}) == 3
    assert [line for line in receiver.events("log") if "trace_id" in line] == []


async def test_what_outlives_its_span(emitter: Emitter, receiver: Receiver) -> None:
    """
    A task begun within a span goes on to hang on it after its end.
    """
    ended = asyncio.Event()

    async def on() -> None:
        await ended.wait()
        emitter.record_span("later", "internal", perf_counter_ns())

    with emitter.span("begins") as begins:
        task = asyncio.create_task(on())
    ended.set()
    await task

    assert spans(receiver, emitter)["later"]["parent_id"] == begins.span_id


def test_a_block_left_twice(emitter: Emitter, receiver: Receiver) -> None:
    """
    It says nothing, and is recorded once.
    """
    span = emitter.span("step").__enter__()
    span.__exit__(None, None, None)
    span.__exit__(None, None, None)

    assert emitter.flush(5)
    emitter.log("INFO", "the end")
    receiver.wait("log")
    assert len(receiver.events("span")) == 1


async def test_requests_of_one_trace(emitter: Emitter, receiver: Receiver) -> None:
    """
    Each has a span of its own for its own to hang on, served at once as they are.
    """
    answer = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        emitter.record_span("query", "client", perf_counter_ns())
        if scope["path"] == "/late":
            await answer.wait()
        await answering(scope, receive, send)

    middleware = MonitordMiddleware(app, emitter)
    same = [(b"x-trace-id", TRACE.encode())]
    late = asyncio.create_task(ask(middleware, "/late", headers=same))
    await asyncio.sleep(0)
    await ask(middleware, "/", headers=same)
    answer.set()
    await late

    spans(receiver, emitter)
    told = receiver.events("span")
    servers = {span["span_id"] for span in told if span["kind"] == "server"}
    assert len(servers) == 2
    assert {span["parent_id"] for span in told if span["kind"] == "client"} == servers


@pytest.mark.parametrize("outlived", [False, True])
async def test_spans_after_the_answer(emitter: Emitter, receiver: Receiver, outlived: bool) -> None:
    """
    However many there are, requests still being served keep theirs.
    """
    answer = asyncio.Event()
    tasks = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        emitter.record_span("query", "client", perf_counter_ns())
        await answer.wait()
        await answering(scope, receive, send)

    async def background() -> None:
        emitter.record_span("late", "client", perf_counter_ns())

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await answering(scope, receive, send)
        if outlived:
            tasks.append(asyncio.create_task(background()))
        else:
            await background()

    traces.hung.clear()
    waiting = [asyncio.create_task(ask(MonitordMiddleware(app, emitter))) for _ in range(20)]
    await asyncio.sleep(0)
    for _ in range(1_100):
        await ask(MonitordMiddleware(late, emitter))
    await asyncio.gather(*tasks)
    answer.set()
    await asyncio.gather(*waiting)

    spans(receiver, emitter)
    assert sum(span["kind"] == "server" for span in receiver.events("span")) == 20
    assert outlived or not traces.hung
    traces.hung.clear()


def test_the_default_emitter(receiver: Receiver) -> None:
    """
    The functions of the module record by it, and name its trace.
    """
    code = """
        from time import perf_counter_ns
        from monitord import emit
        outgoing = {}
        emit.inject(outgoing)
        assert outgoing == {} and emit.traceparent() is None
        with emit.span("outer", attributes={"a": 1}) as span:
            emit.inject(outgoing)
            assert outgoing == {"traceparent": emit.traceparent()} == emit.headers()
            assert emit.traceparent() == f"00-{span.trace_id}-{span.span_id}-01"
            emit.record_span("inner", "client", perf_counter_ns(), {"b": 2})
    """

    script(code, receiver.address)

    inner, outer = receiver.wait("span", 2)
    assert (inner["name"], outer["name"]) == ("inner", "outer")
    assert inner["parent_id"] == outer["span_id"]


def test_spans_and_forks(receiver: Receiver) -> None:
    """
    A child forked within a span hangs its own on it; what waits at the end is sent by both.
    """
    code = """
        import os
        from monitord.emit import Emitter
        emitter = Emitter(flush_every=60)
        with emitter.span("parent"):
            child = os.fork()
            for number in range(200):
                with emitter.span("step"):
                    pass
            if child == 0:
                emitter.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    """

    script(code, receiver.address)

    told = receiver.wait("span", 401)
    [root] = [span for span in told if span["name"] == "parent"]
    assert {span["parent_id"] for span in told if span is not root} == {root["span_id"]}
    assert len({span["span_id"] for span in told}) == 401


def test_exports() -> None:
    """
    Hooks and applications find spans in the package and in the module of that name.
    """
    from monitord.emit.span import Span, record_span

    assert (emit.Span, emit.record_span) == (Span, record_span)
    assert callable(emit.span)
