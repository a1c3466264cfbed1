"""Exact figures and traces: what the API answers, refuses, and says while the store is away."""

from __future__ import annotations

import html
import time

from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from monitord.http.exact import exact_span
from monitord.http.parameter import BadParameter
from monitord.model import Log, Request
from tests.http.conftest import Served


EXACT = "/api/monitoring/advanced/requests/exact"
TRACES = "/api/monitoring/advanced/traces"
PANEL = "/partials/exact"

NOW = 1_795_459_200.0


async def get(
    served: Served, browser: aiohttp.ClientSession, path: str, status: int = 200, **asked: Any
) -> Any:
    query = {name: str(value) for name, value in asked.items()}
    async with browser.get(served.address(path), params=query) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json() if path.startswith("/api") else await answer.text()


async def test_figures_of_the_last_minutes(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Without a window it is the last 5 minutes; the answer says that it is exact, and how.
    """
    stored.answered(*(float(ms) for ms in range(1, 101)))
    stored.answered(500.125, status=500, ago=200)
    stored.answered(900.0, ago=400)
    await stored.settled()

    found = await get(stored, browser, EXACT)

    assert (found["exact"], found["method"]) == (True, "percentile_disc")
    assert found["window"]["seconds"] == 300
    assert found["window"]["end"] == pytest.approx(time.time(), abs=60)
    assert (found["count"], found["errors"]) == (101, 1)
    ranked = [found[name] for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")]
    assert ranked == [51, 96, 100, 500.125]
    assert [one["route"] for one in found["endpoints"]] == ["/orders/{id}"]
    assert found["endpoints"][0]["p99_ms"] == 100
    assert found["endpoints_left_out"] == 0


async def test_figures_of_a_stretch_of_time(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    A start and an end are kept to in fractions of a second; the end is not part of it.
    """
    at = int(time.time()) - 100
    stored.offer(
        [Request(at + n / 4, "shop", "GET", "/", 200, float(n)) for n in range(8)],
    )
    await stored.settled()

    found = await get(stored, browser, EXACT, start=at + 0.25, end=at + 1.5)

    assert found["window"] == {"start": at + 0.25, "end": at + 1.5, "seconds": 1.25}
    assert (found["count"], found["p50_ms"], found["max_ms"]) == (5, 3, 5)


async def test_nothing_is_null(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Without a request the count is 0 and every duration null.
    """
    found = await get(stored, browser, EXACT, range="1m")

    assert (found["count"], found["errors"], found["endpoints"]) == (0, 0, [])
    assert {found[name] for name in ("avg_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms")} == {None}


@pytest.mark.parametrize(
    ("asked", "parameter", "rule"),
    [
        (
            {"start": NOW - 301, "end": NOW},
            "start",
            "expected a start at most 300 s before the end",
        ),
        ({"start": NOW, "end": NOW}, "start", "expected a start at most 300 s before the end"),
        ({"start": NOW - 1_000}, "start", "expected a start at most 300 s before the end"),
        ({"end": NOW}, "start", "expected beside end"),
        ({"range": "15m"}, "range", "expected one of 1m, 5m"),
        ({"range": "5m", "start": NOW - 60, "end": NOW}, "range", "excludes start and end"),
        ({"hours": 1}, "hours", "unknown parameter; known are end, range, start"),
    ],
)
async def test_a_window_that_is_refused(
    served: Served,
    browser: aiohttp.ClientSession,
    asked: dict[str, Any],
    parameter: str,
    rule: str,
) -> None:
    """
    More than 5 minutes, no stretch at all and what is not known are 400, with the rule in one line.
    """
    mistake = (await get(served, browser, EXACT, 400, **asked))["error"]

    assert (mistake["parameter"], mistake["rule"]) == (parameter, rule)


@pytest.mark.parametrize(
    ("query", "span"),
    [
        ({}, (NOW - 300, NOW)),
        ({"range": "1m"}, (NOW - 60, NOW)),
        ({"start": f"{NOW - 300}"}, (NOW - 300, NOW)),
        ({"start": f"{NOW - 600}", "end": f"{NOW - 300}"}, (NOW - 600, NOW - 300)),
    ],
)
def test_windows(query: dict[str, str], span: tuple[float, float]) -> None:
    """
    Five minutes sharp are allowed, whenever they were.
    """
    found = exact_span(_Query(query), NOW)

    assert (found.start, found.end) == span


def test_a_window_before_its_start() -> None:
    """
    An end before the start is refused.
    """
    with pytest.raises(BadParameter):
        exact_span(_Query({"start": f"{NOW}", "end": f"{NOW - 1}"}), NOW)


class _Query(dict[str, str]):
    def getall(self, key: str, default: list[str], /) -> list[str]:
        return [self[key]] if key in self else default


@pytest.mark.parametrize("path", [EXACT, f"{TRACES}/{'5e' * 16}"])
async def test_only_the_store_can_answer(
    served: Served, browser: aiohttp.ClientSession, path: str
) -> None:
    """
    While the store is down there is no exact figure and no trace: 503, with what the store said.
    """
    refused = await get(served, browser, path, 503)

    assert refused["error"]["message"].startswith("store: ")


async def test_requests_of_a_trace(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    A trace's requests are found with and without a moment, and its log lines at the address given.
    """
    trace_id, now = uuid4().hex, time.time()
    ends = [(now - 10, "/stock", 200), (now - 9, "/checkout", 503)]
    stored.offer(
        [Request(at, "shop", "POST", route, status, 7.5, trace_id) for at, route, status in ends],
        [Log(now - 9, "shop", "ERROR", "payment refused", trace_id=trace_id)],
    )
    stored.answered(1.0)
    await stored.settled()

    for asked in ({}, {"near": int(now)}):
        found = await get(stored, browser, f"{TRACES}/{trace_id.upper()}", **asked)

        assert (found["trace_id"], found["cut"]) == (trace_id, False)
        assert found["requests"] == [
            {
                "time": pytest.approx(at),
                "service": "shop",
                "method": "POST",
                "route": route,
                "status": status,
                "duration_ms": 7.5,
                "error": status == 503,
            }
            for at, route, status in ends
        ]
        logs = await get(stored, browser, found["logs"])
        assert [line["message"] for line in logs["lines"]] == ["payment refused"]


async def test_a_trace_that_is_not_stored(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    A trace without requests is an empty answer: it may have log lines all the same.
    """
    found = await get(stored, browser, f"{TRACES}/{uuid4().hex}")

    assert found["requests"] == []
    assert found["logs"] == f"/api/v1/logs?text={found['trace_id']}"


@pytest.mark.parametrize("trace_id", ["47", "g" * 32, "0" * 33])
async def test_what_is_no_trace_id(
    served: Served, browser: aiohttp.ClientSession, trace_id: str
) -> None:
    """
    A trace id is 32 hexadecimal digits and nothing else.
    """
    refused = await get(served, browser, f"{TRACES}/{trace_id}", 400)

    assert refused["error"]["message"] == "a trace id is 32 hexadecimal digits"


async def test_the_panel_has_text_from_outside_as_text(
    stored: Served, browser: aiohttp.ClientSession
) -> None:
    """
    Routes, methods and services stand in the panel escaped.
    """
    evil = '"><img src=x onerror=alert(1)>'
    stored.offer([Request(time.time(), evil, "GET", f"/{evil}", 200, 1.0)])
    await stored.settled()

    text = await get(stored, browser, PANEL)

    assert "<img" not in text
    assert html.unescape(text).count(evil) == 4


async def test_the_panel_says_what_is_missing(
    served: Served, stored: Served, browser: aiohttp.ClientSession
) -> None:
    """
    No request, and no store, are each told; neither is shown as a zero.
    """
    assert "No request in these 5 minutes." in await get(stored, browser, PANEL)

    text = await get(served, browser, PANEL)

    assert "The store is unreachable since" in text
    assert "exact figures need it" in text
    assert "<td" not in text
