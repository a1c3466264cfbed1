"""What people did, as marks on the charts."""

from __future__ import annotations

import re
import time

from urllib.parse import urlencode

import pytest

from playwright.async_api import Locator, Page, expect

from monitord.model import Annotation
from tests.browser.conftest import OpenHouse, Screenshot, Visit
from tests.browser.house import NOWHERE, House
from tests.browser.test_figures import CHARTS, charts_ready


pytestmark = pytest.mark.browser

MARKED = re.compile(r"; marks: v4\.2 deployed$")

# The pixels of a canvas, read from a copy: reading it often would change how the browser keeps it.
PIXELS = """
  const made = new OffscreenCanvas(canvas.width, canvas.height);
  const copy = made.getContext('2d', {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const {data, width, height} = copy.getImageData(0, 0, canvas.width, canvas.height);
"""

# Each column that is a mark: a third of it or more, dashes and gaps, is of its grey.
MARKS = f"""canvas => {{ {PIXELS}
  const found = [];
  for (let x = 62; x < width - 20; x += 1) {{
    let count = 0;
    for (let y = 8; y < height - 24; y += 1) {{
      const of = [110, 118, 129].map((light, i) => Math.abs(data[4 * (y * width + x) + i] - light));
      if (Math.max(...of) < 26) count += 1;
    }}
    if (count > (height - 32) * .3) found.push(x);
  }}
  return found;
}}"""

# Each column with text in the rows of the names, which are the first ones of the plot.
NAMED = f"""canvas => {{ {PIXELS}
  const found = [];
  for (let x = 64; x < width - 24; x += 1) {{
    let count = 0;
    for (let y = 10; y < 20; y += 1) if (data[4 * (y * width + x)] > 70) count += 1;
    if (count) found.push(x);
  }}
  return found;
}}"""


def together(columns: list[int], gap: int = 3) -> list[list[int]]:
    """Return columns in groups: one of a group is at most so far from the one before."""
    groups: list[list[int]] = []
    for column in columns:
        if not groups or column - groups[-1][-1] > gap:
            groups.append([])
        groups[-1].append(column)
    return groups


def canvas(page: Page, chart: str) -> Locator:
    return page.locator(f"#chart-{chart} canvas")


async def named(page: Page, chart: str) -> list[int]:
    """Return the columns with text of a name in them; a mark itself is none."""
    marks = set(await canvas(page, chart).evaluate(MARKS))
    return [x for x in await canvas(page, chart).evaluate(NAMED) if x not in marks]


async def marked(page: Page, chart: str, count: int) -> list[int]:
    """Return the first column of each mark, when there are as many as there should be."""
    seen: list[list[int]] = []
    for _ in range(100):
        seen = together(await canvas(page, chart).evaluate(MARKS))
        if len(seen) == count:
            break
        await page.wait_for_timeout(50)
    assert len(seen) == count, (chart, seen)
    return [group[0] for group in seen]


def deployed(house: House, *ago: float, title: str = "v4.2 deployed") -> float:
    """Offer deploys of so many seconds ago; return when the first was, Unix seconds."""
    now = time.time()
    house.events(*(Annotation(now - seconds, title, "shop", "deploy") for seconds in ago))
    return now - ago[0]


async def test_a_mark_is_on_every_chart(house: House, visit: Visit, screenshot: Screenshot) -> None:
    """
    What people did is a line on each chart of the overview, at the same instant, and told in words.
    """
    at = deployed(house, 400)
    await house.stored()
    page = await visit(house.url)
    await charts_ready(page)

    for chart in CHARTS:
        [column] = await marked(page, chart, 1)
        box = await canvas(page, chart).bounding_box()
        share = (column - 62) / (box["width"] - 84)
        drawn = await (await page.request.get(f"{house.url}api/v1/charts/{chart}?range=15m")).json()
        expected = (at - drawn["start"]) / (drawn["end"] - drawn["start"])
        # A step may have begun since it was drawn, of a minute at most.
        assert share == pytest.approx(expected, abs=0.08)
        plot = page.locator(f"#chart-{chart} [data-plot]")
        await expect(plot).to_have_attribute("aria-label", MARKED)
    await screenshot(page, "marks")


async def test_a_mark_that_is_made_appears(house: House, visit: Visit) -> None:
    """
    A mark made while the page is open is there after a refresh.
    """
    page = await visit(house.url)
    await charts_ready(page)
    await marked(page, "latency", 0)

    deployed(house, 300)
    await house.stored()
    await page.keyboard.press("r")

    await marked(page, "latency", 1)


async def test_a_name_does_not_cross_its_line(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot
) -> None:
    """
    A name stands beside its line: on its right, and at the end of the chart on its left.
    """
    async with open_house() as house:
        deployed(house, 700, 20)
        await house.stored()
        page = await visit(house.url)
        await expect(page.locator("#chart-system")).to_have_attribute("data-state", "empty")

        first, last = await marked(page, "system", 2)
        names = await named(page, "system")

        assert [x for x in names if abs(x - first) <= 2 or abs(x - last) <= 2] == []
        assert [x for x in names if first < x < first + 90]
        assert [x for x in names if last - 90 < x < last]
        assert [x for x in names if x < first or x > last] == []
        await screenshot(page, "marks-names")


async def test_names_do_not_lie_upon_one_another(open_house: OpenHouse, visit: Visit) -> None:
    """
    Of two marks close to each other the name that has room is there, and both lines are.
    """
    async with open_house() as house:
        deployed(house, 500, 470)
        await house.stored()
        page = await visit(house.url)

        first, last = await marked(page, "system", 2)
        names = await named(page, "system")

        assert [x for x in names if first - 90 < x < last] == []
        assert [x for x in names if x > last]


async def test_many_marks_are_lines_without_names(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot
) -> None:
    """
    More marks than have room for names are lines alone.
    """
    async with open_house() as house:
        deployed(house, *range(60, 860, 80))
        await house.stored()
        page = await visit(house.url)

        await marked(page, "system", 10)

        assert await named(page, "system") == []
        await screenshot(page, "marks-many")


async def test_hostile_titles_break_nothing(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot
) -> None:
    """
    A long title with markup, from right to left, is cut beside its line and whole in words.
    """
    async with open_house() as house:
        deployed(house, 400, title="<script>window.hurt=1</script>\u202e" + "x" * 300)
        await house.stored()
        page = await visit(house.url)

        await marked(page, "system", 1)

        label = await page.locator("#chart-system [data-plot]").get_attribute("aria-label") or ""
        assert "marks: <script>window.hurt=1</script>\\u202ex" in label
        assert await page.evaluate("window.hurt") is None
        assert await page.evaluate("document.documentElement.scrollWidth") <= 1440
        box = await canvas(page, "system").bounding_box()
        [column] = await marked(page, "system", 1)
        await page.mouse.move(box["x"] + column, box["y"] + 60)
        await screenshot(page, "marks-hostile")


async def test_marks_are_on_explored_charts(house: House, visit: Visit) -> None:
    """
    The charts of any metric have the same marks.
    """
    deployed(house, 400)
    await house.stored()
    query = urlencode({"q": ["redis.keys", "system.cpu.count"]}, doseq=True)
    page = await visit(f"{house.url}metrics-explorer?{query}")

    figures = page.locator("#drawn figure")
    await expect(page.locator("#drawn [data-state='ready']")).to_have_count(2)
    for place in range(2):
        plot = figures.nth(place).locator("[data-plot]")
        await expect(plot).to_have_attribute("aria-label", MARKED)
        assert len(together(await plot.locator("canvas").evaluate(MARKS))) == 1


async def test_without_the_store_charts_have_no_marks(open_house: OpenHouse, visit: Visit) -> None:
    """
    Marks are in the store alone: while it is away nobody asks for them in vain.
    """
    async with open_house(dsn=NOWHERE) as house:
        house.fill()
        page = await visit("about:blank")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(house.url)
        await charts_ready(page)

        await expect(page.locator("#chart-system [data-notice]")).to_contain_text("memory")
        assert [url for url in asked if "annotations" in url] == []
