"""The server around aiohttp, through real sockets."""

import asyncio
import contextlib
import socket
import ssl

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import trustme

from aiohttp import web
from structlog.testing import capture_logs

from monitord.errors import SettingsError
from monitord.listen import HttpServer, read_body, tls_context
from monitord.settings import Tls


BODY_LIMIT = 1_000


def echo_app(body_seconds: float = 30.0) -> web.Application:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await read_body(request, BODY_LIMIT, body_seconds))

    async def broken(request: web.Request) -> web.Response:
        raise LookupError("a fault of ours")

    app = web.Application()
    app.router.add_post("/echo", echo)
    app.router.add_get("/broken", broken)
    return app


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything up to the end of the connection, which an abort may cut."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 20)
    return b""


@pytest.mark.parametrize("head", [b"", b"POST /ec", b"POST /echo HTTP/1.1\r\nHost: x\r\n"])
async def test_late_head_ends_the_connection(head: bytes) -> None:
    """A connection that sends no whole head in time is closed, whatever it sent so far."""
    async with (
        HttpServer(echo_app(), "127.0.0.1", 0, head_seconds=0.2) as server,
        connected(server.port) as (reader, writer),
    ):
        writer.write(head)

        assert await rest(reader) == b""


async def test_trickled_head_ends_the_connection() -> None:
    """The deadline counts from the first byte: sending on does not move it."""

    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST /echo HTTP/1.1\r\nX: ")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.05)

    async with (
        HttpServer(echo_app(), "127.0.0.1", 0, head_seconds=0.3) as server,
        connected(server.port) as (reader, writer),
    ):
        sending = asyncio.create_task(trickle(writer))

        answer = await rest(reader)

        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert answer == b""


async def test_second_head_has_a_deadline_too() -> None:
    """After an answered request the next head is timed from its first byte."""
    async with (
        HttpServer(echo_app(), "127.0.0.1", 0, head_seconds=0.3) as server,
        connected(server.port) as (reader, writer),
    ):
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok")
        await reader.readuntil(b"\r\n\r\nok")
        writer.write(b"POST /echo HTT")

        assert await rest(reader) == b""


async def test_idle_connection_outlives_the_head_deadline() -> None:
    """A kept-alive connection between two requests is not timed as a head."""
    async with (
        HttpServer(echo_app(), "127.0.0.1", 0, head_seconds=0.2) as server,
        connected(server.port) as (reader, writer),
    ):
        for _ in range(2):
            writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok")
            answer = await reader.readuntil(b"\r\n\r\nok")
            await asyncio.sleep(0.5)

            assert answer.startswith(b"HTTP/1.1 200")


async def test_late_body_is_answered_408_and_ends_the_connection() -> None:
    """A body that stalls is given up after its deadline."""
    async with (
        HttpServer(echo_app(0.2), "127.0.0.1", 0, lingering_time=0.1) as server,
        connected(server.port) as (reader, writer),
    ):
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")

        answer = await rest(reader)

        assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_above_the_limit_is_413(chunked: bool) -> None:
    """The limit holds for a declared length and for a body that comes in chunks."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    async with (
        HttpServer(echo_app(), "127.0.0.1", 0) as server,
        aiohttp.ClientSession() as client,
        client.post(
            f"http://{server.address}/echo", data=chunks() if chunked else b"x" * 1_100
        ) as response,
    ):
        assert response.status == 413


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    ],
)
async def test_malformed_http_is_400_and_quiet(raw: bytes) -> None:
    """Broken HTTP is answered 400; the log has no error and no traceback for it."""
    with capture_logs() as logs:
        async with (
            HttpServer(echo_app(), "127.0.0.1", 0, lingering_time=0.1) as server,
            connected(server.port) as (reader, writer),
        ):
            writer.write(raw)
            answer = await rest(reader)

    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert [line for line in logs if line["log_level"] in ("warning", "error")] == []


async def test_a_fault_of_ours_is_one_line() -> None:
    """An exception of a handler is logged once, as an error, with what it was."""
    with capture_logs() as logs:
        async with (
            HttpServer(echo_app(), "127.0.0.1", 0) as server,
            aiohttp.ClientSession() as client,
            client.get(f"http://{server.address}/broken") as response,
        ):
            assert response.status == 500

    errors = [line for line in logs if line["log_level"] == "error"]
    assert [line["error"] for line in errors] == ["LookupError('a fault of ours')"]


async def test_connections_are_bounded() -> None:
    """One connection above the bound is closed at once; the others go on, and room comes back."""
    async with HttpServer(echo_app(), "127.0.0.1", 0, connections=2) as server:
        async with connected(server.port), connected(server.port) as (reader, writer):
            async with connected(server.port) as (refused, _):
                assert await rest(refused) == b""

            writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok")
            assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")
        async with connected(server.port) as (reader, writer):
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            assert (await rest(reader)).startswith(b"HTTP/1.0 404")


async def test_leaving_ends_open_connections() -> None:
    """A client that stays does not hold the server up when it stops."""
    async with HttpServer(echo_app(), "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    assert await rest(reader) == b""
    writer.close()


async def test_taken_port_names_the_key() -> None:
    """A port somebody else listens on is a mistake of the settings, not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(
            SettingsError, match=rf"^web\.port: cannot listen on 127\.0\.0\.1:{port}"
        ):
            async with HttpServer(echo_app(), "127.0.0.1", port):
                pass


async def test_unknown_host_names_the_key() -> None:
    """A host that resolves to nothing is a mistake of the settings."""
    with pytest.raises(SettingsError, match=r"^web\.host: no-such-host\.invalid: "):
        async with HttpServer(echo_app(), "no-such-host.invalid", 0):
            pass


async def test_localhost_has_one_port_for_both_families() -> None:
    """`localhost` listens on every loopback address this machine has, on the same port number."""
    found = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    addresses = [address[0] for _, _, _, _, address in found if usable(address[0])]

    async with HttpServer(echo_app(), "localhost", 0) as server:
        for address in addresses:
            with socket.create_connection((address, server.port), timeout=5) as sock:
                assert sock.getpeername()[1] == server.port
    assert addresses


def usable(address: str) -> bool:
    """Say whether this machine has the address (containers often lack ::1)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError:
            return False
    return True


async def test_tls(tmp_path: Path) -> None:
    """With a certificate the listener speaks TLS 1.2 or newer."""
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    server_tls = tls_context(Tls(certificate=tmp_path / "chain.pem", key=tmp_path / "key.pem"))

    async with (
        HttpServer(echo_app(), "127.0.0.1", 0, tls=server_tls) as server,
        aiohttp.ClientSession() as client,
        client.post(
            f"https://localhost:{server.port}/echo",
            data=b"ok",
            ssl=trust,
            server_hostname="localhost",
        ) as response,
    ):
        assert await response.read() == b"ok"


def test_tls_mistakes(tmp_path: Path) -> None:
    """Half a pair, a missing file and a file that is no PEM are each named with their section."""
    (tmp_path / "bad.pem").write_text("nothing")

    assert tls_context(Tls()) is None
    with pytest.raises(SettingsError, match=r"^ingest\.tls: needs both"):
        tls_context(Tls(certificate=tmp_path / "bad.pem"), "ingest")
    with pytest.raises(SettingsError, match=r"^web\.tls: cannot use .*bad\.pem"):
        tls_context(Tls(certificate=tmp_path / "bad.pem", key=tmp_path / "bad.pem"))
    with pytest.raises(SettingsError, match=r"^web\.tls: cannot use .*none\.pem"):
        tls_context(Tls(certificate=tmp_path / "none.pem", key=tmp_path / "bad.pem"))
