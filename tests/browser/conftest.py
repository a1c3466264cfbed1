"""The page in a real Chromium, before a real server."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from tests.browser.house import House, opened


SCREENSHOTS = Path(__file__).parent / "screenshots"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

OpenHouse = Callable[..., contextlib.AbstractAsyncContextManager[House]]
Screenshot = Callable[..., Awaitable[None]]


@pytest.fixture
def open_house(database: str, tmp_path: Path) -> OpenHouse:
    """
    Open a house on the store, or on another `dsn`.
    """
    return functools.partial(opened, tmp_path, dsn=database)


@pytest_asyncio.fixture
async def house(open_house: OpenHouse) -> AsyncIterator[House]:
    """
    A house in use: every target up, fourteen minutes of requests and samples stored.
    """
    async with open_house() as made:
        made.fill()
        await made.stored()
        yield made


@pytest_asyncio.fixture
async def empty_house(open_house: OpenHouse) -> AsyncIterator[House]:
    """
    A house nothing has come to yet.
    """
    async with open_house() as made:
        yield made


@pytest_asyncio.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """
    A running Chromium of this machine.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for found in map(shutil.which, names) if found), None)
    if path is None and os.environ.get("MONITORD_REQUIRE_BROWSER"):
        pytest.fail("MONITORD_REQUIRE_BROWSER is set, and there is no Chromium on PATH")
    if path is None:
        pytest.skip("no Chromium on PATH")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


class Visit:
    """Opens pages, and keeps what the browser complained of: errors, warnings, CSP violations."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    async def __call__(
        self, url: str, width: int = 1440, height: int = 900, zone: str = "Europe/Berlin"
    ) -> Page:
        """Return the page at `url`, loaded, in a browser of this size and time zone."""
        context = await self._browser.new_context(
            viewport={"width": width, "height": height}, timezone_id=zone, locale="en-GB"
        )
        self._contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        await page.goto(url)
        return page

    def _said(self, message: ConsoleMessage) -> None:
        # A page outlives its house by a moment; that nobody answers then is no fault of the page.
        alone = "net::ERR_CONNECTION_REFUSED" in message.text
        if message.type in ("error", "warning") and not alone:
            self.complaints.append(f"{message.type}: {message.text}")

    @contextlib.contextmanager
    def forgiving(self, pattern: str) -> Iterator[None]:
        """Within the block, complaints that match are what the test is about."""
        before = len(self.complaints)
        yield
        new = self.complaints[before:]
        self.complaints[before:] = [text for text in new if not re.search(pattern, text)]

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()


@pytest_asyncio.fixture
async def visit(chromium: Browser) -> AsyncIterator[Visit]:
    """
    Open pages; the test fails when the browser complained of anything.
    """
    visit = Visit(chromium)
    yield visit
    await visit.close()
    assert visit.complaints == []


@pytest.fixture
def screenshot() -> Screenshot:
    """
    Keep a picture of the page, for people to look at.
    """

    async def take(page: Page, name: str, whole: bool = False) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        width = page.viewport_size["width"]
        await page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=whole)

    return take
