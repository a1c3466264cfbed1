"""aiohttp's server: routes by their resources, its own answers, exceptions, clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref

from time import perf_counter_ns
from typing import Any

import aiohttp
import pytest

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from monitord.emit import Emitter, aiohttp_middleware, trace_id
from tests.emit.receiver import Receiver


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


def shop(emitter: Emitter, waiting: asyncio.Event) -> web.Application:
    async def order(request: web.Request) -> web.Response:
        emitter.record_span("SELECT", "client", perf_counter_ns())
        return web.Response(text=str(trace_id.get()))

    async def broken(_: web.Request) -> web.Response:
        raise LookupError("x")

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("/orders/1")

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        return response

    async def endless(_: web.Request) -> web.Response:
        waiting.set()
        await asyncio.sleep(60)
        return web.Response()

    async def socket(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        await response.close()
        return response

    async def probe(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(middlewares=[aiohttp_middleware(emitter)])
    app.router.add_get("/orders/{id:[0-9]+}", order)
    for handler in (broken, moved, stream, endless, socket):
        app.router.add_get(f"/{handler.__name__}", handler)
    app.router.add_get("/healthz", probe)
    below = web.Application()
    below.router.add_get("/{name}", order)
    app.add_subapp("/below", below)
    return app


async def test_aiohttp(emitter: Emitter, receiver: Receiver) -> None:
    """
    Each request but WebSockets is counted under its resource, with the trace its answer names.
    """
    waiting = asyncio.Event()
    runner = web.AppRunner(shop(emitter, waiting), access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    paths = ["/orders/17", "/broken", "/moved", "/stream", "/none", "/healthz", "/below/x"]
    traces = {}
    try:
        async with aiohttp.ClientSession() as session:
            for path in paths:
                headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"} if path == "/moved" else {}
                async with session.get(url + path, headers=headers, allow_redirects=False) as reply:
                    await reply.read()
                    traces[path] = reply.headers.get("X-Trace-ID")
            async with session.ws_connect(f"{url}/socket") as opened:
                await opened.receive()
            left = asyncio.create_task(session.get(f"{url}/endless"))
            await waiting.wait()
            left.cancel()
            with pytest.raises(asyncio.CancelledError):
                await left
        await asyncio.to_thread(receiver.wait, "request", 7)
    finally:
        await runner.cleanup()

    told = {event["route"]: event for event in receiver.events("request")}
    assert {route: event["status"] for route, event in told.items()} == {
        "/orders/{id}": 200,
        "/broken": 500,
        "/moved": 302,
        "/stream": 200,
        "__unmatched__": 404,
        "/below/{name}": 200,
        "/endless": 499,
    }
    assert [route for route, event in told.items() if "error" in event] == ["/broken"]
    assert told["/broken"]["error"]["frames"][-1]["function"].endswith("broken")
    assert told["/orders/{id}"]["trace_id"] == traces["/orders/17"]
    assert told["__unmatched__"]["trace_id"] == traces["/none"]
    assert told["/moved"]["trace_id"] == traces["/moved"] == TRACE
    spans = {span["name"]: span for span in receiver.wait("span", 5)}
    assert spans["GET /moved"]["parent_id"] == CALLER
    assert spans["GET /orders/{id}"]["span_id"] == told["/orders/{id}"]["span_id"]
    assert spans["GET /below/{name}"]["span_id"] == spans["SELECT"]["parent_id"]
    assert trace_id.get() is None


async def test_a_failed_request_is_gone_when_it_is_over() -> None:
    """
    What the handler held that failed is freed at once, without the garbage collector.
    """

    class Held:
        pass

    held: list[weakref.ref[Held]] = []

    async def handler(_: Any) -> None:
        cart = Held()
        held.append(weakref.ref(cart))
        raise LookupError("x")

    request = make_mocked_request("GET", "/")
    middleware = aiohttp_middleware(Emitter("off"))
    gc.disable()
    try:
        with contextlib.suppress(LookupError):
            await middleware(request, handler)
        assert [reference() for reference in held] == [None]
    finally:
        gc.enable()
