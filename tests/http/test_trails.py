"""Since when a value is bad, and how its sparkline is drawn."""

from __future__ import annotations

import time

import aiohttp
import pytest

from monitord.http.figures import bad_since
from monitord.http.kpis import Limits
from tests.http.conftest import Served
from tests.http.test_api import fill, get


@pytest.mark.parametrize(
    ("values", "since"),
    [
        ([], None),
        ([10, 20], None),
        ([10, 120, 130], 1),
        ([120, 130, 140], 0),
        ([120, 10, 130, 250], 2),
        ([10, 130, 250, 20, 30], 1),
    ],
)
def test_bad_since(values: list[float], since: float | None) -> None:
    """
    Since the begin of the last run of bad points; good ones after it do not yet make it good.
    """
    points = [(float(at), value) for at, value in enumerate(values)]

    assert bad_since(points, Limits("lower", 100, 200)) == since


async def test_since_of_each_kind_of_value(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    Gauges, shares of a limit, increments and the fullest disk all say since when they are bad.
    """
    now = time.time()
    bad = {
        "redis_memory_used_bytes": 11.9 * 1024**2,
        "redis_keyspace_misses": 900.0,
        "postgres_connections_total": 95.0,
        "system_cpu_utilization_ratio": 0.95,
    }
    fill(served, ago=600, redis_keys_evicted=0, postgres_statements_slow=0, disk=50)
    served.sample("redis.keyspace.hit_ratio", 0.1, ago=300, target="main")
    for ago in (300, 30, 0):
        fill(served, ago=ago, disk=95, **bad)

    items = (await get(served, browser, "/api/v1/overview"))["banner"]["items"]

    since = {item["text"]: item["since"] for item in items if not item["text"].startswith("Store")}
    assert len(since) == 7
    assert {round(now - at, -1) for at in since.values()} == {300}


async def test_since_of_requests_is_when_they_came(
    served: Served, browser: aiohttp.ClientSession
) -> None:
    """
    Slow and failed requests are bad since they came, not since the minute began.
    """
    begun = time.time()
    served.answered(*[900.0] * 30, status=500)

    items = (await get(served, browser, "/api/v1/overview"))["banner"]["items"]

    since = {item["text"]: item["since"] for item in items if item["text"].startswith("API")}
    assert list(since) == [
        "API latency P95 900 ms in the last 5 min, above 200 ms",
        "API: Error rate 100.0 % in the last 5 min, above 5 %",
    ]
    assert all(begun <= at <= time.time() for at in since.values())


async def test_sparkline_of_a_share(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    Every card's value has a sparkline, in its own unit, also while the store is down.
    """
    fill(served)
    served.sample("redis.keyspace.hit_ratio", 0.9, target="main")
    served.sample("postgres.cache.hit_ratio", 0.99, target="main")
    served.answered(*[10.0] * 10)

    cards = (await get(served, browser, "/api/v1/overview?range=15m"))["cards"]

    newest = {card["id"]: card["spark"]["values"][-1] for card in cards}
    assert newest.pop("requests_per_second") > 0
    assert newest == {
        "api_latency_p95": pytest.approx(10, rel=0.006),
        "redis_hit_rate": 90.0,
        "postgres_cache_hit": 99.0,
        "system_cpu": 25.0,
        "system_memory": 25.0,
    }
