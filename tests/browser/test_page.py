"""The page as a whole: range, time zone, refresh, keys, prefix, login."""

from __future__ import annotations

import asyncio
import re
import time

from urllib.parse import urlsplit

import pytest

from playwright.async_api import Page, Route, expect

from monitord.settings import Secret
from tests.browser.conftest import OpenHouse, Screenshot, Visit
from tests.browser.house import House


pytestmark = pytest.mark.browser

CHARTS = ("latency", "redis_memory", "postgres_connections", "system")


async def charts_ready(page: Page) -> None:
    for chart in CHARTS:
        await expect(page.locator(f"#chart-{chart}")).to_have_attribute("data-state", "ready")


async def test_range_is_in_the_address(house: House, visit: Visit) -> None:
    """
    The page begins with 15 minutes. A picked range changes address, figures and time axes; back
    goes back, and a link opens it.
    """
    page = await visit(house.url)
    await charts_ready(page)
    await expect(page.locator("#group-1 caption")).to_contain_text("last 15 min")

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
    await expect(page.locator('[data-pick="15m"]')).to_have_attribute("aria-current", "true")
    await expect(page.locator("#group-1 caption")).to_contain_text("last 15 min")
    linked = await visit(f"{house.url}?range=24h")
    await expect(linked.locator('[data-pick="24h"]')).to_have_attribute("aria-current", "true")
    await expect(linked.locator("#group-1 caption")).to_contain_text("last 24 h")


async def test_every_range_can_be_picked(
    house: House, visit: Visit, screenshot: Screenshot
) -> None:
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


async def test_times_are_in_the_zone_that_is_named(house: House, visit: Visit) -> None:
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


async def test_refresh_brings_new_figures_and_keeps_the_place(house: House, visit: Visit) -> None:
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


async def test_page_says_of_when_its_figures_are(house: House, visit: Visit) -> None:
    """
    The time beside "Live" is the figures' own, by monitord's clock, whatever the browser's is.
    """
    page = await visit(house.url)
    await page.clock.set_fixed_time(time.time() - 7_200)

    banner = page.locator("[data-banner]")
    first = await banner.get_attribute("data-generated") or ""

    await page.locator("#refresh").click()

    # The answer swaps the banner in after it has arrived; until then the old one stands there.
    await expect(banner).not_to_have_attribute("data-generated", first)
    at = await banner.get_attribute("data-generated") or ""
    await expect(page.locator("#link time")).to_have_attribute("data-unix", at)
    assert abs(float(at) - time.time()) < 60


async def test_page_has_one_heading(house: House, visit: Visit) -> None:
    """
    The page has one heading of the first rank: its name and what it watches.
    """
    page = await visit(house.url)

    await expect(page.locator("h1")).to_have_count(1)
    await expect(page.locator("h1")).to_contain_text("monitord")


async def test_series_of_the_same_name(house: House, visit: Visit) -> None:
    """
    Two series of one name are two lines of a chart that works.
    """

    async def twice(route: Route) -> None:
        answer = await route.fetch()
        data = await answer.json()
        await route.fulfill(response=answer, json=data | {"series": data["series"] * 2})

    page = await visit("about:blank")
    await page.route("**/charts/redis_memory*", twice)
    await page.goto(house.url)

    await charts_ready(page)
    await expect(page.locator("#chart-redis_memory [data-legend] li")).to_have_count(6)


async def test_page_refreshes_itself_unless_switched_off(
    open_house: OpenHouse, visit: Visit
) -> None:
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
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot
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


async def test_chart_that_cannot_be_read_says_so(
    house: House, visit: Visit, screenshot: Screenshot
) -> None:
    """
    While a chart is fetched it says loading, and if that fails it says why, in the chart.
    """
    page = await visit("about:blank")
    release = asyncio.Event()

    async def hold(route: Route) -> None:
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


async def test_help_lists_the_keys(house: House, visit: Visit, screenshot: Screenshot) -> None:
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


async def test_works_under_a_path_prefix(open_house: OpenHouse, visit: Visit) -> None:
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
        await page.goto("about:blank")


async def test_login(open_house: OpenHouse, visit: Visit, screenshot: Screenshot) -> None:
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


async def test_unknown_address_is_a_page(
    house: House, visit: Visit, screenshot: Screenshot
) -> None:
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
