"""The API on a real store, and on memory alone."""

from __future__ import annotations

import asyncio
import itertools
import time

from typing import Any

import aiohttp
import pytest

from monitord.model import ErrorInfo, Log, Metric, Reason
from tests.http.conftest import WRITER, Served


SUMMARY = "/api/monitoring/advanced/summary"


async def get(served: Served, browser: aiohttp.ClientSession, path: str) -> Any:
    async with browser.get(served.address(path)) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


REDIS = {
    "redis.memory.used_bytes": 3.0 * 1024**2,
    "redis.memory.max_bytes": 12.0 * 1024**2,
    "redis.keys": 42.0,
    "redis.keyspace.hits": 90.0,
    "redis.keyspace.misses": 10.0,
    "redis.keys.evicted": 3.0,
    "redis.clients.connected": 5.0,
}
POSTGRES = {
    "postgres.connections.total": 20.0,
    "postgres.connections.max": 100.0,
    "postgres.blocks.hit": 990.0,
    "postgres.blocks.read": 10.0,
    "postgres.statements.slow": 2.0,
}
HOST = {
    "system.cpu.utilization_ratio": 0.25,
    "system.cpu.count": 4.0,
    "system.memory.used_bytes": 2.0 * 1024**3,
    "system.memory.total_bytes": 8.0 * 1024**3,
    "system.memory.utilization_ratio": 0.25,
}


def fill(served: Served, ago: float = 0.0, **changes: float) -> None:
    """Read every target once, as the scrapers do; `changes` by name, with _ for each dot."""
    for target, kind in (("main", "redis"), ("main", "postgres"), ("host", "host")):
        served.read(target, kind)
    for values, target in ((REDIS, "main"), (POSTGRES, "main"), (HOST, "host")):
        for name, value in values.items():
            value = changes.get(name.replace(".", "_"), value)
            served.sample(name, value, ago, target=target)
    for state, value in (("active", 4.0), ("idle", 15.0)):
        served.sample("postgres.connections", value, ago, target="main", state=state)
    for database, size in (("a", 1.0), ("b", 2.0)):
        attributes = {"target": "main", "database": database}
        served.sample("postgres.database.size_bytes", size * 1024**2, ago, **attributes)
    for mountpoint, used in (("/", 10.0), ("/data", changes.get("disk", 90.0))):
        disk = {"target": "host", "mountpoint": mountpoint}
        served.sample("system.disk.used_bytes", used * 1024**3, ago, **disk)
        served.sample("system.disk.total_bytes", 100.0 * 1024**3, ago, **disk)
        served.sample("system.disk.utilization_ratio", used / 100, ago, **disk)


async def test_summary(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    The summary has the page's figures under their documented names.
    """
    fill(stored)
    stored.answered(*[10.0] * 96)
    stored.answered(10.0, 10.0, status=404)
    stored.answered(10.0, 100.0, status=500)
    await stored.settled()

    found = await get(stored, browser, SUMMARY)

    api = found.pop("api")
    assert api.pop("avg_latency_ms") == pytest.approx(10.9, rel=0.01)
    assert api.pop("p50_latency_ms") == pytest.approx(10, rel=0.006)
    assert api.pop("p95_latency_ms") == pytest.approx(10, rel=0.006)
    assert api.pop("p99_latency_ms") == pytest.approx(10, rel=0.006)
    assert api.pop("requests_per_second") >= 0.027  # of an hour, or of what is counted of it so far
    assert api == {
        "request_count": 100,
        "error_count": 4,
        "error_rate": 4.0,
    }
    assert found == {
        "redis": {
            "connected": True,
            "memory_used_mb": 3.0,
            "memory_max_mb": 12.0,
            "memory_percent": 25.0,
            "keys_total": 42,
            "hit_rate": 90.0,
            "evicted_keys": 3,
            "connected_clients": 5,
        },
        "postgres": {
            "connections_active": 4,
            "connections_idle": 15,
            "connections_total": 20,
            "connections_max": 100,
            "cache_hit_ratio": 99.0,
            "db_size_mb": 3.0,
            "slow_queries_count": 2,
        },
        "system": {
            "cpu_percent": 25.0,
            "cpu_count": 4,
            "memory_used_mb": 2048.0,
            "memory_total_mb": 8192.0,
            "memory_percent": 25.0,
            "disk_used_gb": 90.0,
            "disk_total_gb": 100.0,
            "disk_percent": 90.0,
        },
    }


async def test_summary_counts_what_was_taken(
    stored: Served, browser: aiohttp.ClientSession
) -> None:
    """
    A request that was taken is counted within two seconds, although answers are kept for a moment.
    """
    stored.answered(10.0)
    await stored.settled()
    assert (await get(stored, browser, SUMMARY))["api"]["request_count"] == 1

    stored.answered(*[20.0] * 9)

    async with asyncio.timeout(2):
        count = 1
        while count != 10:
            await asyncio.sleep(0.05)
            count = (await get(stored, browser, SUMMARY))["api"]["request_count"]


async def test_summary_without_a_store(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    While the store is down the requests of memory are counted, and the API says which these are.
    """
    served.answered(*[10.0] * 8)
    served.answered(10.0, 10.0, status=503)

    found = await get(served, browser, SUMMARY)
    overview = await get(served, browser, "/api/v1/overview")

    assert (found["api"]["request_count"], found["api"]["error_rate"]) == (10, 20.0)
    assert overview["requests_source"] == "memory"
    assert overview["store"]["up"] is False
    assert overview["banner"]["text"].startswith("Store: connection refused")


async def test_summary_of_nothing(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Before the first reading everything is null, unknown, not zero; only requests are counted.
    """
    found = await get(stored, browser, SUMMARY)

    counted = {key: value for key, value in found["api"].items() if value is not None}
    assert counted == {"request_count": 0, "requests_per_second": 0.0, "error_count": 0}
    del found["api"]
    assert {value for group in found.values() for value in group.values()} == {None}


async def test_overview(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    The overview says of every card value, state, text and target, and draws its sparkline.
    """
    fill(stored)
    stored.answered(*[10.0] * 20)
    await stored.settled()

    found = await get(stored, browser, "/api/v1/overview?range=15m")

    cards = {card["id"]: card for card in found["cards"]}
    assert found["range_seconds"] == 900
    assert found["requests_source"] == "store"
    hit_rate = cards["redis_hit_rate"]
    assert (hit_rate["value"], hit_rate["text"], hit_rate["state"]) == (90.0, "90.0 %", "ok")
    assert cards["system_cpu"]["spark"]["values"][-1] == pytest.approx(25.0)
    assert cards["api_latency_p95"]["spark"]["values"][-1] == pytest.approx(10, rel=0.006)
    rows = {row["id"]: row for row in found["rows"]}
    assert rows["system_disk"]["text"] == "90.0 GiB of 100 GiB (90.0 %)"
    assert rows["redis_evicted_keys"]["state"] == "warning"
    assert [item["text"] for item in found["banner"]["items"]] == [
        "Redis: Evicted keys (5 min) 3, above 0",
        "PostgreSQL: Slow queries 2, above 0",
        "System: Disk used 90.0 GiB of 100 GiB (90.0 %), above 80 %",
    ]


async def test_figures_of_now_are_new_in_every_range(
    served: Served, browser: aiohttp.ClientSession
) -> None:
    """
    However far back the range looks, what is of now is worked out anew at each refresh.
    """
    path = "/api/v1/overview?range=30d"
    first = (await get(served, browser, path))["generated_at"]

    async with asyncio.timeout(5):
        while (  # noqa: ASYNC110 - what is waited for has no event
            await get(served, browser, path)
        )["generated_at"] == first:
            await asyncio.sleep(0.05)


async def test_losses_are_told(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    When monitord loses events, the banner says how many and which.
    """
    served.sample("monitord.events.dropped", 120.0, target="monitord")
    served.sample("monitord.ingest.rejected", 5.0, target="monitord")
    served.sample("monitord.store.refused", 7.0, target="monitord")
    dropped = {"kind": "counter", "service": "shop", "attributes": {"pid": "7"}}
    pushed = [("monitord.emit.dropped", 9.0), ("monitord.ingest.kernel_drops", 3.0)]
    served.offer(metrics=[Metric(time.time(), *metric, **dropped) for metric in pushed])

    found = await get(served, browser, "/api/v1/overview")

    texts = [(item["state"], item["text"]) for item in found["banner"]["items"]]
    assert ("critical", "monitord: 120 events were dropped because the spool took none") in texts
    assert ("critical", "monitord: 7 events were refused by the store") in texts
    assert ("critical", "monitord: 9 events were dropped by an application's emitter") in texts
    assert ("warning", "monitord: 5 events were rejected as malformed") in texts
    assert not [text for _, text in texts if "by the kernel" in text]


async def test_pushed_series_are_no_lines(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    What an application pushes under the name of a scraped metric is no line of the page's charts.
    """
    fill(served)
    pushed = Metric(time.time(), "redis.memory.used_bytes", 1.0, service="shop")
    served.offer(metrics=[pushed])

    found = await get(served, browser, "/api/v1/charts/redis_memory?range=15m")

    assert [series["name"] for series in found["series"]] == ["Used", "Maximum"]


@pytest.mark.parametrize(
    ("name", "unit", "series"),
    [
        ("latency", "ms", ["Average", "P50", "P95", "P99"]),
        ("redis_memory", "bytes", ["Used", "Maximum"]),
        ("postgres_connections", "count", ["Active", "Idle", "Available"]),
        ("system", "percent", ["CPU", "Memory", "Disk /", "Disk /data"]),
    ],
)
@pytest.mark.parametrize("window", ["15m", "1h", "6h", "24h", "7d", "30d"])
async def test_charts(
    stored: Served,
    browser: aiohttp.ClientSession,
    name: str,
    unit: str,
    series: list[str],
    window: str,
) -> None:
    """
    Every chart of every range has its series on one time axis, gaps as null, at most 720 points.
    """
    fill(stored)
    stored.answered(*[10.0] * 5)
    await stored.settled()

    found = await get(stored, browser, f"/api/v1/charts/{name}?range={window}")

    assert (found["id"], found["unit"], found["source"], found["note"]) == (name, unit, "store", "")
    assert [one["name"] for one in found["series"]] == series
    times = found["times"]
    assert 2 <= len(times) <= 720
    assert {b - a for a, b in itertools.pairwise(times)} == {found["step_seconds"]}
    assert found["start"] == times[0] < time.time() <= found["end"]
    for one in found["series"]:
        assert len(one["values"]) == len(times)
        assert any(value is not None for value in one["values"][-2:])
        assert one["values"][0] is None


async def test_chart_values(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Available connections are what the limit leaves; shares are percent.
    """
    fill(stored)
    await stored.settled()

    connections = await get(stored, browser, "/api/v1/charts/postgres_connections?range=15m")
    system = await get(stored, browser, "/api/v1/charts/system?range=15m")

    newest = {one["name"]: one["values"][-1] or one["values"][-2] for one in connections["series"]}
    assert newest == {"Active": 4, "Idle": 15, "Available": 80}
    shares = {one["name"]: one["values"][-1] or one["values"][-2] for one in system["series"]}
    assert shares == {"CPU": 25, "Memory": 25, "Disk /": 10, "Disk /data": 90}


async def test_chart_of_several_targets(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    With several targets every line says whose it is.
    """
    stored.sample("redis.memory.used_bytes", 1.0, target="main")
    stored.sample("redis.memory.used_bytes", 2.0, target="cache")
    await stored.settled()

    found = await get(stored, browser, "/api/v1/charts/redis_memory?range=15m")

    lines = sorted((one["name"], one["target"]) for one in found["series"])
    assert lines == [("cache: Used", "cache"), ("main: Used", "main")]


async def test_charts_show_what_was_scraped(
    served: Served, stored: Served, browser: aiohttp.ClientSession
) -> None:
    """
    A pushed series of a scraped one's name is in no chart, from the store and from memory.
    """
    for house in (served, stored):
        house.sample("redis.memory.used_bytes", 1.0, target="main")
        attributes = {"target": "main"}
        house.offer(
            metrics=[
                Metric(time.time(), "redis.memory.used_bytes", 9.0, "shop", attributes=attributes)
            ]
        )
    await stored.settled()

    for house in (served, stored):
        found = await get(house, browser, "/api/v1/charts/redis_memory?range=15m")
        [used] = found["series"]
        assert {value for value in used["values"] if value is not None} == {1.0}
        path = "/api/v1/metrics?name=redis.memory.used_bytes&range=15m"
        both = await get(house, browser, path)
        assert sorted(len(one["attributes"]) for one in both["series"]) == [1, 2]


def newest(values: list[float | None]) -> float:
    return [value for value in values if value is not None][-1]


async def test_charts_without_a_store(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    While the store is down the charts show what memory holds, and say so.
    """
    fill(served)
    served.answered(10.0, 10.0)

    memory = await get(served, browser, "/api/v1/charts/redis_memory?range=30d")
    latency = await get(served, browser, "/api/v1/charts/latency?range=30d")

    assert (memory["source"], latency["source"]) == ("memory", "memory")
    assert memory["note"] == (
        "store: connection refused; this is what memory holds, the last 6 h at most"
    )
    for found in (memory, latency):
        assert (found["end"] - found["start"], found["step_seconds"]) == (21_600, 60)
    assert newest(memory["series"][0]["values"]) == 3 * 1024**2
    assert newest(latency["series"][2]["values"]) == pytest.approx(10, rel=0.006)


async def test_metrics(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Every stored metric is listed, and read by name and attributes.
    """
    at = time.time()
    for value in (1.0, 5.0):
        metric = Metric(at, "queue.depth", value, service="shop", attributes={"queue": "mail"})
        stored.offer(metrics=[metric])
        at += 0.001
    stored.sample("redis.keys", 7.0, target="main")
    await stored.settled()

    names = await get(stored, browser, "/api/v1/metrics")
    query = "name=queue.depth&range=15m&aggregate=max&attributes=queue:mail"
    found = await get(stored, browser, f"/api/v1/metrics?{query}")
    other = await get(stored, browser, "/api/v1/metrics?name=queue.depth&attributes=queue:other")

    assert names == {"names": ["queue.depth", "redis.keys"]}
    (series,) = found["series"]
    assert series["attributes"]["queue"] == "mail"
    assert [value for value in series["values"] if value is not None] == [5.0]
    assert (found["aggregate"], found["source"], other["series"]) == ("max", "store", [])


async def test_metrics_without_a_store(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    Points of the last minutes are there while the store is down; the list of names is not.
    """
    served.sample("redis.keys", 7.0, target="main")

    found = await get(served, browser, "/api/v1/metrics?name=redis.keys&aggregate=last&range=15m")

    assert found["source"] == "memory"
    assert [v for v in found["series"][0]["values"] if v is not None] == [7.0]
    async with browser.get(served.address("/api/v1/metrics")) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


async def test_logs(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Stored lines are read newest first, a page at a time, each page going on from the one before.
    """
    for number in range(5):
        stored.say(f"line {number}")
    await stored.settled()

    first = await get(stored, browser, "/api/v1/logs?limit=2")
    second = await get(stored, browser, f"/api/v1/logs?limit=2&before={first['next']}")
    third = await get(stored, browser, f"/api/v1/logs?limit=2&before={second['next']}")

    pages = [[line["message"] for line in page["lines"]] for page in (first, second, third)]
    assert pages == [["line 4", "line 3"], ["line 2", "line 1"], ["line 0"]]
    assert third["next"] is None
    assert [page["source"] for page in (first, second, third)] == ["store"] * 3


FILTERS = [
    ("level=error", ["failed: 100 %"]),
    ("text=FAILED", ["failed: 100 %"]),
    ("text=%25", ["failed: 100 %"]),
    ("text=' OR '1'='1", []),
    ("level=debug&text=line", ["a line"]),
    ("end=1000", []),
    ("start=1795000000", ["failed: 100 %", "a line"]),
    ("limit=1", ["failed: 100 %"]),
    (f"before={WRITER}-2-0", ["a line"]),
    (f"before={WRITER}-1-0", []),
]


def two_lines(served: Served) -> None:
    served.say("a line")
    error = ErrorInfo(type="ValueError", message="no")
    log = Log(time.time(), "shop", "ERROR", "failed: 100 %", logger="shop.pay", error=error)
    served.offer(logs=[log])


@pytest.mark.parametrize(("query", "messages"), FILTERS)
async def test_log_filters(
    stored: Served, browser: aiohttp.ClientSession, query: str, messages: list[str]
) -> None:
    """
    Lines are filtered by level, text, time and cursor; a text is looked for as it stands.
    """
    two_lines(stored)
    await stored.settled()

    found = await get(stored, browser, f"/api/v1/logs?{query}")

    assert [line["message"] for line in found["lines"]] == messages
    assert found["source"] == "store"


@pytest.mark.parametrize(("query", "messages"), FILTERS)
async def test_log_filters_without_a_store(
    served: Served, browser: aiohttp.ClientSession, query: str, messages: list[str]
) -> None:
    """
    While the store is down the same filters give the same lines, as far as memory holds them.
    """
    two_lines(served)

    found = await get(served, browser, f"/api/v1/logs?{query}")

    assert [line["message"] for line in found["lines"]] == messages
    assert found["source"] == "memory"


async def test_stored_and_live_lines_are_the_same(
    stored: Served, browser: aiohttp.ClientSession
) -> None:
    """
    A line has the same id and the same form in the stream and in the store.
    """
    error = ErrorInfo(type="ValueError", message="no")
    log = Log(time.time(), "shop", "ERROR", "m", fields={"a": [1, None]}, error=error)
    stored.offer(logs=[log])
    await stored.settled()
    (live,) = stored.ports.bus.recent(1).lines

    found = await get(stored, browser, "/api/v1/logs")

    (line,) = found["lines"]
    assert line["id"] == live.cursor
    assert line["fields"] == {"a": [1, None]}
    assert line["error"] == {"type": "ValueError", "message": "no"}


async def test_targets(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    Every target is listed: not read yet, up, or down and why.
    """
    served.read("main", "redis", Reason.AUTH)
    served.read("host", "host")

    found = (await get(served, browser, "/api/v1/targets"))["targets"]

    states = [(target["kind"], target["up"], target["reason"]) for target in found]
    assert states == [
        ("redis", False, "authentication failed"),
        ("postgres", None, None),
        ("host", True, None),
    ]


async def test_ready(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    With the store up and the listeners running monitord is ready.
    """
    assert await get(stored, browser, "/readyz") == {"status": "ready", "checks": {"store": True}}
