"""`/api/v1/series`, and the percentiles that `/api/v1/metrics` has of pushed histograms."""

from __future__ import annotations

import time

from typing import Any

import aiohttp
import pytest

from monitord.histogram import RELATIVE_ERROR
from monitord.model import Metric
from tests.http.conftest import Served


PATH = "/api/v1/series"
METRICS = "/api/v1/metrics"


async def get(
    served: Served, browser: aiohttp.ClientSession, path: str, status: int = 200, **asked: Any
) -> Any:
    query = {name: str(value) for name, value in asked.items()}
    async with browser.get(served.address(path), params=query) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def sampled(served: Served) -> float:
    """Store a gauge, a scraped one, and a histogram; return when."""
    at = time.time() - 10
    histogram = [
        Metric(at, "job.duration", float(ms), "shop", "histogram", "ms", {"job": "mail"})
        for ms in range(1, 101)
    ]
    gauge = Metric(at, "queue.depth", 3.0, "shop", "gauge", "1", {"queue": "mail"})
    served.offer(metrics=[*histogram, gauge])
    served.sample("redis.keys", 12.0, target="main")
    await served.settled()
    return at


async def test_series(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Each series has its kind, unit, service and attributes, and when its newest sample was.
    """
    at = await sampled(stored)

    found = await get(stored, browser, PATH)

    assert [one["name"] for one in found["series"]] == ["job.duration", "queue.depth", "redis.keys"]
    assert found["series"][1] == {
        "name": "queue.depth",
        "kind": "gauge",
        "unit": "1",
        "service": "shop",
        "attributes": {"queue": "mail"},
        "last_seen": pytest.approx(at),
    }
    assert found["series"][0]["last_seen"] == at // 60 * 60
    assert found["left_out"] == 0


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"name": "DEPTH"}, ["queue.depth"]),
        ({"service": "shop"}, ["job.duration", "queue.depth"]),
        ({"match": "queue:mail"}, ["queue.depth"]),
        ({"match": "target:main"}, ["redis.keys"]),
        ({"limit": 1}, ["job.duration"]),
        ({"name": "nothing"}, []),
    ],
)
async def test_which_series(
    stored: Served, browser: aiohttp.ClientSession, asked: dict[str, Any], names: list[str]
) -> None:
    """
    Every parameter narrows the list; what a limit left out is counted.
    """
    await sampled(stored)

    found = await get(stored, browser, PATH, **asked)

    assert [one["name"] for one in found["series"]] == names
    assert found["left_out"] == (2 if "limit" in asked else 0)


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [("p50", 50.0), ("p95", 95.0), ("p99", 99.0), ("max", 100.0), ("avg", 50.5)],
)
async def test_points_of_a_histogram(
    stored: Served, browser: aiohttp.ClientSession, aggregate: str, expected: float
) -> None:
    """
    A pushed histogram is drawn by any aggregate, percentiles among them.
    """
    await sampled(stored)

    found = await get(
        stored, browser, METRICS, name="job.duration", aggregate=aggregate, range="1h"
    )

    [series] = found["series"]
    assert series["attributes"] == {"job": "mail", "service": "shop"}
    drawn = [value for value in series["values"] if value is not None]
    assert drawn == [pytest.approx(expected, rel=RELATIVE_ERROR)]


async def test_percentiles_of_what_has_none(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    A gauge has no percentile: it is left out rather than drawn by something else.
    """
    await sampled(stored)

    found = await get(stored, browser, METRICS, name="queue.depth", aggregate="p95")

    assert (found["series"], found["source"]) == ([], "store")


async def test_percentiles_while_the_store_is_down(
    served: Served, browser: aiohttp.ClientSession
) -> None:
    """
    Memory has no percentiles; the note says why there are none.
    """
    served.offer(metrics=[Metric(time.time(), "job.duration", 1.0, "shop", "histogram")])

    found = await get(served, browser, METRICS, name="job.duration", aggregate="p95")

    assert (found["series"], found["source"]) == ([], "memory")
    assert found["note"].startswith("store: ")


async def test_only_the_store_knows(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    While the store is down it is 503, with what the store said.
    """
    refused = await get(served, browser, PATH, 503)

    assert refused["error"]["message"].startswith("store: ")


@pytest.mark.parametrize("asked", [{"limit": 501}, {"match": "mail"}, {"x": 1}])
async def test_mistakes(
    served: Served, browser: aiohttp.ClientSession, asked: dict[str, Any]
) -> None:
    """
    A wrong or unknown parameter is 400.
    """
    assert (await get(served, browser, PATH, 400, **asked))["error"]["rule"]
