"""Six hours of memory in the store's stead: charts, figures and points, with time passed in."""

from __future__ import annotations

import time

from collections.abc import Sequence

import aiohttp
import pytest

from monitord.http.buckets import Buckets
from monitord.http.parameters import Aggregate
from monitord.http.sources import memory
from monitord.intake.window import Window
from monitord.model import Metric, Request
from tests.http.conftest import Serve, Served
from tests.http.test_api import get


USED = "redis.memory.used_bytes"
MIB = 2.0**20


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


async def test_hours_without_a_store(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    What came hours ago is drawn and counted; the minutes between, without a sample, are unknown.
    """
    began = time.time() - 5 * 3_600
    clock = Clock(began)
    async with serve(parts={"window": Window(clock)}) as served:
        for value, ms in ((MIB, 30.0), (3 * MIB, 50.0)):
            served.offer(
                [Request(clock.now, "shop", "GET", "/", 200, ms)],
                metrics=[Metric(clock.now, USED, value, attributes={"target": "main"})],
            )
            clock.now += 7_200
        clock.now = time.time()

        used = await get(served, browser, "/api/v1/charts/redis_memory?range=6h")
        latency = await get(served, browser, "/api/v1/charts/latency?range=6h")
        overview = await get(served, browser, "/api/v1/overview?range=6h")
        path = f"/api/v1/metrics?name={USED}&start={began - 300}&end={began + 300}"
        points = await get(served, browser, path)

    assert known(used["series"][0]["values"]) == [MIB, 3 * MIB]
    assert known(latency["series"][0]["values"]) == [30, 50]
    rows = {row["id"]: row["value"] for row in overview["rows"]}
    assert (rows["api_request_count"], rows["api_latency_avg"]) == (2, 40)
    assert overview["requests_source"] == "memory"
    assert (known(points["series"][0]["values"]), points["step_seconds"]) == ([MIB], 60)
    assert points["note"] == used["note"]


async def test_the_last_minutes_are_fine(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    Of the last 15 minutes there are steps shorter than a minute.
    """
    served.answered(10.0, ago=300)
    served.answered(30.0, ago=270)
    served.sample(USED, MIB, target="main")

    latency = await get(served, browser, "/api/v1/charts/latency?range=15m")
    used = await get(served, browser, "/api/v1/charts/redis_memory?range=15m")

    assert (latency["end"] - latency["start"], latency["step_seconds"]) == (900, 10)
    assert known(latency["series"][0]["values"]) == [10, 30]
    assert (used["step_seconds"], known(used["series"][0]["values"])) == (15, [MIB])


@pytest.mark.parametrize(
    ("aggregate", "value"), [("avg", 4.0), ("min", 1.0), ("max", 9.0), ("sum", 12.0), ("last", 2.0)]
)
@pytest.mark.parametrize("step", [30.0, 60.0])
async def test_aggregates(served: Served, aggregate: Aggregate, value: float, step: float) -> None:
    """
    Points and minutes have the same aggregates; a step without a sample is unknown.
    """
    begun = (time.time() // 60 - 2) * 60
    for later, number in ((0, 1.0), (10, 9.0), (20, 2.0)):
        served.offer(metrics=[Metric(begun + later, "m", number)])

    source = memory(served.ports)
    [(_, values)] = await source.metric("m", {}, Buckets(begun - 60, step, 4), aggregate)

    assert values == [value if at == 60 / step else None for at in range(4)]


async def test_equal_values_have_their_own_mean(served: Served) -> None:
    """
    Rounding takes no mean beyond what was measured.
    """
    begun = (time.time() // 60 - 2) * 60
    for later in (0, 10, 20):
        served.offer(metrics=[Metric(begun + later, "m", 0.1)])

    [(_, values)] = await memory(served.ports).metric("m", {}, Buckets(begun, 60.0, 1), "avg")

    assert values == [0.1]
