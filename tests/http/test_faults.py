"""The faults of the page that monitord replaces: each has a test that keeps it out."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from monitord.model import Reason
from monitord.settings import Secret
from tests.http.conftest import Serve, Served
from tests.http.test_api import SUMMARY, fill, get
from tests.http.test_stream import watching


async def test_fault_1_stream_silent_after_the_ring_is_full(served: Served) -> None:
    """
    The log stream goes on after 1,000 lines, and connecting again gives no line twice.
    """
    async with watching(served) as reader:
        seen = []
        for start in range(0, 2_500, 50):
            served.say(*(f"{number}" for number in range(start, start + 50)))
            events = await reader.events(50)
            seen += [event.json["message"] for event in events]
    served.say("after")

    async with watching(served, **{"Last-Event-ID": events[-1].id}) as reader:
        again = await reader.messages(1)
        served.say("live")
        again += await reader.messages(1)

    assert seen == [f"{number}" for number in range(2_500)]
    assert again == ["after", "live"]


async def test_fault_2_no_history(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Values of Redis, PostgreSQL and the host have a time axis, read back from the store.
    """
    fill(stored)
    await stored.settled()

    for name in ("redis_memory", "postgres_connections", "system"):
        chart = await get(stored, browser, f"/api/v1/charts/{name}?range=1h")

        assert chart["source"] == "store"
        assert all(any(v is not None for v in one["values"]) for one in chart["series"])


async def test_fault_3_outage_shown_as_zeros(
    stored: Served, browser: aiohttp.ClientSession
) -> None:
    """
    A target that goes down has no numbers any more, and is down since then; no low hit rate.
    """
    fill(stored)
    await stored.settled()
    assert (await get(stored, browser, SUMMARY))["redis"]["hit_rate"] == 90.0
    stored.read("main", "redis", Reason.REFUSED)

    async with asyncio.timeout(2):
        summary = await get(stored, browser, SUMMARY)
        while summary["redis"]["connected"]:
            summary = await get(stored, browser, SUMMARY)
    overview = await get(stored, browser, "/api/v1/overview")

    assert summary["redis"] == {
        "connected": False,
        "memory_used_mb": None,
        "memory_max_mb": None,
        "memory_percent": None,
        "keys_total": None,
        "hit_rate": None,
        "evicted_keys": None,
        "connected_clients": None,
    }
    card = next(card for card in overview["cards"] if card["id"] == "redis_hit_rate")
    assert (card["value"], card["down_since"]) == (None, overview["banner"]["since"])
    assert overview["banner"]["text"] == "Redis main: connection refused"
    assert not [i for i in overview["banner"]["items"] if "hit rate" in i["text"].lower()]


async def test_fault_4_lifetime_counters(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Hit rate and evictions are those of the last minute, whatever was before.
    """
    fill(stored, ago=400)
    stored.sample("redis.keyspace.hits", 1.0, target="main")
    stored.sample("redis.keyspace.misses", 3.0, target="main")
    stored.sample("redis.keys.evicted", 0.0, target="main")

    summary = await get(stored, browser, SUMMARY)

    assert (summary["redis"]["hit_rate"], summary["redis"]["evicted_keys"]) == (25.0, 0)


async def test_fault_5_the_summary_in_its_own_table(
    stored: Served, browser: aiohttp.ClientSession
) -> None:
    """
    Asking monitord is no request of the application: it changes no figure of the API.
    """
    stored.answered(10.0)
    await stored.settled()
    for path in ("/", SUMMARY, "/api/v1/overview", "/api/v1/charts/latency"):
        async with browser.get(stored.address(path)) as answer:
            assert answer.status == 200

    await stored.settled()

    overview = await get(stored, browser, "/api/v1/overview?range=15m")
    (count,) = [row["value"] for row in overview["rows"] if row["id"] == "api_request_count"]
    assert count == 1


@pytest.mark.parametrize(
    ("change", "state", "text"),
    [
        ({}, "ok", "All is well: 3 targets up"),
        ({"slow": 1}, "critical", "API latency P95 5.0"),
        ({"system_cpu_utilization_ratio": 0.75}, "warning", "System CPU 75.0 %, above 70 %"),
        ({"redis_keys_evicted": 9}, "warning", "Redis: Evicted keys (5 min) 9, above 0"),
        ({"disk": 95}, "critical", "System: Disk used 95.0 GiB of 100 GiB (95.0 %)"),
        ({"down": 1}, "critical", "PostgreSQL main: timed out"),
    ],
)
async def test_fault_8_banner_green_whatever_the_values(
    stored: Served,
    browser: aiohttp.ClientSession,
    change: dict[str, float],
    state: str,
    text: str,
) -> None:
    """
    The banner says what is wrong, and that all is well only when it is.
    """
    well = {"redis_keys_evicted": 0, "postgres_statements_slow": 0, "disk": 50}
    fill(stored, **(well | change))
    stored.answered(*([5_000.0] * 20 if "slow" in change else [5.0]))
    if "down" in change:
        stored.read("main", "postgres", Reason.TIMEOUT)

    banner = (await get(stored, browser, "/api/v1/overview"))["banner"]

    assert banner["state"] == state
    assert banner["text"].startswith(text)


async def test_fault_9_no_login(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    With a token set nothing is shown without it.
    """
    token = "read-token-0123456789"
    async with serve({"read_tokens": (Secret(token),)}) as served:
        async with browser.get(served.address(SUMMARY)) as refused:
            assert refused.status == 401
        async with browser.get(served.address("/"), allow_redirects=False) as led:
            assert (led.status, led.headers["Location"]) == (303, "/login?next=/")
        form, own = {"token": token}, {"Origin": served.address("").rstrip("/")}
        async with browser.post(served.address("/login"), data=form, headers=own) as page:
            assert page.status == 200
        async with browser.get(served.address(SUMMARY)) as shown:
            assert shown.status == 200
