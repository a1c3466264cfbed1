"""The page in a real Chromium: how soon it can be used, its bytes, how fast a log line shows."""

from __future__ import annotations

import asyncio
import statistics
import time

from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from monitord.emit import Emitter
from tests.bench.daemon import Daemon, daemon
from tests.bench.table import Row


ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOADS = 10
LINES = 200

# The page can be used once its deferred modules have run, which is what this event's end marks.
NAVIGATION = """() => {
  const entry = performance.getEntriesByType('navigation')[0];
  return {interactive_ms: entry.domContentLoadedEventEnd,
          bytes: [entry, ...performance.getEntriesByType('resource')]
            .filter(e => !e.name.includes('/api/')).reduce((sum, e) => sum + e.transferSize, 0)};
}"""

WATCH = """() => {
  window.seen = [];
  new MutationObserver(changes => {
    const now = performance.timeOrigin + performance.now();
    for (const change of changes) for (const node of change.addedNodes) {
      const found = /bench-(\\d+\\.\\d+)/.exec(node.textContent);
      if (found) window.seen.push(now - Number(found[1]) * 1000);
    }
  }).observe(document.querySelector('[data-log]'), {childList: true, subtree: true});
}"""


async def run(folder: Path, dsn: str) -> list[Row]:
    """Load the page cold, then warm, then watch lines appear in it."""
    async with daemon(folder, store={"dsn": dsn}) as running, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=list(ARGUMENTS)
        )
        try:
            size, interactive = await loads(browser, running)
            delays = await log_delays(browser, running)
        finally:
            await browser.close()
    p99 = delays[int(len(delays) * 0.99) - 1] if delays else None
    seen, soon = len(delays), p99 is not None and p99 < 300
    return [
        Row("page transferred, cold", size / 1000, "KB", "< 350", size < 350_000),
        Row("page interactive, warm, median", interactive, "ms", "< 300", interactive < 300),
        Row("log lines seen in the browser", seen, "lines", f"{LINES}", seen == LINES),
        Row("log line, emit to visible, p99", p99, "ms", "< 300", soon),
    ]


async def loads(browser: Browser, running: Daemon) -> tuple[float, float]:
    """Return the bytes of a cold load and the median ms to interactive of the warm loads."""
    page = await browser.new_page()
    cold = await measure(page, running)
    warm = [await measure(page, running) for _ in range(LOADS)]
    await page.close()
    return cold["bytes"], statistics.median(load["interactive_ms"] for load in warm)


async def measure(page: Page, running: Daemon) -> dict[str, Any]:
    await page.goto(running.web, wait_until="load")
    await asyncio.sleep(1.5)  # the chart chunk is fetched after the page can be used; it counts too
    result: dict[str, Any] = await page.evaluate(NAVIGATION)
    return result


async def log_delays(browser: Browser, running: Daemon) -> list[float]:
    """Emit lines 20 ms apart; return the sorted delays in ms at which they were in the document."""
    page = await browser.new_page()
    await page.goto(running.web, wait_until="load")
    await asyncio.sleep(2)
    await page.evaluate(WATCH)
    emitter = Emitter(f"127.0.0.1:{running.ingest_port}", service="bench")
    for _ in range(LINES):
        emitter.log("INFO", f"bench-{time.time():.6f}", logger="bench")
        await asyncio.sleep(0.02)
    await asyncio.sleep(1)
    delays: list[float] = await page.evaluate("() => window.seen")
    await page.close()
    return sorted(delays)
