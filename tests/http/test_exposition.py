"""`/metrics` for Prometheus."""

from __future__ import annotations

import asyncio
import shutil

from asyncio.subprocess import PIPE

import aiohttp
import pytest

from prometheus_client.parser import text_string_to_metric_families

from monitord.model import Reason
from tests.http.conftest import Served


async def fetch(served: Served, browser: aiohttp.ClientSession, accept: str) -> tuple[str, str]:
    headers = {"Accept": accept}
    async with browser.get(served.address("/metrics"), headers=headers) as answer:
        assert answer.status == 200
        return await answer.text(), answer.headers["Content-Type"]


async def test_targets(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    A target is up or down; one that was not read yet is neither.
    """
    served.read("main", "redis")
    served.read("main", "postgres", Reason.REFUSED)

    text, content_type = await fetch(served, browser, "text/plain")

    samples = {
        (sample.labels["kind"], sample.labels["target"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "monitord_target_up"
    }
    assert samples == {("redis", "main"): 1.0, ("postgres", "main"): 0.0}
    assert content_type.startswith("text/plain; version=")


async def test_names(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    Every number is monitord's own and says so in its name.
    """
    text, _ = await fetch(served, browser, "text/plain")

    names = {family.name for family in text_string_to_metric_families(text)}
    assert {name for name in names if not name.startswith("monitord_")} == set()
    assert {"monitord_process_resident_memory_bytes", "monitord_build_info"} <= names


async def test_open_metrics(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    A client that prefers OpenMetrics gets it.
    """
    text, content_type = await fetch(served, browser, "application/openmetrics-text; version=1.0.0")

    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
async def test_promtool(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    Prometheus' own linter has nothing to say.
    """
    served.read("main", "redis")
    served.ports.telemetry.dropped.labels("udp").inc()
    text, _ = await fetch(served, browser, "text/plain")

    promtool = await asyncio.create_subprocess_exec(
        "promtool", "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    said, complained = await promtool.communicate(text.encode())

    assert (promtool.returncode, said, complained) == (0, b"", b"")
