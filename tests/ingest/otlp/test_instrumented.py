"""
Applications without a line for it, started with `opentelemetry-instrument`: what they answered is
there, as requests, spans, logs and metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from monitord.ingest.http import IngestServer
from monitord.settings import Ingest


APPS = Path(__file__).parent / "apps"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
DEADLINE_SECONDS = 60.0

ROUTES = {"flask_shop": "/orders/<int:number>", "fastapi_shop": "/orders/{number}"}


def environment(endpoint: str, conventions: str) -> dict[str, str]:
    return os.environ | {
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true",
        "OTEL_SEMCONV_STABILITY_OPT_IN": conventions,
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_BLRP_SCHEDULE_DELAY": "200",
    }


@contextlib.asynccontextmanager
async def running(name: str, endpoint: str, conventions: str) -> AsyncIterator[str]:
    """Run one of the applications as its user would; yield its address."""
    program = Path(sys.executable).with_name("opentelemetry-instrument")
    process = await asyncio.create_subprocess_exec(
        program,
        sys.executable,
        APPS / f"{name}.py",
        env=environment(endpoint, conventions),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE_SECONDS)
        assert line, "it did not start"
        yield f"http://127.0.0.1:{int(line)}"
    finally:
        process.kill()
        await process.wait()


async def asked(address: str) -> None:
    async with aiohttp.ClientSession(address) as session:
        for path, status in (("/orders/17", 200), ("/orders/18", 200), ("/nowhere/9", 404)):
            async with session.get(path, headers=CALLER) as response:
                assert response.status == status
        async with session.get("/broken", headers=CALLER) as response:
            assert response.status == 500


def all_of(sink: Any, name: str) -> list[Any]:
    return [event for batch in sink.batches for event in getattr(batch, name)]


async def arrived(sink: Any) -> None:
    """Wait until the four requests, the two logs, and the metric of all four are there."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        logs = [log for log in all_of(sink, "logs") if log.logger == "shop.orders"]
        if len(all_of(sink, "requests")) == 4 and len(logs) == 2 and counted(sink) == 4:
            return
        await asyncio.sleep(0.1)
    raise AssertionError((len(all_of(sink, "requests")), len(all_of(sink, "logs")), counted(sink)))


def counted(sink: Any) -> int:
    """Return how many requests the application's own histogram has counted."""
    return sum(
        metric.distribution.count
        for metric in all_of(sink, "metrics")
        if metric.name in ("http.server.duration", "http.server.request.duration")
    )


@pytest.mark.parametrize("conventions", ["", "http"], ids=["old", "new"])
@pytest.mark.parametrize("name", ROUTES)
async def test_without_a_line_for_it(sink, telemetry, name: str, conventions: str) -> None:
    """Routes, statuses, errors, logs and durations, by old names and new, on its own port."""
    async with IngestServer(Ingest(port=0, otlp_port=0), sink, telemetry) as server:
        endpoint = f"http://127.0.0.1:{server.otlp_port}"
        async with running(name, endpoint, conventions) as address:
            began = time.time()
            await asked(address)
            await arrived(sink)
            took_ms = (time.time() - began) * 1000

    # A request's span may end after its answer was read, and the next question asked.
    requests = sorted(all_of(sink, "requests"), key=lambda each: each.time - each.duration_ms / 1e3)
    first, second, nowhere, broken = requests
    assert [(each.method, each.route, each.status) for each in (first, second, broken)] == [
        ("GET", ROUTES[name], 200),
        ("GET", ROUTES[name], 200),
        ("GET", "/broken", 500),
    ]
    assert (nowhere.status, "9" in nowhere.route) == (404, False)
    assert {(each.service, each.trace_id) for each in requests} == {("shop", TRACE)}
    assert all(began <= each.time <= began + took_ms / 1000 for each in requests)
    assert all(0 < each.duration_ms <= took_ms for each in requests)
    assert first.error is None
    assert (broken.error.type, broken.error.message) == ("KeyError", "'stock'")
    frame = broken.error.frames[-1]
    assert (Path(frame.path).name, frame.function) == (f"{name}.py", "broken")
    assert (frame.source, frame.in_app) == ('raise KeyError("stock")', True)
    assert not broken.error.frames[0].in_app

    spans = {span.span_id: span for span in all_of(sink, "spans")}
    assert all(spans[each.span_id].kind == "server" for each in requests)
    assert all(spans[each.span_id].parent_id == PARENT for each in requests)

    logs = sorted(
        (log for log in all_of(sink, "logs") if log.logger == "shop.orders"),
        key=lambda log: log.time,
    )
    assert [(log.level, log.message, log.span_id) for log in logs] == [
        ("WARNING", "order 17 is asked for", first.span_id),
        ("WARNING", "order 18 is asked for", second.span_id),
    ]

    durations = [
        metric
        for metric in all_of(sink, "metrics")
        if metric.name in ("http.server.duration", "http.server.request.duration")
    ]
    assert {metric.unit for metric in durations} == {"s" if conventions else "ms"}
    total = sum(metric.distribution.sum for metric in durations)
    assert 0 < total * (1000 if conventions else 1) <= 4 * took_ms
