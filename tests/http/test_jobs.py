"""`/api/v1/jobs`: every job with its runs of a window."""

from __future__ import annotations

import time

from typing import Any

import aiohttp
import pytest

from monitord.histogram import RELATIVE_ERROR
from monitord.model import Metric
from tests.http.conftest import Served


PATH = "/api/v1/jobs"


async def get(
    served: Served, browser: aiohttp.ClientSession, status: int = 200, **asked: Any
) -> Any:
    async with browser.get(served.address(PATH), params=asked) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


def run(ms: float, outcome: str, at: float, job: str = "mail") -> Metric:
    attributes = {"job": job, "outcome": outcome}
    return Metric(at, "job.duration", ms, "worker", "histogram", "ms", attributes)


async def test_jobs(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Each job has its runs and failures, its durations, when it ran last and how long ago that is.
    """
    at = time.time() - 120
    runs = [run(float(ms), "failure" if ms > 90 else "success", at) for ms in range(1, 101)]
    stored.offer(metrics=[*runs, run(5.0, "success", at - 1_800, "report")])
    await stored.settled()

    found = await get(stored, browser, range="15m")

    mail, report = found["jobs"]
    assert (mail["service"], mail["job"]) == ("worker", "mail")
    assert (mail["runs"], mail["failures"], mail["max_ms"]) == (100, 10, 100.0)
    assert mail["p50_ms"] == pytest.approx(50.0, rel=RELATIVE_ERROR)
    assert mail["p95_ms"] == pytest.approx(95.0, rel=RELATIVE_ERROR)
    assert mail["last_run"] == mail["last_failure"] == at // 60 * 60
    assert mail["age_seconds"] == pytest.approx(time.time() - at // 60 * 60, abs=30)
    assert (len(mail["trend"]), sum(mail["trend"]), sum(mail["failures_trend"])) == (24, 100, 10)
    assert (report["runs"], report["p95_ms"], report["max_ms"]) == (0, None, None)
    assert report["last_run"] == (at - 1_800) // 60 * 60
    assert 900 <= found["end"] - found["start"] <= 1_020
    assert found["step_seconds"] * 24 == found["end"] - found["start"]
    assert found["quantiles_since"] == found["counts_since"] == found["start"]


async def test_no_job(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Without a job the list is empty.
    """
    assert (await get(stored, browser))["jobs"] == []


async def test_only_the_store_knows(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    While the store is down it is 503, with what the store said.
    """
    refused = await get(served, browser, 503)

    assert refused["error"]["message"].startswith("store: ")


async def test_mistakes(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    A wrong or unknown parameter is 400.
    """
    assert (await get(served, browser, 400, range="2h"))["error"]["rule"]
    assert (await get(served, browser, 400, job="mail"))["error"]["rule"]
