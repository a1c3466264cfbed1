"""The panel of exact figures at the chart of the latency, as a person opens it."""

from __future__ import annotations

import asyncio
import math
import re
import time

import pytest

from playwright.async_api import Page, expect

from monitord.histogram import RELATIVE_ERROR
from monitord.model import Batch, Request
from tests.browser.conftest import OpenHouse, Screenshot, Visit
from tests.browser.house import NOWHERE, House
from tests.browser.test_layout import CUT, DESKTOP, FAINT, SHIFTS, TABLET


pytestmark = pytest.mark.browser

SUMMARY = "#exact summary"
COUNT = '[data-of="exact"] [data-figure="count"]'

# The text of every element that the control lies on.
COVERED = """all => {
  const over = document.querySelector('#exact summary').getBoundingClientRect();
  return all.filter(e => {
    const box = e.getBoundingClientRect();
    return box.right > over.left && box.left < over.right
      && box.bottom > over.top && box.top < over.bottom;
  }).map(e => e.textContent);
}"""


def busy(house: House, endpoints: int = 14) -> list[float]:
    """Offer what the last minutes brought to several endpoints; return each duration, in ms."""
    now = time.time()
    requests = [
        Request(now - n % 200, "shop", "GET", f"/part/{n % endpoints}/{{id}}", 200, ms)
        for n in range(2_000)
        for ms in [round(10 * math.exp((n * 37 % 101) / 40) * (1 + n % endpoints / 9), 3)]
    ]
    house.intake.offer(Batch(now, requests=requests))
    return [one.duration_ms for one in requests]


async def figures(page: Page, of: str) -> list[float]:
    cells = page.locator(f'[data-of="{of}"] [data-figure$="_ms"]')
    texts = await cells.all_inner_texts()
    return [float(text.replace(",", "")) for text in texts]


@pytest.mark.parametrize("size", [DESKTOP, TABLET])
async def test_exact_figures_stand_beside_the_rollups(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, size: tuple[int, int]
) -> None:
    """
    Opened, the panel shows percentiles of every request, what the rollups say, and who is slow.
    """
    async with open_house() as house:
        durations = sorted(busy(house))
        await house.stored()
        page = await visit(house.url, *size)

        await page.locator(SUMMARY).click()

        await expect(page.locator(COUNT)).to_have_text("2,000")
        exact, sketch = await figures(page, "exact"), await figures(page, "sketch")
        ranks = [durations[math.ceil(share * 2_000) - 1] for share in (0.5, 0.95, 0.99, 1)]
        assert exact == ranks
        assert sketch == pytest.approx(exact, rel=RELATIVE_ERROR)
        await expect(page.locator("[data-exact]")).to_contain_text("Exact, every request counted")
        await expect(page.locator("[data-exact]")).to_contain_text("± 0.55 %")
        await expect(page.locator("[data-endpoint]")).to_have_count(10)
        await expect(page.locator("[data-endpoint]").first).to_contain_text("GET /part/13/{id}")
        await expect(page.locator("[data-exact]")).to_contain_text("4 more endpoints")
        await screenshot(page, "exact")


@pytest.mark.parametrize("size", [DESKTOP, TABLET, (390, 844)])
async def test_the_panel_fits(
    house: House, visit: Visit, screenshot: Screenshot, size: tuple[int, int]
) -> None:
    """
    It moves nothing of the page, fits the screen, hides no figure, and every text can be read.
    """
    busy(house)
    await house.stored()
    page = await visit(house.url, *size)
    await expect(page.locator("#chart-latency")).to_have_attribute("data-state", "ready")
    await page.locator(SUMMARY).scroll_into_view_if_needed()
    await page.evaluate(SHIFTS)
    before = await page.evaluate("window.shifts.length")

    await page.locator(SUMMARY).press("Enter")

    await expect(page.locator("[data-endpoint]")).to_have_count(10)
    assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert (await page.evaluate("window.shifts"))[before:] == []
    box = await page.locator("[data-exact]").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= size[0]
    cut = await page.locator("[data-exact] td").evaluate_all(
        "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)"
    )
    assert cut == []
    assert await page.evaluate(FAINT) == []
    await screenshot(page, "exact-fits")


async def test_it_is_reached_and_left_by_keys(house: House, visit: Visit) -> None:
    """
    Enter opens it, Tab goes into its table, Escape closes it and goes back to where it was opened.
    """
    page = await visit(house.url)
    await page.locator(SUMMARY).focus()

    await page.keyboard.press("Enter")

    await expect(page.locator("[data-endpoint]")).to_have_count(1)
    await page.keyboard.press("Tab")
    await expect(page.locator(".exact-scroll")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("#exact")).not_to_have_attribute("open", "")
    await expect(page.locator(SUMMARY)).to_be_focused()


async def test_opened_again_it_counts_again(open_house: OpenHouse, visit: Visit) -> None:
    """
    Old figures never stand for new ones: each opening begins with waiting.
    """
    async with open_house() as house:
        house.requests(time.time(), [5.0] * 3)
        await house.stored()
        page = await visit(house.url)
        await page.locator(SUMMARY).click()
        await expect(page.locator(COUNT)).to_have_text("3")
        await page.locator(SUMMARY).click()
        house.requests(time.time(), [5.0])
        await house.stored()
        await asyncio.sleep(2)  # answers are kept that long
        asked = asyncio.Event()

        async def late(route) -> None:
            await asked.wait()
            await route.continue_()

        await page.route("**/partials/exact", late)
        await page.locator(SUMMARY).click()
        await expect(page.locator("[data-exact]")).to_have_text(
            re.compile(r"^\s*Counting every request of the last 5 minutes\s*$")
        )
        asked.set()

        await expect(page.locator(COUNT)).to_have_text("4")


async def test_no_request_is_said(empty_house: House, visit: Visit, screenshot: Screenshot) -> None:
    """
    Minutes without a request are no zeros.
    """
    page = await visit(empty_house.url)

    await page.locator(SUMMARY).click()

    await expect(page.locator("[data-exact]")).to_contain_text("No request in these 5 minutes.")
    await expect(page.locator("[data-exact] td")).to_have_count(0)
    await screenshot(page, "exact-empty")


@pytest.mark.parametrize("size", [DESKTOP, TABLET])
async def test_a_store_that_is_away_is_said(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, size: tuple[int, int]
) -> None:
    """
    While the store is down the panel says since when, and shows no figure from elsewhere. What the
    chart says of it is read whole beside the control.
    """
    async with open_house(dsn=NOWHERE) as house:
        house.fill()
        page = await visit(house.url, *size)
        await expect(page.locator("#chart-latency [data-notice]")).to_contain_text("memory holds")
        assert await page.locator("#chart-latency [data-notice]").evaluate_all(CUT) == []
        assert await page.locator("#chart-latency [data-legend] button").evaluate_all(COVERED) == []

        await page.locator(SUMMARY).click()

        said = re.compile(r"The store is unreachable since \d\d:\d\d:\d\d; exact figures need it\.")
        await expect(page.locator("[data-exact]")).to_contain_text(said)
        await expect(page.locator("[data-exact] td")).to_have_count(0)
        await screenshot(page, "exact-down")


async def test_a_server_that_is_away_is_said(house: House, visit: Visit) -> None:
    """
    When monitord itself does not answer, the panel does not wait for ever.
    """
    page = await visit(house.url)
    await page.route("**/partials/exact", lambda route: route.abort())

    with visit.forgiving("Failed to load resource|Failed to fetch"):
        await page.locator(SUMMARY).click()
        await expect(page.locator("[data-exact]")).to_contain_text("monitord does not answer")


async def test_text_from_outside_is_text(open_house: OpenHouse, visit: Visit) -> None:
    """
    A route that looks like HTML is shown as it is, and runs nothing.
    """
    evil = "/<img src=x onerror=document.title='taken'>"
    async with open_house() as house:
        now = time.time()
        house.intake.offer(Batch(now, requests=[Request(now, "shop", "GET", evil, 200, 1.0)]))
        await house.stored()
        page = await visit(house.url)

        await page.locator(SUMMARY).click()

        await expect(page.locator("[data-endpoint] th")).to_have_text(f"GET {evil} shop")
        await expect(page.locator("[data-exact] img")).to_have_count(0)
        assert "taken" not in await page.title()
