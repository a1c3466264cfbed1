"""The page of all metrics: what is found, drawn, and kept in its address."""

from __future__ import annotations

import re
import time

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from playwright.async_api import Locator, Page, expect

from monitord.model import Metric
from tests.browser.conftest import OpenHouse, Screenshot, Visit
from tests.browser.house import House
from tests.browser.test_layout import CUT, DESKTOP, FAINT, NOWHERE, PHONE, TABLET
from tests.browser.test_traces import HOSTILE


pytestmark = pytest.mark.browser

# Every sign of the address' own form, in a name and in labels.
ODD = "odd{name},with:colon@p99 100%"
ODD_LABELS = {"a{b}": "c,d:e@f", "x:y": "<b>1</b>", "share": "50%"}


def picked(page: Page) -> list[str]:
    return parse_qs(urlsplit(page.url).query).get("q", [])


def entry(page: Page, name: str, note: str) -> Locator:
    """Return what can be picked: a metric, with some of its labels or its number of series."""
    of_name = page.locator(
        "#found button", has=page.locator("b", has_text=re.compile(f"^{re.escape(name)}$"))
    )
    return of_name.filter(has_text=note)


def pushed(house: House, name: str, labels: dict[str, str], value: float = 3.0, **of: str) -> None:
    now = int(time.time())
    house.events(
        *(
            Metric(at, name, value, "shop", attributes=labels, **of)
            for at in range(now - 300, now, 10)
        )
    )


async def ready(page: Page, count: int) -> None:
    await expect(page.locator("#drawn [data-state='ready']")).to_have_count(count)


@pytest.mark.parametrize("size", [DESKTOP, TABLET, PHONE])
@pytest.mark.parametrize("state", ["full", "empty"])
async def test_it_is_read_whole(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, state: str, size: tuple[int, int]
) -> None:
    """
    With series and without any the page fits its screen, and every text can be read.
    """
    async with open_house() as house:
        if state == "full":
            house.fill()
            await house.stored()
        page = await visit(f"{house.url}metrics-explorer", *size)
        if state == "empty":
            await expect(page.locator("#found-state")).to_have_text("No series yet")
            await expect(page.locator("#nothing")).to_contain_text("Nothing is drawn yet")
        else:
            await entry(page, "redis.memory.used_bytes", "main").click()
            await entry(page, "postgres.connections", "2 series").click()
            await entry(page, "redis.keyspace.hits", "main").click()
            await ready(page, 3)
            await expect(page.locator("#nothing")).to_be_hidden()

        await screenshot(page, f"explorer-{state}", whole=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert await page.locator("figcaption h2, #found b, .finder-state").evaluate_all(CUT) == []
        assert await page.evaluate(FAINT) == []


async def test_what_is_picked_is_in_the_address(house: House, visit: Visit) -> None:
    """
    Charts are searched, picked, asked for another aggregate and removed; the address keeps them.
    """
    page = await visit(f"{house.url}metrics-explorer?range=1h")

    await page.keyboard.press("/")
    await page.keyboard.type("redis.memory")
    await expect(page.locator("#found-state")).to_have_text("3 series")
    used = entry(page, "redis.memory.used_bytes", "main")
    await used.focus()
    await page.keyboard.press("Enter")
    await ready(page, 1)
    await expect(used).to_have_attribute("aria-pressed", "true")
    await expect(used).to_be_focused()
    await page.get_by_label("Name or label").fill("state:active")
    await entry(page, "postgres.connections", "state:active").click()
    await ready(page, 2)
    await page.locator("figure").first.locator("[data-aggregate]").select_option("max")
    await expect(page.locator("figure [data-unit]").first).to_have_text("bytes, max of each 15 s")

    kept = [
        "redis.memory.used_bytes{target:main}@max",
        "postgres.connections{state:active,target:orders}",
    ]
    assert picked(page) == kept
    await page.reload()
    await ready(page, 2)
    assert picked(page) == kept
    assert await page.locator("figure h2 b").all_inner_texts() == [
        "redis.memory.used_bytes",
        "postgres.connections",
    ]
    await expect(page.locator("figure [data-aggregate]").first).to_have_value("max")
    await expect(page.locator("figure output").first).to_have_text("31.0 MiB")
    await expect(page.locator('[data-pick="1h"]')).to_have_attribute("aria-current", "true")

    await page.get_by_label("Remove redis.memory.used_bytes").press("Enter")
    await ready(page, 1)
    await expect(page.get_by_label("Remove postgres.connections")).to_be_focused()
    assert picked(page) == kept[1:]
    await entry(page, "postgres.connections", "state:active").click()
    await expect(page.locator("#nothing")).to_be_visible()
    assert picked(page) == []


@pytest.mark.parametrize("size", [DESKTOP, TABLET])
async def test_any_name_and_label_works(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, size: tuple[int, int]
) -> None:
    """
    Names and labels with signs the address has a use for are found, drawn, and found again.
    """
    async with open_house() as house:
        pushed(house, ODD, ODD_LABELS)
        pushed(house, ODD, {**ODD_LABELS, "x:y": "other"}, 9.0)
        await house.stored()
        page = await visit(f"{house.url}metrics-explorer", *size)

        await page.get_by_label("Name or label").fill("with:colon")
        await expect(page.locator("#found-state")).to_have_text("2 series")
        await entry(page, ODD, "x:y:<b>1</b>").click()
        await ready(page, 1)
        await expect(page.locator("figure output")).to_have_text(["3.00"])
        await page.reload()
        await ready(page, 1)

        await expect(page.locator("figure h2 b")).to_have_text(ODD)
        await expect(page.locator("figure output")).to_have_text(["3.00"])
        await expect(page.locator("#found [aria-pressed='true']")).to_have_count(1)
        assert await page.locator("#drawn b b").count() == 0
        await screenshot(page, "explorer-odd")


@pytest.mark.parametrize("size", [DESKTOP, TABLET])
async def test_hostile_texts_stay_text(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, size: tuple[int, int]
) -> None:
    """
    A name with markup, or a long one, is text in the list and in the chart, and widens nothing.
    """
    async with open_house() as house:
        name = HOSTILE[:180]
        pushed(house, name, {"path": HOSTILE, "b": "\u202eright to left"})
        await house.stored()
        page = await visit(f"{house.url}metrics-explorer", *size)
        await page.locator("#found button").first.click()

        await ready(page, 1)

        await expect(page.locator("figure h2")).to_contain_text("<script>window.hurt")
        await expect(page.locator("#found")).to_contain_text("\\u202e")
        assert await page.locator("main script, main img").count() == 0
        assert await page.evaluate("window.hurt") is None
        assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
        await expect(page.locator("figure [data-remove]")).to_be_in_viewport()
        await page.locator("figure [data-remove]").click(trial=True)
        await screenshot(page, "explorer-hostile")


async def test_more_series_than_are_shown_are_counted(open_house: OpenHouse, visit: Visit) -> None:
    """
    Of more than 500 series the list says how many it leaves out.
    """
    async with open_house() as house:
        now = time.time()
        house.events(*(Metric(now, f"many.{n:03}", 1.0, "shop") for n in range(512)))
        await house.stored()
        page = await visit(f"{house.url}metrics-explorer")

        said = page.locator("#found-state")
        await expect(said).to_have_text("500 series, 12 more: narrow it down")
        await page.get_by_label("Name or label").fill("many.51")
        await expect(said).to_have_text("2 series")
        await page.get_by_label("Name or label").fill("nothing such")
        await expect(said).to_have_text("No series has that in its name or labels")


async def test_many_lines_leave_room_for_the_plot(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot
) -> None:
    """
    A chart of more series than can be drawn says so, and its legend does not push the plot away.
    """
    async with open_house() as house:
        now = time.time()
        house.events(
            *(Metric(now, "queue", n, "shop", attributes={"n": f"{n:03}"}) for n in range(120))
        )
        await house.stored()
        page = await visit(f"{house.url}metrics-explorer?{urlencode({'q': 'queue'})}")

        await ready(page, 1)

        await expect(page.locator("[data-notice]")).to_have_text("100 series at most are drawn")
        await expect(page.locator("figure [data-plot]")).to_be_in_viewport(ratio=1)
        await screenshot(page, "explorer-many")


async def test_percentiles_are_of_histograms(open_house: OpenHouse, visit: Visit) -> None:
    """
    A gauge offers no percentile, a histogram does, and the sum stands for a counter.
    """
    async with open_house() as house:
        pushed(house, "depth", {})
        pushed(house, "sent", {}, kind="counter")
        pushed(house, "took", {}, kind="histogram", unit="ms")
        await house.stored()
        page = await visit(f"{house.url}metrics-explorer")
        for name in ("depth", "sent", "took"):
            await entry(page, name, "service:shop").click()

        await ready(page, 3)

        p95 = page.locator("figure option", has_text="p95")
        await expect(p95.nth(0)).to_be_disabled()
        await expect(p95.nth(2)).to_be_enabled()
        await expect(page.locator("[data-aggregate]").nth(1)).to_have_value("sum")
        assert picked(page) == [
            "depth{service:shop}",
            "sent{service:shop}@sum",
            "took{service:shop}",
        ]
        await page.locator("[data-aggregate]").nth(2).select_option("p95")
        await ready(page, 3)
        # From the API: a histogram stands at the start of its minute, soon not "now" any more.
        values = await page.evaluate(
            "fetch('api/v1/metrics?name=took&aggregate=p95').then(r => r.json())"
            ".then(found => found.series[0].values.filter(value => value !== null))"
        )
        assert values
        assert all(2.9 < value < 3.1 for value in values)


@pytest.mark.parametrize("size", [DESKTOP, TABLET])
async def test_without_the_store_words_say_so(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, size: tuple[int, int]
) -> None:
    """
    While the store is away the list says why it is empty; what the address asks for is drawn.
    """
    async with open_house(dsn=NOWHERE) as house:
        house.fill()
        with visit.forgiving("503"):
            query = urlencode({"q": "redis.memory.used_bytes{target:main}"})
            page = await visit(f"{house.url}metrics-explorer?{query}", *size)

            await expect(page.locator("#found-state")).to_have_text(
                re.compile("Series are not loaded: store: connection refused")
            )
            await ready(page, 1)
            await expect(page.locator("[data-notice]")).to_contain_text("what memory holds")
            await expect(page.locator("figure output")).to_have_text("31.0 MiB")
            await screenshot(page, "explorer-away")


async def test_the_list_is_asked_for_again(house: House, visit: Visit) -> None:
    """
    A list that did not come says why, and is there after a refresh.
    """
    page = await visit("about:blank")
    await page.route("**/api/v1/series**", lambda route: route.abort())
    with visit.forgiving("Failed to load resource"):
        await page.goto(f"{house.url}metrics-explorer")
        said = page.locator("#found-state")
        await expect(said).to_have_text("Series are not loaded: monitord does not answer")
    await page.unroute("**/api/v1/series**")

    await page.keyboard.press("r")

    await expect(said).to_have_text("26 series")


async def test_keys_pick_range_and_zone(house: House, visit: Visit) -> None:
    """
    The keys of ranges draw anew and are in the address beside the charts; t changes the zone.
    """
    query = urlencode({"q": "redis.keys"})
    page = await visit(f"{house.url}metrics-explorer?{query}", zone="Asia/Tokyo")
    await ready(page, 1)

    await page.keyboard.press("2")
    await expect(page).to_have_url(re.compile("range=1h"))
    await ready(page, 1)
    assert picked(page) == ["redis.keys"]
    await page.keyboard.press("t")
    await expect(page.locator("[data-zone]")).to_have_text("UTC")
    await page.locator("figure [data-aggregate]").focus()
    await page.keyboard.press("Escape")
    await page.keyboard.press("r")
    await ready(page, 1)


async def test_it_renews_itself(open_house: OpenHouse, visit: Visit) -> None:
    """
    A newer value comes by the clock, and what has the focus keeps it.
    """
    async with open_house(refresh=1.0) as house:
        house.fill()
        await house.stored()
        query = urlencode({"q": "redis.keys@last"})
        page = await visit(f"{house.url}metrics-explorer?{query}")
        await ready(page, 1)
        remove = page.get_by_label("Remove redis.keys")
        await remove.focus()

        house.scrape("main", time.time(), redis__keys=5.0)
        await house.stored()
        await page.keyboard.press("r")

        await expect(page.locator("figure output")).to_have_text("5.00", timeout=20_000)
        await expect(remove).to_be_focused()
