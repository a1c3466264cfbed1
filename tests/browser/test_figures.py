"""Cards, table, banner and charts, as a person sees them."""

from __future__ import annotations

import re
import time

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from playwright.async_api import Page, expect

from tests.browser.conftest import OpenHouse, Screenshot, Visit
from tests.browser.house import NOWHERE, House


pytestmark = pytest.mark.browser

CARDS = 6
ROWS = 24
CHARTS = ("latency", "redis_memory", "postgres_connections", "system")

# How many pixels of a chart's canvas have a line's colour: what is not grey, on a dark ground.
PAINTED = """canvas => {
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b] = [data[i], data[i + 1], data[i + 2]];
    if (data[i + 3] > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 60) count += 1;
  }
  return count;
}"""


def local(at: float) -> str:
    """Return the time of day in the zone of the test's browser, Europe/Berlin."""
    return datetime.fromtimestamp(at, ZoneInfo("Europe/Berlin")).strftime("%H:%M:%S")


async def charts_ready(page: Page) -> None:
    for chart in CHARTS:
        await expect(page.locator(f"#chart-{chart}")).to_have_attribute("data-state", "ready")


async def test_every_figure_is_live(house: House, visit: Visit, screenshot: Screenshot) -> None:
    """
    In use, each card, each row of the table and each line of each chart shows a value.
    """
    page = await visit(house.url)

    await charts_ready(page)

    cards = await page.locator("[data-card] [data-value]").all_inner_texts()
    rows = await page.locator("[data-row] [data-value]").all_inner_texts()
    newest = await page.locator("[data-legend] output").all_inner_texts()
    assert (len(cards), len(rows)) == (CARDS, ROWS)
    assert [text for text in cards if not re.search(r"\d", text)] == []
    assert [text for text in rows if not re.search(r"\d|yes", text)] == []
    assert len(newest) >= 4 + 3 + 3 + 3
    assert [text for text in newest if not re.search(r"\d", text)] == []
    await screenshot(page, "full")
    await screenshot(page, "full-page", whole=True)


async def test_charts_are_drawn(house: House, visit: Visit) -> None:
    """
    Each chart has lines on its canvas.
    """
    page = await visit(f"{house.url}?range=15m")

    await charts_ready(page)

    for chart in CHARTS:
        painted = await page.locator(f"#chart-{chart} canvas").evaluate(PAINTED)
        assert painted > 200, chart


async def test_values_are_those_that_came_in(house: House, visit: Visit) -> None:
    """
    What was scraped stands in the page with its unit.
    """
    page = await visit(house.url)

    await expect(page.locator("#card-redis_hit_rate [data-value]")).to_have_text("93.0%")
    await expect(page.locator("#card-system_cpu [data-value]")).to_have_text("37.0%")
    await expect(page.locator("#row-redis_keys [data-value]")).to_have_text("18,234")
    await expect(page.locator("#row-postgres_connections_total [data-value]")).to_contain_text(
        "18 of 100"
    )
    await expect(page.locator("[data-banner]")).to_have_attribute("data-banner", "ok")


async def test_down_target_says_since_when(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot
) -> None:
    """
    A target that is down shows no number, least of all zero, but since when it is down and why.
    """
    since = time.time() - 250
    async with open_house() as house:
        house.fill(without="main")
        house.down("main", since)
        await house.stored()

        page = await visit(house.url)

        await expect(page.locator("[data-banner]")).to_have_attribute("data-banner", "critical")
        banner = page.locator(".banner-worst")
        await expect(banner).to_contain_text("Redis main: connection refused")
        await expect(banner).to_contain_text(f"since {local(since)}")
        card = page.locator("#card-redis_hit_rate")
        await expect(card).to_contain_text("down")
        await expect(card).to_contain_text(f"since {local(since)}")
        await expect(page.locator("#chart-redis_memory [data-notice]")).to_contain_text(
            f"down since {local(since)}"
        )
        rows = await page.locator('[data-row^="redis_"] [data-value]').all_inner_texts()
        assert rows == [f"down since {local(since)}"] * 7
        await expect(page).to_have_title(re.compile("^✕ 1 problem"))
        await screenshot(page, "down")
        await page.locator(".banner summary").click()
        await expect(page.locator(".problems")).to_contain_text("start the server")
        await screenshot(page, "down-problems")


async def test_target_that_went_down_leaves_a_gap(house: House, visit: Visit) -> None:
    """
    After an outage the legend gives no old value as the newest one, and the card no value at all.
    """
    page = await visit(house.url)
    await charts_ready(page)
    house.down("main", time.time())

    await page.keyboard.press("r")

    await expect(page.locator("#card-redis_hit_rate [data-value]")).to_have_text("down")
    await expect(page.locator("#chart-redis_memory")).to_have_attribute("data-down", "")


async def test_empty_store_shows_no_zeros(
    empty_house: House, visit: Visit, screenshot: Screenshot
) -> None:
    """
    Before the first reading every value is a dash with its reason, every chart says it is empty.
    """
    page = await visit(empty_house.url)

    for chart in CHARTS:
        panel = page.locator(f"#chart-{chart}")
        await expect(panel).to_have_attribute("data-state", "empty")
        await expect(panel.locator("[data-message]")).to_have_text("No samples in the last 15 min")
    cards = await page.locator("[data-card] [data-value]").all_inner_texts()
    rows = await page.locator("[data-row] [data-value]").all_inner_texts()
    counted = {"api_request_count", "api_requests_per_second", "api_error_count"}
    shown = page.locator("[data-row]")
    names = await shown.evaluate_all("rows => rows.map(row => row.dataset.row)")
    assert cards == ["—"] * CARDS
    for name, text in zip(names, rows, strict=True):
        assert text.startswith("—") or name in counted, (name, text)
    await expect(page.locator("#card-system_cpu")).to_contain_text("no reading yet")
    await screenshot(page, "empty")


async def test_dead_store_leaves_the_live_view(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot
) -> None:
    """
    While the store does not answer, figures and charts come from memory, and the page says so.
    """
    async with open_house(dsn=NOWHERE) as house:
        house.fill()

        page = await visit(house.url)

        await charts_ready(page)
        await expect(page.locator("#card-system_cpu [data-value]")).to_have_text("37.0%")
        await expect(page.locator("#lamp-store")).to_have_attribute("data-store", "critical")
        await expect(page.locator("[data-banner]")).to_contain_text("Store")
        await expect(page.locator("#chart-system [data-notice]")).to_contain_text("memory")
        await screenshot(page, "store-down")


async def test_banner_says_the_worst_first(open_house: OpenHouse, visit: Visit) -> None:
    """
    Of several values beyond their limits the worst stands first, with its limit and since when.
    """
    async with open_house() as house:
        house.fill()
        now = time.time()
        for at in range(int(now) - 120, int(now) + 1, 10):
            house.scrape(
                "host",
                at + 0.5,
                system__cpu__utilization_ratio=0.95,
                system__memory__utilization_ratio=0.75,
            )
        await house.stored()

        page = await visit(house.url)

        await expect(page.locator("[data-banner]")).to_have_attribute("data-banner", "critical")
        await expect(page.locator(".banner-worst")).to_contain_text("CPU")
        await expect(page.locator(".banner-worst")).to_contain_text("since")
        await expect(page.locator(".banner-next")).to_contain_text("emory")
        await expect(page.locator("#card-system_cpu")).to_have_attribute("data-state", "critical")
        await expect(page.locator("#card-system_memory .state")).to_have_text("Warning")


async def test_failed_requests_are_not_well(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot
) -> None:
    """
    While many requests fail, the banner says so and since when, whatever range is picked.
    """
    async with open_house() as house:
        house.fill()
        begun = time.time()
        house.requests(begun, [12.0] * 60, status=500)
        await house.stored()

        for picked in ("15m", "30d"):
            page = await visit(f"{house.url}?range={picked}")

            await expect(page.locator("[data-banner]")).to_have_attribute("data-banner", "critical")
            worst = page.locator(".banner-worst")
            await expect(worst).to_contain_text("API: Error rate")
            await expect(worst).to_contain_text("in the last 5 min, above 5 %")
            since = await worst.locator("time").get_attribute("data-unix") or ""
            assert begun - 0.001 <= float(since) <= time.time()
        await screenshot(page, "errors")


async def test_what_is_not_configured_takes_a_line(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot
) -> None:
    """
    Without a Redis and a PostgreSQL target one line each says how to get one; no dead row, card or
    chart.
    """
    async with open_house(names=["host"]) as house:
        house.fill()
        await house.stored()

        page = await visit(house.url)

        await expect(page.locator("#rows .absent")).to_have_text(
            [
                "No Redis target is configured \u2013 add one under targets: in monitord.yaml",
                "No PostgreSQL target is configured \u2013 add one under targets: in monitord.yaml",
            ]
        )
        await expect(page.locator("[data-card]")).to_have_count(4)
        await expect(page.locator("[data-row]")).to_have_count(11)
        await expect(page.locator("#cards")).to_contain_text("Redis hit rate, PostgreSQL cache hit")
        await expect(page.locator("[data-chart]:visible")).to_have_count(2)
        await expect(page.locator("#chart-system")).to_have_attribute("data-state", "ready")
        await expect(page.locator(".banner-next")).to_contain_text("All 11 figures are known")
        await screenshot(page, "not-configured", whole=True)
        await page.set_viewport_size({"width": 820, "height": 1180})
        titles = page.locator("[data-card] h2")
        cut = "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)"
        assert await titles.evaluate_all(cut) == []
        await screenshot(page, "not-configured", whole=True)


async def test_counts_in_legends_are_whole(open_house: OpenHouse, visit: Visit) -> None:
    """
    A step of a chart is an average, such as 3.4 connections; the legend shows whole ones.
    """
    async with open_house() as house:
        now = int(time.time())
        for at in range(now - 300, now + 1, 10):
            house.scrape("orders", at, **{"postgres.connections state=active": 3.4})
        await house.stored()

        page = await visit(house.url)

        chart = page.locator("#chart-postgres_connections")
        await expect(chart).to_have_attribute("data-state", "ready")
        assert await chart.locator("output").all_inner_texts() == ["3", "14", "82"]
        await expect(chart.locator("[data-unit]")).to_have_text("averages of 15 s, rounded")


async def test_legend_hides_a_line(house: House, visit: Visit) -> None:
    """
    A click on a name in the legend hides its line; the choice outlives a refresh.
    """
    page = await visit(house.url)
    await charts_ready(page)
    button = page.locator("#chart-latency [data-legend] button", has_text="P99")

    await button.click()
    await page.keyboard.press("r")

    await expect(button).to_have_attribute("aria-pressed", "false")
    await expect(button).to_be_focused()


async def test_hover_reads_all_charts_at_one_instant(
    house: House, visit: Visit, screenshot: Screenshot
) -> None:
    """
    With the pointer in one chart, the legends of all of them show the values of that instant.
    """
    page = await visit(f"{house.url}?range=1h")
    await charts_ready(page)
    latency = page.locator("#chart-latency output").nth(2)
    newest = await latency.inner_text()

    box = await page.locator("#chart-system canvas").bounding_box()
    await page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)

    # Data begin fourteen minutes ago: at this point of an hour's chart there were none.
    await expect(latency).to_have_text("—")
    await screenshot(page, "hover")
    await page.mouse.move(box["x"] + 200, 2)
    await expect(latency).to_have_text(newest)
