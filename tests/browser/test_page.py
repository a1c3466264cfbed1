"""The page as a whole: layout, range, time zone, refresh, keys, login, and what it weighs."""

from __future__ import annotations

import asyncio
import re
import time

from typing import Any
from urllib.parse import urlsplit

import pytest

from playwright.async_api import expect

from monitord.settings import Secret


pytestmark = pytest.mark.browser

DESKTOP = (1440, 900)
TABLET = (820, 1180)
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


async def charts_ready(page: Any) -> None:
    for chart in CHARTS:
        await expect(page.locator(f"#chart-{chart}")).to_have_attribute("data-state", "ready")


@pytest.mark.parametrize("size", [DESKTOP, TABLET, (1024, 768), (390, 844)])
async def test_nothing_is_wider_than_the_screen(
    house: Any, visit: Any, screenshot: Any, size: tuple[int, int]
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


async def test_first_screen_holds_banner_cards_and_charts(house: Any, visit: Any) -> None:
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


@pytest.mark.parametrize("size", [DESKTOP, TABLET])
async def test_nothing_moves(house: Any, visit: Any, size: tuple[int, int]) -> None:
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
    assert sum(shift[0] for shift in shifts) < 0.005, shifts


@pytest.mark.parametrize("state", ["in use", "down", "empty"])
async def test_every_text_can_be_read(open_house: Any, visit: Any, state: str) -> None:
    """
    Every text has the contrast WCAG AA asks for: 4.5 to 1, 3 to 1 for large text.
    """
    async with open_house() as house:
        if state != "empty":
            house.fill(without="main" if state == "down" else "")
        if state == "down":
            house.down("main", time.time())
        page = await visit(house.url)
        for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "NOTICE"):
            house.log("a line", level=level)
        await expect(page.locator("[data-log] .line")).to_have_count(6)

        faint = await page.evaluate(FAINT)

        assert faint == []


async def test_range_is_in_the_address(house: Any, visit: Any) -> None:
    """
    A picked range changes address, figures and time axes; back goes back, and a link opens it.
    """
    page = await visit(house.url)
    await charts_ready(page)
    await expect(page.locator("#group-1 caption")).to_contain_text("last 1 h")

    async with page.expect_response(re.compile(r"/charts/latency\?range=6h")):
        await page.locator('[data-pick="6h"]').click()

    assert page.url.endswith("?range=6h")
    await expect(page.locator('[data-pick="6h"]')).to_have_attribute("aria-current", "true")
    await expect(page.locator("#group-1 caption")).to_contain_text("last 6 h")
    await charts_ready(page)
    await expect(page.locator("#chart-latency [data-plot]")).to_have_attribute(
        "aria-label", re.compile("last 6 h")
    )
    await page.go_back()
    await expect(page.locator('[data-pick="1h"]')).to_have_attribute("aria-current", "true")
    await expect(page.locator("#group-1 caption")).to_contain_text("last 1 h")
    linked = await visit(f"{house.url}?range=15m")
    await expect(linked.locator('[data-pick="15m"]')).to_have_attribute("aria-current", "true")
    await expect(linked.locator("#group-1 caption")).to_contain_text("last 15 min")


async def test_every_range_can_be_picked(house: Any, visit: Any, screenshot: Any) -> None:
    """
    From 15 minutes to 30 days each range draws its charts.
    """
    page = await visit(house.url)
    for place, name in enumerate(("15m", "1h", "6h", "24h", "7d", "30d")):
        await page.keyboard.press(str(place + 1))

        await expect(page.locator(f'[data-pick="{name}"]')).to_have_attribute(
            "aria-current", "true"
        )
        await charts_ready(page)
        await screenshot(page, f"range-{name}")


async def test_times_are_in_the_zone_that_is_named(house: Any, visit: Any) -> None:
    """
    Times are in the browser's zone or in UTC, as the button says; the choice is kept.
    """
    page = await visit(house.url, zone="Asia/Tokyo")
    at = page.locator("#link time")
    zone = page.locator("[data-zone]")
    await expect(zone).to_have_text("Asia/Tokyo UTC+9")
    tokyo = await at.inner_text()

    await page.keyboard.press("t")

    await expect(zone).to_have_text("UTC")
    utc = await at.inner_text()
    assert (int(tokyo[:2]) - int(utc[:2])) % 24 == 9
    assert tokyo[2:] == utc[2:]
    await page.reload()
    await expect(zone).to_have_text("UTC")


async def test_refresh_brings_new_figures_and_keeps_the_place(house: Any, visit: Any) -> None:
    """
    A refresh by hand renews the figures; focus, scroll position and open details stay.
    """
    page = await visit(house.url)
    await charts_ready(page)
    await page.locator("#lamp-1 summary").click()
    await page.mouse.move(0, 0)
    await page.evaluate("scrollTo(0, 300)")
    await page.locator("#log-pause").focus()

    house.scrape("main", time.time() + 1, redis__clients__connected=77)
    await page.locator("#log-pause").press("r")

    await expect(page.locator("#row-redis_clients [data-value]")).to_have_text("77")
    await expect(page.locator("#log-pause")).to_be_focused()
    assert await page.evaluate("scrollY") == 300
    await expect(page.locator("#lamp-1")).to_have_attribute("open", "")


async def test_page_refreshes_itself_unless_switched_off(open_house: Any, visit: Any) -> None:
    """
    The page renews itself every few seconds as set; switched off it does not, also after a reload.
    """
    async with open_house(refresh=1.0) as house:
        house.fill(minutes=2)
        page = await visit(house.url)
        house.scrape("main", time.time() + 1, redis__clients__connected=41)
        await expect(page.locator("#row-redis_clients [data-value]")).to_have_text("41")

        await page.locator("#every").select_option("0")
        await expect(page.locator(".link-word")).to_have_text("Refresh off")
        await page.reload()
        await expect(page.locator(".link-word")).to_have_text("Refresh off")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await asyncio.sleep(2.5)

        assert [url for url in asked if "/partials/" in url] == []


async def test_page_that_gets_no_answer_says_so(
    open_house: Any, visit: Any, screenshot: Any
) -> None:
    """
    When monitord is gone, the page says since when and how old its figures are, until it is back.
    """
    async with open_house() as house:
        house.fill(minutes=2)
        page = await visit(house.url)
        await charts_ready(page)
        port = house.server.port

    with visit.forgiving("ERR_CONNECTION_REFUSED|Failed to fetch|htmx:error"):
        await page.keyboard.press("r")

        await expect(page.locator("#lost")).to_contain_text("monitord does not answer since")
        await expect(page.locator("#lost")).to_contain_text("What stands here is from")
        await expect(page.locator(".link-word")).to_have_text("No answer")
        await screenshot(page, "lost")
        async with open_house(port=port) as again:
            again.fill(minutes=2)
            await page.keyboard.press("r")
            await expect(page.locator("#lost")).to_be_hidden()
            await expect(page.locator(".link-word")).to_have_text("Live")
            await page.goto("about:blank")


async def test_chart_that_cannot_be_read_says_so(house: Any, visit: Any, screenshot: Any) -> None:
    """
    While a chart is fetched it says loading, and if that fails it says why, in the chart.
    """
    page = await visit("about:blank")
    release = asyncio.Event()

    async def hold(route: Any) -> None:
        await release.wait()
        await route.abort()

    await page.route("**/api/v1/charts/system*", hold)
    await page.goto(house.url)
    panel = page.locator("#chart-system")
    await expect(panel).to_have_attribute("data-state", "loading")
    await expect(panel.locator("[data-message]")).to_have_text("Loading")
    await screenshot(page, "loading")
    with visit.forgiving("ERR_FAILED"):
        release.set()

        await expect(panel).to_have_attribute("data-state", "error")
        await expect(panel.locator("[data-message]")).to_contain_text("monitord does not answer")
    await expect(page.locator("#chart-latency")).to_have_attribute("data-state", "ready")


async def test_help_lists_the_keys(house: Any, visit: Any, screenshot: Any) -> None:
    """
    `?` opens the list of keys, Escape closes it; keys typed into a field are text.
    """
    page = await visit(house.url)

    await page.keyboard.press("?")

    await expect(page.locator("#keys")).to_be_visible()
    await screenshot(page, "help")
    await page.keyboard.press("Escape")
    await expect(page.locator("#keys")).to_be_hidden()
    await page.keyboard.press("/")
    await page.keyboard.type("prt?")
    await expect(page.locator("#log-text")).to_have_value("prt?")
    await expect(page.locator("#log-pause")).to_have_attribute("aria-pressed", "false")


async def test_works_under_a_path_prefix(open_house: Any, visit: Any) -> None:
    """
    Behind a proxy that serves it under a prefix, assets, refresh, charts and log all work.
    """
    async with open_house(base_path="/monitor") as house:
        house.fill()
        await house.stored()
        assert house.url.endswith("/monitor/")
        page = await visit(house.url)

        await charts_ready(page)
        house.log("a line")
        house.scrape("main", time.time() + 1, redis__clients__connected=55)
        await page.keyboard.press("r")

        await expect(page.locator("[data-log] .line")).to_have_count(1)
        await expect(page.locator("#row-redis_clients [data-value]")).to_have_text("55")


async def test_login(open_house: Any, visit: Any, screenshot: Any) -> None:
    """
    With a token set the page asks for it, says when it is wrong, opens, and can be left again.
    """
    async with open_house(read_tokens=(Secret("correct-horse-battery-staple"),)) as house:
        house.fill(minutes=2)
        page = await visit(f"{house.url}?range=6h")
        assert urlsplit(page.url).path == "/login"
        with visit.forgiving("401"):
            await page.locator("#token").fill("wrong")
            await page.keyboard.press("Enter")
            await expect(page.locator("#why")).to_be_visible()
        await screenshot(page, "login")

        await page.locator("#token").fill("correct-horse-battery-staple")
        await page.keyboard.press("Enter")

        await expect(page.locator("[data-card]")).to_have_count(6)
        assert page.url.endswith("?range=6h")
        await expect(page.locator("[data-log-state]")).to_have_text("Live")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.locator("#token")).to_be_visible()


async def test_unknown_address_is_a_page(house: Any, visit: Any, screenshot: Any) -> None:
    """
    An address that does not exist answers with a page that leads back.
    """
    page = await visit("about:blank")
    with visit.forgiving("404"):
        await page.goto(f"{house.url}nothing")

        await expect(page.locator("h1")).to_contain_text("404")
    await screenshot(page, "error")
    await page.get_by_role("link", name="To the page").click()
    await expect(page.locator("[data-card]")).to_have_count(6)


async def test_page_is_light(house: Any, visit: Any) -> None:
    """
    All that a first visit transfers is less than 350 KB, packed; none of it comes from elsewhere.
    """
    page = await visit("about:blank")
    finished: list[Any] = []
    page.on("requestfinished", lambda request: finished.append(request))
    await page.goto(house.url)
    await charts_ready(page)

    sizes = {}
    for request in finished:
        if "/logs/" not in request.url:
            sizes[request.url] = (await request.sizes())["responseBodySize"]

    assert sum(sizes.values()) < 350_000, sizes
    assert {urlsplit(url).netloc for url in sizes} == {urlsplit(house.url).netloc}


async def test_reads_without_scripts(house: Any, chromium: Any) -> None:
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
