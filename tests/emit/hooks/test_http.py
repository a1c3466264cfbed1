"""Requests by httpx and aiohttp to a real server: their spans, and the trace handed on."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import pytest_asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from monitord.emit import Emitter
from monitord.emit.hooks import watch_aiohttp_client, watch_httpx
from tests.emit.hooks.sent import spans
from tests.emit.receiver import Receiver, serving


# Asks for a URL, and returns the status and the body.
Ask = Callable[[str], Awaitable[tuple[int, str]]]


async def by_aiohttp(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        return reply.status, await reply.text()


async def by_httpx(url: str) -> tuple[int, str]:
    async with httpx.AsyncClient(follow_redirects=True) as client:
        reply = await client.get(url)
        return reply.status_code, reply.text


def blocking(url: str) -> tuple[int, str]:
    with httpx.Client(follow_redirects=True) as client:
        reply = client.get(url)
        return reply.status_code, reply.text


async def by_blocking_httpx(url: str) -> tuple[int, str]:
    return await asyncio.to_thread(blocking, url)


each_client = pytest.mark.parametrize("ask", [by_aiohttp, by_httpx, by_blocking_httpx])


@pytest.fixture
def watched(emitter: Emitter) -> Iterator[None]:
    """
    Both libraries are watched.
    """
    undos = watch_aiohttp_client(emitter), watch_httpx(emitter)
    yield
    for undo in undos:
        undo()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[str]:
    """
    A server that answers with the trace it was handed, redirects, and fails.
    """

    async def echo(request: Request) -> Response:
        return JSONResponse(request.headers.getlist("traceparent"))

    async def moved(_: Request) -> Response:
        return RedirectResponse("/echo")

    async def failing(_: Request) -> Response:
        return Response(status_code=503)

    routes = [Route("/echo", echo), Route("/moved", moved), Route("/failing", failing)]
    async with serving(Starlette(routes=routes)) as url:
        yield url


@pytest.mark.usefixtures("watched")
@each_client
async def test_a_request(ask: Ask, server: str, emitter: Emitter, receiver: Receiver) -> None:
    """
    Its span is what the other side sees as its caller; user, password and query are not in it.
    """
    url = server.replace("http://", "http://eve:secret@")
    with emitter.span("page") as page:
        status, body = await ask(f"{url}/echo?token=424242")

    request, _ = spans(emitter, receiver)
    assert (status, body) == (200, f'["00-{page.trace_id}-{request["span_id"]}-01"]')
    assert (request["name"], request["kind"]) == ("GET 127.0.0.1", "client")
    assert request["parent_id"] == page.span_id
    assert request["attributes"] == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": int(server.rpartition(":")[2]),
        "url.full": f"{server}/echo",
    }


@pytest.mark.usefixtures("watched")
@each_client
async def test_a_request_that_fails(
    ask: Ask, server: str, emitter: Emitter, receiver: Receiver
) -> None:
    """
    A bad answer has its status as `error.type`; without an answer the exception is raised on.
    """
    with emitter.span("page"):
        assert (await ask(f"{server}/failing"))[0] == 503
        with pytest.raises((aiohttp.ClientConnectorError, httpx.ConnectError)):
            await ask("http://127.0.0.1:1/")

    bad, none, _ = spans(emitter, receiver)
    attributes = bad["attributes"]
    assert (attributes["http.response.status_code"], attributes["error.type"]) == (503, "503")
    assert none["status"] == "error"
    assert "Connect" in none["error"]["type"]
    assert "http.response.status_code" not in none["attributes"]


@pytest.mark.usefixtures("watched")
@each_client
async def test_a_redirect(ask: Ask, server: str, emitter: Emitter, receiver: Receiver) -> None:
    """
    aiohttp's request is one span to its last answer, httpx' is one for each that was sent.
    """
    with emitter.span("page"):
        assert (await ask(f"{server}/moved"))[0] == 200

    *requests, _ = spans(emitter, receiver)
    statuses = [request["attributes"]["http.response.status_code"] for request in requests]
    assert statuses == ([200] if ask is by_aiohttp else [307, 200])


@pytest.mark.usefixtures("watched")
@each_client
async def test_the_trace_around_it(
    ask: Ask, server: str, emitter: Emitter, receiver: Receiver
) -> None:
    """
    After a request the current span is what it was; outside of a trace nothing is handed on.
    """
    assert (await ask(f"{server}/echo")) == (200, "[]")
    with emitter.span("page") as page:
        await asyncio.gather(*(ask(f"{server}/echo") for _ in range(5)))
        await ask(f"{server}/echo")
        with emitter.span("after"):
            pass

    found = spans(emitter, receiver)
    assert len(found) == 8
    assert {span["parent_id"] for span in found[:-1]} == {page.span_id}


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("ask", [by_aiohttp, by_httpx])
async def test_a_request_that_is_cancelled(ask: Ask, emitter: Emitter, receiver: Receiver) -> None:
    """
    Being cancelled is raised on, and is no error of the request.
    """

    async def silent(reader: Any, writer: Any) -> None:
        await reader.read(1)
        task.cancel()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        with emitter.span("page"):
            task = asyncio.create_task(ask(f"http://{host}:{port}/"))  # type: ignore[arg-type]
            with pytest.raises(asyncio.CancelledError):
                await task

    request, _ = spans(emitter, receiver)
    assert (request["name"], "error" in request) == ("GET 127.0.0.1", False)


@pytest.mark.usefixtures("watched")
async def test_a_request_that_is_cancelled_at_its_end(
    server: str, emitter: Emitter, receiver: Receiver
) -> None:
    """
    Cancelled in the application's own tracing, after its span has ended, it ends as cancelled.
    """
    entered = asyncio.Event()

    async def never(*_: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    config = aiohttp.TraceConfig()
    config.on_request_end.append(never)
    config.freeze()
    async with aiohttp.ClientSession() as session:
        session.trace_configs.append(config)
        with emitter.span("page"):
            task = asyncio.ensure_future(session.get(f"{server}/echo"))
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    assert [span["name"] for span in spans(emitter, receiver)] == ["GET 127.0.0.1", "page"]


@pytest.mark.usefixtures("watched")
async def test_the_application_s_own_request(server: str, emitter: Emitter) -> None:
    """
    What was put into its headers is gone afterwards; a `traceparent` of its own stays.
    """
    own = {"traceparent": f"00-{'b' * 32}-{'c' * 16}-01"}
    with httpx.Client() as client:
        request = client.build_request("GET", f"{server}/echo")
        with emitter.span("page") as page:
            within = await asyncio.to_thread(client.send, request)
            set_by_it = await asyncio.to_thread(client.get, f"{server}/echo", headers=own)
        outside = await asyncio.to_thread(client.send, request)
    async with aiohttp.ClientSession() as session:
        with emitter.span("page"):
            async with session.get(f"{server}/echo", headers=own) as reply:
                by_aiohttp = await reply.json()

    assert str(page.trace_id) in within.text
    assert outside.json() == []
    assert set_by_it.json() == by_aiohttp == [own["traceparent"]]
    assert set_by_it.request.headers["traceparent"] == own["traceparent"]


async def test_watched_twice_and_undone(server: str, emitter: Emitter, receiver: Receiver) -> None:
    """
    Watched twice records once; undone, also what was made before records nothing.
    """
    before = dict(vars(aiohttp.ClientSession)), dict(vars(httpx.AsyncHTTPTransport))
    undos = [watch() for watch in (lambda: watch_aiohttp_client(emitter),) * 2]
    undos += [watch() for watch in (lambda: watch_httpx(emitter),) * 2]
    async with aiohttp.ClientSession() as session:
        with emitter.span("page"):
            await session.get(f"{server}/echo")
            await by_httpx(f"{server}/echo")
        for undo in undos:
            undo()
        with emitter.span("page"):
            reply = await session.get(f"{server}/echo")
            assert await reply.text() == "[]"

    names = [span["name"] for span in spans(emitter, receiver)]
    assert names == ["GET 127.0.0.1", "GET 127.0.0.1", "page", "page"]
    assert (dict(vars(aiohttp.ClientSession)), dict(vars(httpx.AsyncHTTPTransport))) == before
