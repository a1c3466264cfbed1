"""
Any application can point at monitord: three of them, each started as a stranger would start it,
and what they sent is seen on the page, in Chromium.

How long it took from the first request on is a property of the test; what is asserted is a bound
for slow machines.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import time

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from playwright.async_api import Page, expect

from tests.acceptance.house import House, free_ports, house
from tests.browser import conftest as browser
from tests.browser.conftest import Visit


pytestmark = pytest.mark.browser

# The fixtures with which tests/browser drives the page.
chromium, visit = browser.chromium, browser.visit

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
START_SECONDS = 60.0
# Five are promised, on a machine that has nothing else to do.
DEADLINE_SECONDS = 15.0
AGAIN_SECONDS = 0.25

NUMBERS = (17, 18, 19)
SLEPT_MS = 20

FLASK_SHOP = f"""
import logging
import time

from flask import Flask

app = Flask(__name__)
log = logging.getLogger("shop.orders")


@app.get("/orders/<int:number>")
def order(number):
    log.warning("order %d is asked for", number)
    time.sleep({SLEPT_MS / 1000})
    return {{"number": number}}


@app.get("/broken")
def broken():
    raise KeyError("stock")
"""

FASTAPI_SHOP = f"""
import asyncio
import logging

from fastapi import FastAPI

app = FastAPI()
log = logging.getLogger("shop.orders")

THREE_LINES

@app.get("/orders/{{number}}")
async def order(number: int):
    log.info("order %d is asked for", number)
    await asyncio.sleep({SLEPT_MS / 1000})
    return {{"number": number}}


@app.get("/broken")
async def broken():
    raise KeyError("stock")
"""

BACKUP = """
send() { if command -v nc > /dev/null; then nc -u -w1 127.0.0.1 "$PORT"; else cat > "/dev/udp/127.0.0.1/$PORT"; fi; }

echo '{"type":"log","service":"backup","level":"WARNING","message":"2 files were skipped"}' | send
echo '{"type":"metric","service":"backup","name":"backup.size","value":734,"unit":"By"}' | send
echo 'backup.files:42|c|#service:backup' | send
"""  # noqa: E501 - a line of a script

# Of each row its trace and the texts of its cells.
CELLS = """rows => rows.map(
    (row) => [row.dataset.trace, [...row.cells].map((cell) => cell.innerText.trim())]
)"""

Note = Callable[[str, object], None]


class Since:
    """Notes how long after its own beginning something was seen."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._began = time.monotonic()

    @property
    def ms(self) -> float:
        return (time.monotonic() - self._began) * 1000

    @property
    def left_ms(self) -> float:
        return max(1.0, DEADLINE_SECONDS * 1000 - self.ms)

    def seen(self, what: str) -> None:
        self._note(f"{what}: seconds", round(self.ms / 1000, 2))
        assert self.ms <= DEADLINE_SECONDS * 1000, what

    async def until(self, what: str, look: Callable[[], Awaitable[Any]], expected: Any) -> None:
        """Look again and again until it is there; fail with what was there instead."""
        found = await look()
        while found != expected and self.left_ms > 1:
            await asyncio.sleep(AGAIN_SECONDS)
            found = await look()
        assert found == expected, what
        self.seen(what)


async def test_flask_without_a_line_for_it(
    tmp_path: Path, visit: Visit, record_property: Note
) -> None:
    """
    A Flask application started with `opentelemetry-instrument` is on the page with its requests,
    traces, errors and log lines.
    """
    (tmp_path / "shop.py").write_text(FLASK_SHOP)
    async with house(tmp_path / "house", small_disks=False) as built:
        environment = documented_environment() | {"OTEL_EXPORTER_OTLP_ENDPOINT": built.ingest}
        command = ("opentelemetry-instrument", "flask", "--app", "shop", "run")
        async with application(tmp_path, command, environment) as address:
            await seen_on_the_page(built, address, "/orders/<int:number>", visit, record_property)


async def test_fastapi_with_the_three_lines_of_the_readme(
    tmp_path: Path, visit: Visit, record_property: Note
) -> None:
    """
    A FastAPI application under uvicorn with the lines of README.md is there in the same way.
    """
    async with house(tmp_path / "house", small_disks=False) as built:
        lines = three_lines().replace("monitord:9125", built.ingest.removeprefix("http://"))
        (tmp_path / "shop.py").write_text(FASTAPI_SHOP.replace("THREE_LINES", lines))
        async with application(tmp_path, ("uvicorn", "shop:app"), {}) as address:
            await seen_on_the_page(built, address, "/orders/{number}", visit, record_property)


async def test_shell_script(tmp_path: Path, visit: Visit, record_property: Note) -> None:
    """
    What a shell script sends, native lines and one of StatsD, is in the log and in the explorer.
    """
    async with house(tmp_path / "house", small_disks=False) as built:
        page = await live(visit, built)
        since = Since(record_property)
        script = await asyncio.create_subprocess_exec(
            *("bash", "-c", BACKUP), env=os.environ | {"PORT": built.ingest.rpartition(":")[2]}
        )
        assert await asyncio.wait_for(script.wait(), START_SECONDS) == 0

        skipped = page.locator("[data-log] .line", has_text="2 files were skipped")
        await expect(skipped).to_have_attribute("data-level", "WARNING", timeout=since.left_ms)
        since.seen("log")
        await page.screenshot(path=tmp_path / "overview.png")
        await since.until(
            "series",
            lambda: series(built),
            [("backup.files", "counter", "", "backup"), ("backup.size", "gauge", "By", "backup")],
        )
        asked = "q=backup.files{service:backup}@sum&q=backup.size{service:backup}@last"
        explorer = await visit(f"{built.web}/metrics-explorer?range=1h&{asked}")
        await since.until("explorer", lambda: drawn(explorer), ["42.0", "734 B"])
        await explorer.screenshot(path=tmp_path / "explorer.png")


async def seen_on_the_page(
    built: House, address: str, route: str, visit: Visit, note: Note
) -> None:
    """Send a few requests to a shop, and compare what the pages and the API say with them."""
    page = await live(visit, built)
    since = Since(note)
    traces = await ask(address)

    asked_for = page.locator("[data-log] .message", has_text="is asked for")
    said = [f"order {number} is asked for" for number in NUMBERS]
    await expect(asked_for).to_have_text(said, timeout=since.left_ms)
    since.seen("log")
    await since.until("overview", lambda: figures(page), ["4", "1 (4xx: 0)"])
    assert len(traces) / 60 - 0.005 <= await per_second(page) <= len(traces)
    await page.screenshot(path=built.folder.parent / "overview.png")

    counted = [("shop", "GET", "/broken", 1, 1), ("shop", "GET", route, 3, 0)]
    await since.until("endpoints", lambda: endpoints(built), counted)
    [orders] = [one for one in await answered(built, "endpoints") if one["route"] == route]
    # A timer may be a little early, and a span ends after its answer.
    assert 0.9 * SLEPT_MS <= orders["avg_ms"] <= orders["max_ms"] <= since.ms

    await page.goto(f"{built.web}/traces")
    began = {traces[number]: (f"GET {route}", "shop", "200") for number in NUMBERS}
    expected = began | {traces[0]: ("GET /broken", "shop", "500")}
    await since.until("traces", lambda: listed(page), expected)
    await page.screenshot(path=built.folder.parent / "traces.png")


async def live(visit: Visit, built: House) -> Page:
    """Return the overview, its log connected."""
    page = await visit(f"{built.web}/")
    state = page.locator("[data-log-state]")
    await expect(state).to_have_text("Live", timeout=START_SECONDS * 1000)
    return page


def documented_environment() -> dict[str, str]:
    """Return the variables that docs/ingest.md tells to set."""
    text = (ROOT / "docs" / "ingest.md").read_text()
    said = dict(re.findall(r"^export (OTEL_\w+)=(\S+)$", text, re.MULTILINE))
    assert said.keys() >= {"OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_PROTOCOL"}
    return said


def three_lines() -> str:
    """Return the lines of README.md that point an application at monitord."""
    [block] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line.strip() for line in block.splitlines()]
    assert any('Emitter("monitord:9125"' in line for line in lines)
    return "\n".join(lines)


@contextlib.asynccontextmanager
async def application(
    folder: Path, command: tuple[str, ...], environment: dict[str, str]
) -> AsyncIterator[str]:
    """Run a server of this Python's programs in a folder, on a free port; yield its address."""
    port, _ = free_ports()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MONITORD_", "OTEL_"))}
    paths = {"PYTHONPATH": str(ROOT), "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    with (folder / "said.log").open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *(PROGRAMS / command[0], *command[1:], "--port", str(port)),
            cwd=folder,
            env=clean | paths | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await listens(port):
                assert process.returncode is None, (folder / "said.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        await asyncio.sleep(0.05)
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def ask(address: str) -> dict[int, str]:
    """Ask for each order and, as number 0, for what is broken; return the trace of each."""
    traces = {number: uuid4().hex for number in (*NUMBERS, 0)}
    async with aiohttp.ClientSession(address) as session:
        for number, trace in traces.items():
            path, status = (f"/orders/{number}", 200) if number else ("/broken", 500)
            headers = {"traceparent": f"00-{trace}-{uuid4().hex[:16]}-01"}
            async with session.get(path, headers=headers) as reply:
                assert reply.status == status
    return traces


async def figures(page: Page) -> list[str]:
    """Return how many requests and errors the page counts, after a refresh by hand."""
    await page.keyboard.press("r")
    rows = ("api_request_count", "api_error_count")
    return [await page.locator(f"#row-{row} [data-value]").inner_text() for row in rows]


async def per_second(page: Page) -> float:
    """Return what the card says of the last minute, or of what there was of it."""
    shown = await page.locator("#card-requests_per_second [data-value]").inner_text()
    return float(shown.removesuffix("/s"))


async def answered(built: House, path: str) -> list[dict[str, Any]]:
    """Return the list that the API answers with; none while the store cannot tell."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{built.web}/api/v1/{path}") as reply,
    ):
        assert reply.status in (200, 503), path
        found = await reply.json()
    return found.get(path.partition("?")[0], [])


async def endpoints(built: House) -> list[tuple[Any, ...]]:
    keys = ("service", "method", "route", "count", "errors")
    found = await answered(built, "endpoints")
    return sorted(tuple(one[key] for key in keys) for one in found)


async def series(built: House) -> list[tuple[Any, ...]]:
    keys = ("name", "kind", "unit", "service")
    found = await answered(built, "series?name=backup")
    return sorted(tuple(one[key] for key in keys) for one in found)


async def drawn(page: Page) -> list[str]:
    """Return the newest values of the charts that are drawn, after a refresh by hand."""
    await page.keyboard.press("r")
    return await page.locator('.chart[data-state="ready"] [data-legend] output').all_inner_texts()


async def listed(page: Page) -> dict[str, tuple[str, ...]]:
    """Return what began each trace of the list, its service and its status."""
    await page.keyboard.press("r")
    rows = await page.locator("tr[data-trace]").evaluate_all(CELLS)
    return {trace: (name, service, status) for trace, [_, name, service, _, _, status, _] in rows}
