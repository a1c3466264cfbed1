"""How the page lies on the screen, whether it can be read, and what it weighs."""

from __future__ import annotations

import asyncio
import re
import time

from urllib.parse import urlsplit

import pytest

from playwright.async_api import Browser, Page, Request, expect

from tests.browser.conftest import OpenHouse, Screenshot, Visit
from tests.browser.house import NOWHERE, House


pytestmark = pytest.mark.browser

DESKTOP = (1440, 900)
TABLET = (820, 1180)
PHONE = (390, 844)
CHARTS = ("latency", "redis_memory", "postgres_connections", "system")

SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(
      [entry.value, ...entry.sources.map(source => source.node?.className ?? '')]);
  }).observe({type: 'layout-shift', buffered: true});
}"""

# Every text whose contrast with the first opaque ground behind it is less than AA asks for.
FAINT = """() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map(v => linear(v / 255));
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const c = channels(getComputedStyle(e).backgroundColor);
      if ((c[3] ?? 1) === 1) return c;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest('noscript, option')) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(channels(style.color)), light(ground(element))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) faint.push([element.className, element.textContent, ratio]);
  }
  return faint;
}"""


# The text of every element that is wider than its box, or higher than a box that hides the rest.
CUT = """all => all.filter(e =>
  e.scrollWidth > e.clientWidth + 1
  || (getComputedStyle(e).overflowY === 'hidden' && e.scrollHeight > e.clientHeight + 1)
).map(e => e.textContent.trim())"""


async def charts_ready(page: Page) -> None:
    for chart in CHARTS:
        await expect(page.locator(f"#chart-{chart}")).to_have_attribute("data-state", "ready")


@pytest.mark.parametrize("size", [DESKTOP, TABLET, (1024, 768), (390, 844)])
async def test_nothing_is_wider_than_the_screen(
    house: House, visit: Visit, screenshot: Screenshot, size: tuple[int, int]
) -> None:
    """
    No size of screen scrolls sideways, and no text of card or table is cut at desktop or tablet.
    """
    page = await visit(house.url, *size)
    await charts_ready(page)
    house.log("a line " * 100, level="ERROR")
    await expect(page.locator("[data-log] .line")).to_have_count(1)

    width = await page.evaluate("document.documentElement.scrollWidth")

    assert width <= size[0]
    cut = await page.locator("[data-row] :is(th, td), [data-card] h2").evaluate_all(
        "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)"
    )
    if size in (DESKTOP, TABLET):
        assert cut == []
        await screenshot(page, "in-use", whole=True)


def in_trouble(house: House, state: str) -> None:
    """Bring one kind of trouble whose reasons stand in cards, table and charts."""
    if state == "empty":
        return
    house.fill(without="main" if state == "down" else "")
    if state == "down":
        house.down("main", time.time())
    elif state == "slow":
        house.requests(time.time(), [2_000.0] * 900, status=500)
        house.scrape("host", time.time() + 1, system__cpu__utilization_ratio=0.95)


@pytest.mark.parametrize("size", [DESKTOP, TABLET, PHONE])
@pytest.mark.parametrize("state", ["empty", "down", "slow", "away"])
async def test_reasons_are_read_whole(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, state: str, size: tuple[int, int]
) -> None:
    """
    Why a figure is bad or unknown is never cut: not on its card, not in its row, not at its chart.
    """
    async with open_house(**({"dsn": NOWHERE} if state == "away" else {})) as house:
        in_trouble(house, state)
        if state != "away":
            await house.stored()
        page = await visit(house.url, *size)
        for chart in CHARTS:
            figure = page.locator(f"#chart-{chart}")
            await expect(figure).not_to_have_attribute("data-state", "loading")
        await screenshot(page, f"reasons-{state}", whole=True)

        reasons = ".banner-worst .clip, .foot, [data-row] th, .value, .value .muted, [data-notice]"
        cut = await page.locator(reasons).evaluate_all(CUT)

        assert cut == []


async def test_first_screen_holds_banner_cards_and_charts(house: House, visit: Visit) -> None:
    """
    At 1440 by 900 banner, cards and charts need no scrolling, and the log can be seen below them.
    """
    page = await visit(house.url, *DESKTOP)
    await charts_ready(page)

    async def bottom(selector: str) -> float:
        box = await page.locator(selector).bounding_box()
        return float(box["y"] + box["height"])

    assert await bottom(".banner") < 120
    assert await bottom("#cards") < 300
    assert await bottom(".charts") < 740
    await expect(page.locator("#log")).to_be_in_viewport(ratio=0.3)


@pytest.mark.parametrize(
    "path", ["", "itself", "traces", f"traces/{'a' * 32}", "metrics-explorer", "jobs"]
)
@pytest.mark.parametrize("size", [DESKTOP, TABLET, PHONE])
async def test_every_page_is_reached_from_each(
    empty_house: House, visit: Visit, path: str, size: tuple[int, int]
) -> None:
    """
    No part of the head lies on another one: every link of it can be clicked.
    """
    page = await visit(f"{empty_house.url}{path}", *size)

    links = page.locator(".pages a")
    await expect(links).to_have_count(4)
    for place in range(4):
        await links.nth(place).click(trial=True)
    assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("size", [DESKTOP, TABLET])
async def test_nothing_moves(house: House, visit: Visit, size: tuple[int, int]) -> None:
    """
    Neither the arrival of the charts, nor a refresh with other states, nor log lines move anything.
    """
    page = await visit("about:blank", *size)
    await page.context.add_init_script(f"({SHIFTS})()")
    await page.goto(house.url)
    await charts_ready(page)

    house.down("main", time.time())
    house.log("a line")
    await page.keyboard.press("r")
    await expect(page.locator("#card-redis_hit_rate [data-value]")).to_have_text("down")
    await asyncio.sleep(0.3)

    shifts = await page.evaluate("window.shifts")
    assert sum(shift[0] for shift in shifts) < 0.0005, shifts


@pytest.mark.parametrize("state", ["in use", "down", "empty"])
async def test_every_text_can_be_read(open_house: OpenHouse, visit: Visit, state: str) -> None:
    """
    Every text has the contrast WCAG AA asks for: 4.5 to 1, 3 to 1 for large text.
    """
    async with open_house() as house:
        if state != "empty":
            house.fill(without="main" if state == "down" else "")
        if state == "down":
            house.down("main", time.time())
        page = await visit(house.url)
        await page.locator("#log-level").select_option("")
        for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "NOTICE"):
            house.log("a line", level=level)
        await expect(page.locator("[data-log] .line")).to_have_count(6)

        faint = await page.evaluate(FAINT)

        assert faint == []


async def test_page_is_light(house: House, visit: Visit) -> None:
    """
    All that a first visit transfers is less than 350 KB, packed; none of it comes from elsewhere.
    """
    page = await visit("about:blank")
    finished: list[Request] = []
    page.on("requestfinished", lambda request: finished.append(request))
    await page.goto(house.url)
    await charts_ready(page)

    sizes = {}
    for request in finished:
        if "/logs/" not in request.url:
            sizes[request.url] = (await request.sizes())["responseBodySize"]

    assert sum(sizes.values()) < 350_000, sizes
    assert {urlsplit(url).netloc for url in sizes} == {urlsplit(house.url).netloc}


async def test_reads_without_scripts(house: House, chromium: Browser) -> None:
    """
    Without JavaScript cards, table and banner are there, and it is said what is missing.
    """
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(house.url)

    cards = await page.locator("[data-card] [data-value]").all_inner_texts()
    await expect(page.locator(".noscript")).to_contain_text("need JavaScript")
    await context.close()

    assert len([text for text in cards if re.search(r"\d", text)]) == 6
