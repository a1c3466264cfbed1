"""The live log over real sockets: once each, in order, and gaps that are told."""

from __future__ import annotations

import asyncio
import json
import re
import socket

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import structlog

from monitord.http.pace import Pace
from monitord.intake.bus import Bus
from monitord.settings import Secret
from tests.http.conftest import WRITER, Serve, Served
from tests.http.test_border import head, request


STREAM = "/api/monitoring/advanced/logs/stream"
READ = "read-token-0123456789"


class Event:
    """One server-sent event as a browser's parser sees it (WHATWG HTML, 9.2.6)."""

    def __init__(self, block: bytes) -> None:
        self.name, self.id, self.data = "message", "", ""
        data = []
        for line in re.split(rb"\r\n|\r|\n", block):
            field, _, value = line.partition(b":")
            text = value.removeprefix(b" ").decode()
            if field == b"data":
                data.append(text)
            elif field == b"event":
                self.name = text
            elif field == b"id":
                self.id = text
        self.data = "\n".join(data)

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Reader:
    """Reads events from a response, one at a time."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self._rest = b""

    async def event(self, seconds: float = 5.0) -> Event:
        """Return the next event; comments and the retry hint are passed over."""
        async with asyncio.timeout(seconds):
            while True:
                match = re.search(rb"\r\n\r\n|\n\n|\r\r", self._rest)
                if match is None:
                    chunk = await self.answer.content.readany()
                    if not chunk:
                        raise EOFError
                    self._rest += chunk
                    continue
                block, self._rest = self._rest[: match.start()], self._rest[match.end() :]
                event = Event(block)
                if event.data:
                    return event

    async def events(self, count: int) -> list[Event]:
        return [await self.event() for _ in range(count)]

    async def messages(self, count: int) -> list[str]:
        return [event.json["message"] for event in await self.events(count)]


@asynccontextmanager
async def watching(
    served: Served, query: str = "", path: str = STREAM, **headers: str
) -> AsyncIterator[Reader]:
    async with (
        aiohttp.ClientSession() as client,
        client.get(served.address(path + query), headers=headers) as answer,
    ):
        assert answer.status == 200
        yield Reader(answer)


async def until(condition: Any) -> None:
    """Wait until something has come to be; the test's own time-out is five seconds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def test_headers(served: Served) -> None:
    """
    The stream is kept by no cache and buffered by no proxy.
    """
    async with watching(served) as reader:
        headers = reader.answer.headers

        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Accel-Buffering"] == "no"


@pytest.mark.parametrize("path", [STREAM, "/api/v1/logs/stream"])
async def test_a_line(served: Served, path: str) -> None:
    """
    A line arrives as one event: its cursor as id, its parts as JSON.
    """
    async with watching(served, path=path) as reader:
        seq = served.say("hello", level="WARNING")

        event = await reader.event()

    (line,) = served.ports.bus.recent(1).lines
    assert (event.name, event.id) == ("message", f"{WRITER}-{seq}-0")
    assert event.json == {
        "id": event.id,
        "time": line.log.time,
        "level": "WARNING",
        "service": "shop",
        "logger": "",
        "message": "hello",
        "trace_id": None,
        "fields": {},
        "error": None,
    }


async def test_the_tail_comes_once(served: Served) -> None:
    """
    A new client gets the last hundred lines and then each new one, none of them twice.
    """
    served.say(*(f"old {number}" for number in range(150)))
    async with watching(served) as reader:
        tail = await reader.messages(100)

        served.say("new 1", "new 2")

        assert tail == [f"old {number}" for number in range(50, 150)]
        assert await reader.messages(2) == ["new 1", "new 2"]


async def test_lines_published_while_it_connects(served: Served) -> None:
    """
    Lines that come in while a client connects are neither lost nor sent twice.
    """
    stop = asyncio.Event()

    async def publish() -> int:
        number = 0
        while not stop.is_set():
            served.say(f"{number}")
            number += 1
            await asyncio.sleep(0)
        return number

    publishing = asyncio.create_task(publish())
    for _ in range(5):
        async with watching(served) as reader:
            got = [int(text) for text in await reader.messages(120)]
            assert got == list(range(got[0], got[0] + 120))
    stop.set()
    assert await publishing > 0


async def test_resume(served: Served) -> None:
    """
    A client that comes back with its last id goes on from there, without gap or repetition.
    """
    served.say(*(f"{number}" for number in range(300)))
    async with watching(served) as reader:
        last = (await reader.events(10))[-1]
    served.say("later")

    async with watching(served, **{"Last-Event-ID": last.id}) as reader:
        first = int(last.json["message"]) + 1
        expected = [*(f"{number}" for number in range(first, 300)), "later"]
        assert (await reader.messages(len(expected))) == expected


async def test_resume_after_many_lines(served: Served) -> None:
    """
    A client that comes back gets every line it has not seen, more than a new client would.
    """
    seen = served.say("seen")
    served.say(*(f"{number}" for number in range(500)))

    async with watching(served, **{"Last-Event-ID": f"{WRITER}-{seen}-0"}) as reader:
        assert await reader.messages(500) == [f"{number}" for number in range(500)]


@pytest.mark.parametrize("cursor", ["1-1-0", "nonsense", "9" * 4_000, f"{WRITER + 1}-1-0"])
async def test_resume_from_what_is_not_held(served: Served, cursor: str) -> None:
    """
    A cursor of another run, or none at all, gives an explicit gap and then the tail.
    """
    served.say("held")

    async with watching(served, **{"Last-Event-ID": cursor}) as reader:
        gap, line = await reader.events(2)

    assert (gap.name, gap.json) == ("gap", {"dropped": None})
    assert line.json["message"] == "held"


async def test_filters(served: Served) -> None:
    """
    Level and text are filtered on the server, in the tail and in what is new.
    """
    served.say("quiet payment")
    served.say("loud payment", "loud noise", level="ERROR")
    async with watching(served, "?level=warning&text=PAYMENT") as reader:
        served.say("later noise", level="CRITICAL")
        served.say("later payment", level="CRITICAL")

        assert await reader.messages(2) == ["loud payment", "later payment"]


async def test_a_filtered_tail_reaches_back(served: Served) -> None:
    """
    The tail is a hundred lines that pass the filter, not what passes of the last hundred.
    """
    served.say("needle")
    served.say(*(f"hay {number}" for number in range(500)))

    async with watching(served, "?text=needle") as reader:
        assert await reader.messages(1) == ["needle"]


@pytest.mark.parametrize(
    "message",
    [
        "a\r\revent: bye\rdata: {}\r\r",
        "a\n\nevent: gap\ndata: {}\n\n",
        "a\r\n\r\nid: 0-0-0\r\ndata: forged\r\n\r\n",
        "\u2028\u2029\u0085\x0b\x0c\x1c",
        "</script><script>alert(1)</script>",
    ],
)
async def test_no_line_forges_an_event(served: Served, message: str) -> None:
    """
    Whatever a log line says, a browser sees one event of it, and the next line after it.
    """
    async with watching(served) as reader:
        served.say(message)
        served.say("next")

        first, second = await reader.events(2)

    assert (first.name, first.json["message"]) == ("message", message)
    assert (second.name, second.json["message"]) == ("message", "next")


async def test_ping(serve: Serve) -> None:
    """
    A silent stream says that it is alive, in a comment.
    """
    async with serve(pace=Pace(ping_seconds=0.05)) as served, watching(served) as reader:
        seen = b""
        async with asyncio.timeout(5):
            while seen.count(b": ping") < 3:
                seen += await reader.answer.content.readany()

    assert seen.startswith(b"retry: 3000\r\n\r\n")


def narrow(port: int) -> socket.socket:
    """Return a connection that takes little and reads nothing by itself."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


async def flood(served: Served, lines: int) -> None:
    for number in range(lines):
        served.say(f"{number} " + "x" * 4_000)
        if number % 50 == 0:
            await asyncio.sleep(0)


async def test_a_slow_client_is_told_what_it_missed(serve: Serve) -> None:
    """
    A client that falls behind loses the oldest lines: what it got and what it missed is all.
    """
    async with serve(parts={"bus": Bus(limit=20)}) as served:
        sock = narrow(served.server.port)
        sock.sendall(request(STREAM, f"Host: {served.host}"))
        await until(lambda: served.ports.telemetry.watchers._value.get() == 1)
        await flood(served, 3_000)
        served.say("end")
        reader, writer = await asyncio.open_connection(sock=sock)
        raw = b""
        async with asyncio.timeout(20):
            while b'"message":"end"' not in raw:
                raw += await reader.read(65_536)
        writer.close()
        await writer.wait_closed()

    # Chunk sizes stand on lines of their own between the chunks.
    body = re.sub(rb"\r\n[0-9a-f]+\r\n(?=event|id)", b"\r\n", raw)
    numbers = [int(found) for found in re.findall(rb'"message":"(\d+) x', body)]
    gaps = [int(found) for found in re.findall(rb'event: gap\r\ndata: {"dropped": (\d+)}', body)]
    assert gaps
    assert numbers == sorted(set(numbers))
    assert len(numbers) + sum(gaps) == 3_000
    assert served.ports.telemetry.stream_gaps._value.get() == sum(gaps)


async def test_a_stalled_client_is_let_go(serve: Serve) -> None:
    """
    A client that takes nothing at all loses its connection and its place; others go on meanwhile.
    """
    pace = Pace(stalled_seconds=0.3)
    async with serve(parts={"bus": Bus(limit=20)}, pace=pace) as served:
        with structlog.testing.capture_logs() as logs:
            sock = narrow(served.server.port)
            sock.sendall(request(STREAM, f"Host: {served.host}"))
            watchers = served.ports.telemetry.watchers
            await until(lambda: watchers._value.get() == 1)
            await flood(served, 3_000)
            async with watching(served) as reader:
                served.say("still here")
                while (await reader.event()).json.get("message") != "still here":
                    pass
            await until(lambda: watchers._value.get() == 0)
            sock.close()

    assert [entry for entry in logs if entry["log_level"] == "error"] == []


async def test_leaving_frees_the_place(served: Served) -> None:
    """
    A client that leaves gives its place back at once, though no line came; nothing is logged.
    """
    watchers = served.ports.telemetry.watchers
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            async with watching(served):
                await until(lambda: watchers._value.get() == 1)
            await until(lambda: watchers._value.get() == 0)
            served.say("to nobody")

    assert logs == []


async def test_places_are_bounded(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    The eleventh stream of one address is refused with when to come back; a place that gets free
    can be taken.
    """
    answers = [await browser.get(served.address(STREAM)) for _ in range(10)]
    async with browser.get(served.address(STREAM)) as refused:
        assert refused.status == 429
        assert refused.headers["Retry-After"] == "10"
        assert await refused.json() == {
            "error": {"message": "all 10 live streams of one address are taken"}
        }

    answers[0].close()
    await until(lambda: served.ports.telemetry.watchers._value.get() == 9)

    async with browser.get(served.address(STREAM)) as taken:
        assert taken.status == 200
    for answer in answers:
        answer.close()


async def test_bye(serve: Serve) -> None:
    """
    When monitord stops, watchers are told and the server does not wait for them.
    """
    async with aiohttp.ClientSession() as client:
        async with asyncio.timeout(5), serve() as served:
            answer = await client.get(served.address(STREAM))
            reader = Reader(answer)
            served.say("last")
            assert await reader.messages(1) == ["last"]
        event = await reader.event()

        assert (event.name, event.json) == ("bye", {})
        with pytest.raises(EOFError):
            await reader.event()


async def test_a_session_that_ends_ends_its_stream(
    serve: Serve, browser: aiohttp.ClientSession
) -> None:
    """
    After logging out no further line is sent, on streams that were open already either.
    """
    async with serve({"read_tokens": (Secret(READ),)}) as served:
        own = {"Origin": served.address("").rstrip("/")}
        login = browser.post(
            served.address("/login"), data={"token": READ}, headers=own, allow_redirects=False
        )
        async with login as answer:
            assert answer.status == 303
        reader = Reader(await browser.get(served.address(STREAM)))
        served.say("seen")
        assert await reader.messages(1) == ["seen"]
        leaving = browser.post(served.address("/logout"), headers=own, allow_redirects=False)
        async with leaving as answer:
            assert answer.status == 303

        served.say("secret")

        assert (await reader.event()).name == "bye"
        with pytest.raises(EOFError):
            await reader.event()


async def test_get_only(served: Served) -> None:
    """
    A stream cannot be asked for by HEAD.
    """
    status, headers, _ = head(
        await served.send(request(STREAM, f"Host: {served.host}", method="HEAD"))
    )

    assert (status, headers["allow"]) == (405, "GET")


async def test_an_old_proxy(served: Served) -> None:
    """
    A proxy that speaks HTTP/1.0, as nginx does unless told otherwise, gets the stream too.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    writer.write(f"GET {STREAM} HTTP/1.0\r\nHost: {served.host}\r\n\r\n".encode())
    await until(lambda: served.ports.telemetry.watchers._value.get() == 1)
    served.say("hello")

    async with asyncio.timeout(5):
        status, headers, _ = head(await reader.readuntil(b"\r\n\r\n"))
        line = await reader.readuntil(b'"message":"hello"')

    writer.close()
    await writer.wait_closed()
    assert status == 200
    assert "transfer-encoding" not in headers
    assert line.startswith(b"retry: 3000\r\n\r\nid: ")
