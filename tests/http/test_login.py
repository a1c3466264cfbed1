"""Logging in and out through a real server, and what other sites' pages cannot do."""

from __future__ import annotations

from http.cookies import SimpleCookie
from ipaddress import ip_network

import aiohttp
import pytest

from monitord.http.auth import COOKIE, Scope
from monitord.http.routes import ROUTES
from monitord.settings import Secret
from tests.http.conftest import Serve, Served


READ = "read-token-0123456789"
CLOSED = {"read_tokens": (Secret(READ),)}
GUARDED = [route for route in ROUTES if route.scope > Scope.OPEN]


async def log_in(
    served: Served, browser: aiohttp.ClientSession, token: str = READ, **headers: str
) -> aiohttp.ClientResponse:
    own = {"Origin": served.address("").rstrip("/")} | headers
    form = {"token": token, "next": "/?range=6h"}
    address = served.address("/login")
    async with browser.post(address, data=form, headers=own, allow_redirects=False) as answer:
        await answer.read()
        return answer


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
async def test_nothing_without_a_token(
    serve: Serve, browser: aiohttp.ClientSession, route: object
) -> None:
    """
    Every route that shows anything asks for the token: pages lead to the form, the rest says 401.
    """
    path = route.path  # type: ignore[attr-defined]
    places = {"{chart}": "latency", "{trace_id}": "0" * 32, "{error_id}": "0"}
    for place, value in places.items():
        path = path.replace(place, value)
    async with (
        serve(CLOSED) as served,
        browser.get(served.address(path), allow_redirects=False) as answer,
    ):
        if route.page:  # type: ignore[attr-defined]
            assert answer.status == 303
            assert answer.headers["Location"].startswith("/login?next=/")
        else:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="monitord"'


@pytest.mark.parametrize("path", ["/api/v1/targets", "/metrics", "/", "/api/v1/logs"])
async def test_bearer(serve: Serve, browser: aiohttp.ClientSession, path: str) -> None:
    """
    The token in a header opens pages and API alike; a token in the address opens nothing.
    """
    async with serve(CLOSED) as served:
        headers = {"Authorization": f"Bearer {READ}"}
        async with browser.get(served.address(path), headers=headers) as answer:
            assert answer.status == 200
        asking = browser.get(served.address(f"{path}?token={READ}"), allow_redirects=False)
        async with asking as answer:
            assert answer.status in (401, 303)


async def test_log_in_and_out(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    The form gives a cookie that scripts cannot read and other sites cannot send; logging out
    ends it, on the server too.
    """
    async with serve(CLOSED) as served:
        async with browser.get(served.address("/login")) as answer:
            assert 'type="password"' in await answer.text()

        answer = await log_in(served, browser)

        assert (answer.status, answer.headers["Location"]) == (303, "/?range=6h")
        morsel = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
        assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Strict", "/")
        assert morsel["secure"] == ""
        assert READ not in answer.headers["Set-Cookie"]
        async with browser.get(served.address("/")) as page:
            assert page.status == 200
            assert "Log out" in await page.text()
        kept = {"Cookie": f"{COOKIE}={morsel.value}"}
        own = {"Origin": served.address("").rstrip("/")}
        leaving = browser.post(served.address("/logout"), headers=own, allow_redirects=False)
        async with leaving as left:
            assert (left.status, left.headers["Location"]) == (303, "/login")
            assert "Max-Age=0" in left.headers["Set-Cookie"]
        async with browser.get(served.address("/api/v1/targets"), headers=kept) as after:
            assert after.status == 401


async def test_wrong_token(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    A wrong token gets the form again, with no cookie and no echo of it.
    """
    async with serve(CLOSED) as served:
        own = {"Origin": served.address("").rstrip("/")}
        form = {"token": "wr\u00f6ng<token>", "next": "//evil.example"}
        async with browser.post(served.address("/login"), data=form, headers=own) as answer:
            text = await answer.text()

    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers
    assert "This token is not known." in text
    assert "wr\u00f6ng" not in text
    assert "evil.example" not in text


async def test_throttle(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    Guessing ends after ten wrong tokens; who is logged in already goes on.
    """
    async with serve(CLOSED) as served:
        await log_in(served, browser)
        statuses = [(await log_in(served, browser, "wrong")).status for _ in range(11)]

        answer = await log_in(served, browser)

        assert statuses == [401] * 10 + [429]
        assert answer.status == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        async with browser.get(served.address("/api/v1/targets")) as still:
            assert still.status == 200
        async with browser.get(served.address("/healthz")) as alive:
            assert alive.status == 200


async def test_secure_behind_a_proxy(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    When the trusted proxy was asked over HTTPS, the cookie goes over nothing else; it is bound to
    the path prefix.
    """
    web = CLOSED | {
        "trusted_proxies": (ip_network("127.0.0.1"),),
        "allowed_hosts": ("mon.example",),
        "base_path": "/monitor",
    }
    forwarded = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "mon.example",
        "Origin": "https://mon.example",
    }
    async with serve(web) as served:
        answer = await log_in(served, browser, **forwarded)

    assert (answer.status, answer.headers["Location"]) == (303, "/monitor/?range=6h")
    morsel = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
    assert (morsel["secure"], morsel["path"]) == (True, "/monitor")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_other_sites_change_nothing(
    serve: Serve, browser: aiohttp.ClientSession, path: str, headers: dict[str, str]
) -> None:
    """
    A form on another site's page cannot log anybody in or out.
    """
    async with serve(CLOSED) as served:
        await log_in(served, browser)
        form = {"token": READ}

        sending = browser.post(
            served.address(path), data=form, headers=headers, allow_redirects=False
        )
        async with sending as answer:
            assert answer.status == 403
            assert "Set-Cookie" not in answer.headers
        async with browser.get(served.address("/api/v1/targets")) as still:
            assert still.status == 200


async def test_no_word_of_origin(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    Who says not where a request comes from is no browser: it may bring a token, not a cookie.
    """
    async with serve(CLOSED) as served:
        await log_in(served, browser)
        async with browser.post(served.address("/logout"), allow_redirects=False) as answer:
            assert answer.status == 403
        form = {"token": READ}
        async with browser.post(
            served.address("/login"), data=form, allow_redirects=False
        ) as answer:
            assert answer.status == 303


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b"token=x", 415),
        ("application/json", b'{"token":"x"}', 415),
        ("multipart/form-data; boundary=x", b"--x--", 415),
        ("application/x-www-form-urlencoded", b"token=" + b"x" * 20_000, 413),
        ("application/x-www-form-urlencoded", b"&".join([b"a=b"] * 50), 400),
        ("application/x-www-form-urlencoded", b"\xff\xfe%00=%zz", 401),
        ("application/x-www-form-urlencoded", b"", 401),
    ],
)
async def test_odd_forms(
    serve: Serve,
    browser: aiohttp.ClientSession,
    content_type: str,
    body: bytes,
    status: int,
) -> None:
    """
    What is no log-in form is refused as such.
    """
    async with serve(CLOSED) as served:
        headers = {"Content-Type": content_type, "Origin": served.address("").rstrip("/")}
        async with browser.post(served.address("/login"), data=body, headers=headers) as answer:
            assert answer.status == status


async def test_open_on_loopback(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    Without a token there is nothing to log in to.
    """
    async with browser.get(served.address("/login"), allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
    async with browser.get(served.address("/")) as page:
        assert "Log out" not in await page.text()


async def test_health_tells_strangers_nothing(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    Liveness and readiness are open; which part is not ready only a token learns.
    """
    async with serve(CLOSED) as served:
        async with browser.get(served.address("/readyz")) as answer:
            assert (answer.status, await answer.json()) == (
                503,
                {"status": "not ready", "checks": {}},
            )
        headers = {"Authorization": f"Bearer {READ}"}
        async with browser.get(served.address("/readyz"), headers=headers) as answer:
            assert await answer.json() == {"status": "not ready", "checks": {"store": False}}
        async with browser.get(served.address("/healthz")) as answer:
            assert await answer.json() == {"status": "ok"}


async def test_a_session_outlives_a_restart(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    The key is kept: whoever was logged in still is when monitord starts again.
    """
    async with serve(CLOSED) as served:
        answer = await log_in(served, browser)
    cookie = {"Cookie": f"{COOKIE}={SimpleCookie(answer.headers['Set-Cookie'])[COOKIE].value}"}

    async with (
        serve(CLOSED) as served,
        browser.get(served.address("/api/v1/targets"), headers=cookie) as answer,
    ):
        assert answer.status == 200
