"""`GET /api/v1/endpoints`: every endpoint of a window, in the order asked for."""

from __future__ import annotations

import time

from typing import Any

import aiohttp
import pytest

from monitord.model import Request
from tests.http.conftest import Served


PATH = "/api/v1/endpoints"


async def get(served: Served, browser: aiohttp.ClientSession, query: str = "") -> Any:
    async with browser.get(served.address(PATH + query)) as answer:
        assert answer.status == 200
        return await answer.json()


async def asked(served: Served) -> None:
    """Store requests of three endpoints: a busy one, a slow one, and one that fails."""
    at = time.time()
    spec = [("/busy", 60, 5.0, 200), ("/slow", 4, 900.0, 200), ("/bad", 2, 20.0, 500)]
    served.offer(
        [
            Request(at, "shop", "GET", route, status, ms)
            for route, count, ms, status in spec
            for _ in range(count)
        ]
    )
    served.offer([Request(at, "shop", "GET", "/busy", 404, 5.0)])
    await served.settled()


async def test_every_endpoint_with_its_figures(
    stored: Served, browser: aiohttp.ClientSession
) -> None:
    """
    Each endpoint has its counts, its rate over what was counted, its errors and its durations.
    """
    await asked(stored)

    found = await get(stored, browser, "?range=1h&sort=count")

    assert (found["sort"], found["left_out"]) == ("count", 0)
    assert [one["route"] for one in found["endpoints"]] == ["/busy", "/slow", "/bad"]
    busy, slow, bad = found["endpoints"]
    assert (busy["service"], busy["method"], busy["count"]) == ("shop", "GET", 61)
    assert (busy["errors"], busy["client_errors"], busy["error_ratio"]) == (0, 1, 0.0)
    assert busy["per_second"] == 61 / found["seconds"]
    assert 0 < found["seconds"] <= 120
    assert (bad["errors"], bad["error_ratio"]) == (2, 1.0)
    assert (slow["avg_ms"], slow["max_ms"]) == (900.0, 900.0)
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        assert slow[name] == pytest.approx(900.0, rel=0.0055)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", ["/slow", "/busy", "/bad"]),
        ("total", ["/slow", "/busy", "/bad"]),
        ("count", ["/busy", "/slow", "/bad"]),
        ("errors", ["/bad", "/busy", "/slow"]),
        ("error_ratio", ["/bad", "/busy", "/slow"]),
        ("p95_ms", ["/slow", "/bad", "/busy"]),
        ("max_ms", ["/slow", "/bad", "/busy"]),
    ],
)
async def test_order(
    stored: Served, browser: aiohttp.ClientSession, sort: str, order: list[str]
) -> None:
    """
    The largest comes first, by the time all requests took unless asked otherwise; of equals the
    names decide.
    """
    await asked(stored)

    found = await get(stored, browser, f"?sort={sort}")

    assert [one["route"] for one in found["endpoints"]] == order


async def test_some_of_many(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    With a limit it is said how many there were beside.
    """
    await asked(stored)

    found = await get(stored, browser, "?limit=1")

    assert [one["route"] for one in found["endpoints"]] == ["/slow"]
    assert found["left_out"] == 2


async def test_nothing_recorded(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    A window before the first request has no endpoint, and no second that was counted.
    """
    await asked(stored)
    end = time.time() - 3_600

    found = await get(stored, browser, f"?start={end - 600:.0f}&end={end:.0f}")

    assert (found["endpoints"], found["seconds"]) == ([], 0)
    assert found["end"] - found["start"] == 600


@pytest.mark.parametrize(
    "query", ["?sort=name", "?limit=0", "?range=2h", "?start=1&range=1h", "?x=1"]
)
async def test_mistakes(served: Served, browser: aiohttp.ClientSession, query: str) -> None:
    """
    A wrong or unknown parameter is 400.
    """
    async with browser.get(served.address(PATH + query)) as answer:
        assert answer.status == 400


async def test_only_the_store_knows(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    While the store is down it is 503: memory does not keep endpoints apart.
    """
    async with browser.get(served.address(PATH)) as answer:
        assert answer.status == 503
        assert "Retry-After" in answer.headers
