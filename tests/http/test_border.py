"""The border: who is let in, what leaves, and how errors look. Raw bytes over real sockets."""

from __future__ import annotations

import json
import ssl

from ipaddress import ip_network
from pathlib import Path

import aiohttp
import msgspec
import pytest
import structlog
import trustme

from monitord.errors import SettingsError
from monitord.http.route import Route
from monitord.http.routes import ROUTES
from monitord.http.server import WebServer
from monitord.settings import Tls, Web
from tests.http.conftest import Serve, Served


def head(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of one raw answer."""
    top, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = top.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return int(status.split()[1]), {name.lower(): value for name, _, value in pairs}, body


def request(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def address(route: Route) -> str:
    """Return a path of the route that exists, or would if there were no check before it."""
    names = {"chart": "latency", "name": "app.js", "trace_id": "0" * 32, "error_id": "0"}
    return route.path.format_map(names)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:PORT",
        "localhost",
        "localhost:1",
        "127.0.0.1",
        "127.0.0.1:0PORT9",
        "127.1.evil:PORT",
        "[::1]",
        "[::1]:1",
        "[::1",
        "monitor.test@evil.example",
        "localhost:PORT@evil.example",
        "localhost:PORT, evil.example",
        "0.0.0.0:PORT",
        "[::]:PORT",
        "2130706433:PORT",
        "localhost:",
        ":PORT",
    ],
)
async def test_foreign_hosts(served: Served, host: str) -> None:
    """
    A page of another name cannot read monitord through the browser (DNS rebinding), on any route.
    """
    sent = host.replace("PORT", str(served.server.port))

    for path in ("/", "/healthz", "/api/v1/logs/stream", "/nope", "/assets/x"):
        status, headers, body = head(await served.send(request(path, f"Host: {sent}")))

        assert status in (400, 421)
        assert "content-type" in headers
        assert b"monitord" not in body


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_route_checks_the_host(served: Served, route: Route) -> None:
    """
    No route answers a foreign Host.
    """
    raw = request(address(route), "Host: evil.example", method=route.method)

    status, _, _ = head(await served.send(raw))

    assert status == 421


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:PORT",
        "localhost:PORT",
        "LOCALHOST:PORT",
        "localhost.:PORT",
        "[::1]:PORT",
        "monitor.test",
        "Monitor.Test:8443",
    ],
)
async def test_own_hosts(serve: Serve, host: str) -> None:
    """
    Loopback with the right port is served, and every name of `allowed_hosts`.
    """
    async with serve({"allowed_hosts": ("monitor.test",)}) as served:
        sent = host.replace("PORT", str(served.server.port))

        status, _, body = head(await served.send(request("/healthz", f"Host: {sent}")))

    assert (status, body) == (200, b'{"status":"ok"}')


@pytest.mark.parametrize(
    "raw",
    [
        request("/healthz"),
        request("/healthz", "Host: localhost", "Host: evil.example"),
        request("/healthz", version="1.0"),
        b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
async def test_broken_requests(served: Served, raw: bytes) -> None:
    """
    What is no proper request gets a refusal and no traceback, neither there nor in the log.
    """
    with structlog.testing.capture_logs() as logs:
        status, _, body = head(await served.send(raw))

    assert status in (400, 421)
    assert b"Traceback" not in body
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


async def test_headers_of_every_answer(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    Pages, JSON, assets, refusals and unknown paths all carry the same protection.
    """
    served.say("a line")
    asset = next(iter(served.ports.assets.files))
    paths = ["/", "/healthz", "/metrics", "/api/v1/overview", "/nope", "/api/nope"]
    paths += [f"/assets/{asset}", "/assets/nope", "/api/v1/logs/stream", "/api/v1/logs?x=1"]

    for path in paths:
        async with browser.get(served.address(path)) as answer:
            policy = answer.headers["Content-Security-Policy"].split("; ")
            assert policy == [
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self'",
                "img-src 'self'",
                "font-src 'self'",
                "connect-src 'self'",
                "form-action 'self'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
            ]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert answer.headers["Server"] == "monitord"
            assert "Access-Control-Allow-Origin" not in answer.headers
            stays = path == f"/assets/{asset}"
            assert answer.headers["Cache-Control"].endswith("immutable" if stays else "no-store")


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/api/nope", "application/json"),
        ("/api/", "application/json"),
        ("/api/v1/charts/nope", "application/json"),
        ("/assets/nope.js", "application/json"),
        ("/nope", "text/html"),
        ("/%00", "text/html"),
        ("/nope/<script>alert(1)</script>", "text/html"),
    ],
)
async def test_unknown_paths(
    served: Served, browser: aiohttp.ClientSession, path: str, content_type: str
) -> None:
    """
    An unknown path is 404: JSON for machines, a page for people, and no echo of what was asked.
    """
    async with browser.get(served.address(path)) as answer:
        text = await answer.text()

        assert answer.status == 404
        assert answer.content_type == content_type
        assert "<script>alert" not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
async def test_get_only(served: Served, browser: aiohttp.ClientSession, method: str) -> None:
    """
    What only reads takes GET and HEAD, and says so.
    """
    for path in ("/", "/api/v1/overview", "/assets/x", "/healthz"):
        async with browser.request(method, served.address(path)) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize("path", ["/", "/api/v1/overview", "/healthz", "/metrics"])
async def test_head(served: Served, browser: aiohttp.ClientSession, path: str) -> None:
    """
    HEAD answers as GET does, without the body.
    """
    async with browser.head(served.address(path)) as answer:
        assert answer.status == 200
        assert int(answer.headers["Content-Length"]) > 0
        assert await answer.read() == b""


@pytest.mark.parametrize(
    ("path", "mistake"),
    [
        (
            "/api/v1/overview?range=2h",
            {
                "parameter": "range",
                "rule": "expected one of 15m, 1h, 6h, 24h, 7d, 30d",
                "found": "2h",
            },
        ),
        (
            "/api/v1/logs?limit=5000",
            {
                "parameter": "limit",
                "rule": "expected a whole number from 1 to 1000",
                "found": "5000",
            },
        ),
        (
            "/api/v1/targets?verbose=1",
            {
                "parameter": "verbose",
                "rule": "unknown parameter; none is expected here",
                "found": "verbose",
            },
        ),
        (
            "/api/monitoring/advanced/logs/stream?level=%3Cb%3E",
            {
                "parameter": "level",
                "rule": "expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
                "found": "<b>",
            },
        ),
    ],
)
async def test_bad_parameters(
    served: Served, browser: aiohttp.ClientSession, path: str, mistake: dict[str, str]
) -> None:
    """
    A wrong parameter is 400 with its name, its rule and what was found.
    """
    async with browser.get(served.address(path)) as answer:
        assert answer.status == 400
        assert await answer.json() == {"error": mistake}


async def test_bad_parameter_of_a_page(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    A person gets the same on a page, escaped.
    """
    async with browser.get(served.address("/?range=<b>")) as answer:
        text = await answer.text()

        assert (answer.status, answer.content_type) == (400, "text/html")
        assert "expected one of 15m" in text
        assert "<b>" not in text.replace("<b>monitord</b>", "")


async def test_our_own_mistake(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    A handler that fails is told once in the log, and to the client without a traceback.
    """

    def broken() -> dict[str, bool]:
        raise ZeroDivisionError("secret detail")

    async with serve(parts={"checks": broken}) as served:
        with structlog.testing.capture_logs() as logs:
            async with browser.get(served.address("/readyz")) as answer:
                text = await answer.text()

        assert answer.status == 500
        assert json.loads(text)["error"]["message"] == "monitord failed to answer; its log says why"
    (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert (entry["event"], entry["path"]) == ("http.failed", "/readyz")


async def test_forwarded_headers(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    Behind a trusted proxy the name and scheme it forwards count, and must be allowed too.
    """
    proxied = {
        "trusted_proxies": (ip_network("127.0.0.1"),),
        "allowed_hosts": ("mon.example",),
        "base_path": "/monitor",
    }
    async with serve(proxied) as served:
        good = {"X-Forwarded-Host": "mon.example", "X-Forwarded-Proto": "https"}
        async with browser.get(served.address("/monitor/healthz"), headers=good) as answer:
            assert answer.status == 200
        bad = {"X-Forwarded-Host": "evil.example"}
        async with browser.get(served.address("/monitor/healthz"), headers=bad) as answer:
            assert answer.status == 421
    async with serve() as alone, browser.get(alone.address("/healthz"), headers=bad) as answer:
        assert answer.status == 200


async def test_base_path(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    Under a path prefix everything is served with it and without; addresses on the page carry it.
    """
    async with serve({"base_path": "/monitor"}) as served:
        for path in ("/monitor/", "/"):
            async with browser.get(served.address(path)) as answer:
                text = await answer.text()
                assert answer.status == 200
                assert 'data-base="/monitor"' in text
                assert 'src="/monitor/assets/' in text
        async with browser.get(served.address("/monitor/api/nope")) as answer:
            assert (answer.status, answer.content_type) == (404, "application/json")
        assert served.server.url == served.address("/monitor/")


async def test_tls(serve: Serve, tmp_path: Path) -> None:
    """
    With a certificate of its own monitord speaks HTTPS, and nothing else on that port.
    """
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async with (
        serve({"tls": Tls(certificate=certificate, key=key)}) as served,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as client,
    ):
        async with client.get(served.address("/healthz")) as answer:
            assert answer.status == 200
        assert served.server.url.startswith("https://")
        assert await served.send(request("/healthz", f"Host: {served.host}")) == b""


async def test_no_token_beyond_loopback(serve: Serve) -> None:
    """
    Where other machines can reach it, it does not start without a token.
    """
    async with serve() as served:
        ports = served.ports
    beyond = msgspec.structs.replace(ports.settings, web=Web(host="192.0.2.1", port=0))

    with pytest.raises(SettingsError, match=r"web\.host: 192\.0\.2\.1 can be reached"):
        WebServer(msgspec.structs.replace(ports, settings=beyond))
