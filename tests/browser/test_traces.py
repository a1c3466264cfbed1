"""The pages of traces: the newest, and all there is of one."""

from __future__ import annotations

import re
import time

from uuid import uuid4

import pytest

from playwright.async_api import Page, expect

from monitord.model import ErrorInfo, Log, Request, Span
from tests.browser.conftest import OpenHouse, Screenshot, Visit
from tests.browser.house import House
from tests.browser.test_layout import CUT, DESKTOP, FAINT, NOWHERE, PHONE, TABLET


pytestmark = pytest.mark.browser

TRACE = "0af7651916cd43dd8448eb211c80319c"
NAMES = {"traces": "traces", f"traces/{TRACE}": "trace"}
HOSTILE = (
    "<script>window.hurt = 1</script><img src=x onerror=window.hurt=1> \u202egnitrohw " + "x" * 300
)
AWAY = (
    """<hx-partial hx-target="#away" hx-swap="innerMorph"><p class="away">away</p></hx-partial>"""
)
CELLS = ".list :is(th, td), .bar h2, .bar p"

QUERY = (
    "SELECT * FROM orders WHERE customer_id = $1 AND state = $2 ORDER BY created_at DESC LIMIT 50"
)


def checkout(house: House, trace: str = TRACE, name: str = "/checkout") -> None:
    """Offer a trace of two services, a failed payment in it, with its log lines."""
    at = time.time() - 20
    error = ErrorInfo("shop.pay.CardDeclined", "the card was declined")
    house.events(
        Request(at, "shop", "POST", name, 500, 182.0, trace, error=error),
        Span(at, "shop", trace, "a" * 16, f"POST {name}", 182.0, None, "server", "error"),
        Span(
            *(at - 0.13, "shop", trace, "b" * 16, "SELECT orders", 32.5, "a" * 16, "client"),
            attributes={"db.query.text": QUERY, "db.system.name": "postgresql"},
        ),
        Span(at - 0.1, "shop", trace, "c" * 16, "GET cart", 0.4, "a" * 16, "client", "ok"),
        Span(
            *(at - 0.01, "shop", trace, "d" * 16, "POST /payments", 80.0, "a" * 16, "client"),
            status="error",
            error=error,
        ),
        Span(at - 0.02, "pay", trace, "e" * 16, "POST /payments", 60.0, "d" * 16, "server"),
        Log(at - 0.01, "shop", "ERROR", "payment refused", "shop.pay", trace, error=error),
        Log(at - 0.1, "shop", "INFO", "cart has 3 items", "shop.cart", trace),
        Log(at - 0.05, "pay", "WARNING", "card of another country", "pay.check", trace),
    )


def others(house: House, count: int = 12) -> None:
    now = time.time()
    routes = ["/orders/{id}", "/cart", "/products", "/products/{id}"]
    house.events(
        *(
            Request(now - 30 - n, "shop", "GET", routes[n % 4], 200, 7.0 + n, uuid4().hex)
            for n in range(count)
        )
    )


async def whole(page: Page, width: int) -> None:
    """Assert that nothing is cut, too faint or wider than the screen."""
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await page.locator(CELLS).evaluate_all(CUT) == []
    assert await page.evaluate(FAINT) == []


@pytest.mark.parametrize("size", [DESKTOP, TABLET, PHONE])
@pytest.mark.parametrize("state", ["full", "empty"])
async def test_newest_are_read_whole(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, state: str, size: tuple[int, int]
) -> None:
    """
    With traces and without the list is read whole, and says of which time it is.
    """
    async with open_house() as house:
        if state == "full":
            checkout(house)
            others(house)
            await house.stored()

        page = await visit(f"{house.url}traces", *size)

        await expect(page.locator("#figures .bar")).to_contain_text("of the last 15 min")
        await expect(page.locator("[data-trace]")).to_have_count(13 if state == "full" else 0)
        if state == "empty":
            await expect(page.locator(".none")).to_contain_text("No trace of that kind")
        await screenshot(page, f"traces-{state}", whole=True)
        await whole(page, size[0])


@pytest.mark.parametrize("size", [DESKTOP, TABLET, PHONE])
async def test_a_trace_is_read_whole(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, size: tuple[int, int]
) -> None:
    """
    From the list to one trace: its steps below each other, its errors, its log lines, all whole.
    """
    async with open_house() as house:
        checkout(house)
        await house.stored()
        page = await visit(f"{house.url}traces", *size)

        await page.locator(f'[data-trace="{TRACE}"] a').click()

        steps = page.locator("[data-step]")
        names = await steps.evaluate_all("all => all.map(row => row.dataset.step)")
        payment = "POST /payments"
        assert names == ["POST /checkout", "SELECT orders", "GET cart", payment, payment]
        await expect(steps.first.locator(".state-critical svg")).to_be_visible()
        await expect(steps.nth(1).locator("td").last).to_have_text("unset")
        await expect(steps.nth(1).locator("td .muted")).to_have_text("unset")
        await expect(page.locator(".further").first).to_contain_text(QUERY)
        await expect(page.locator("[data-line]")).to_have_count(3)
        await expect(page.locator("[data-line] .level").nth(1).locator("svg")).to_be_visible()
        await expect(page.locator("[aria-label='Errors']")).to_contain_text("CardDeclined")
        assert re.search(r"\?near=\d+$", page.url)
        await screenshot(page, "trace", whole=True)
        await whole(page, size[0])


async def test_a_trace_that_is_unknown_says_so(
    empty_house: House, visit: Visit, screenshot: Screenshot
) -> None:
    """
    Of an id nothing came with it is said that nothing is stored.
    """
    page = await visit(f"{empty_house.url}traces/{TRACE}")

    await expect(page.locator("#figures")).to_contain_text("Nothing of this trace is stored")
    await expect(page.locator("#figures")).to_contain_text("No log line carries this trace's id")
    await screenshot(page, "trace-empty")


@pytest.mark.parametrize("size", [DESKTOP, TABLET])
@pytest.mark.parametrize("path", NAMES)
async def test_without_the_store_words_say_so(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, path: str, size: tuple[int, int]
) -> None:
    """
    While the store is away the page is there with its head, and says why it shows nothing.
    """
    async with open_house(dsn=NOWHERE) as house:
        page = await visit(f"{house.url}{path}", *size)

        await expect(page.locator(".away")).to_contain_text("The store")
        await expect(page.locator(".away")).to_contain_text("connection refused")
        await expect(page.locator(".pages a")).to_have_count(4)
        await page.keyboard.press("r")
        await expect(page.locator(".away")).to_contain_text("The store is unreachable since")
        await expect(page.locator("#figures")).to_contain_text("Not known without the store")
        renewed = await (await page.request.get(f"{house.url}partials/{path}")).text()
        assert re.findall('hx-target="(.*?)"', renewed) == ["#away"]
        await screenshot(page, f"{NAMES[path]}-away")
        await whole(page, size[0])


async def test_what_was_there_stays_while_the_store_is_away(
    open_house: OpenHouse, visit: Visit
) -> None:
    """
    A refresh without the store takes nothing away that is read; with it the words go again.
    """
    async with open_house() as house:
        checkout(house)
        await house.stored()
        page = await visit(f"{house.url}traces/{TRACE}")
        await expect(page.locator("[data-step]")).to_have_count(5)
        assert await page.locator("#away").inner_text() == ""

        await page.route("**/partials/**", lambda route: route.fulfill(body=AWAY))
        await page.keyboard.press("r")
        await expect(page.locator(".away")).to_be_visible()
        await expect(page.locator("[data-step]")).to_have_count(5)

        await page.unroute("**/partials/**")
        await page.keyboard.press("r")
        await expect(page.locator("#away")).to_be_hidden()


AWAY = (
    """<hx-partial hx-target="#away" hx-swap="innerMorph"><p class="away">away</p></hx-partial>"""
)


@pytest.mark.parametrize("size", [DESKTOP, TABLET])
async def test_hostile_texts_stay_text(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, size: tuple[int, int]
) -> None:
    """
    Names with markup, of 300 characters, or from right to left are text, and widen no page.
    """
    async with open_house() as house:
        checkout(house, name=f"/{HOSTILE}")
        at = time.time() - 20
        house.events(
            Span(
                *(at, HOSTILE, TRACE, "f" * 16, HOSTILE, 1.0, "a" * 16),
                attributes={HOSTILE: HOSTILE},
                error=ErrorInfo("x.<b>Type</b>" + "y" * 200, HOSTILE),
            ),
            Log(at, HOSTILE, "<I>" + "Z" * 90, HOSTILE, HOSTILE, TRACE),
        )
        await house.stored()
        for path in NAMES:
            page = await visit(f"{house.url}{path}", *size)

            await expect(page.locator("#figures")).to_contain_text("<script>window.hurt")
            assert await page.locator("#figures :is(script, img, b:not(:first-child))").count() == 0
            assert await page.evaluate("window.hurt") is None
            assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
            assert await page.locator("td, th").evaluate_all(CUT) == []
            await screenshot(page, f"hostile-{NAMES[path]}", whole=True)


async def test_it_renews_itself(open_house: OpenHouse, visit: Visit) -> None:
    """
    A new trace comes by the key and by the clock, and the link that has the focus keeps it.
    """
    async with open_house(refresh=1.0) as house:
        checkout(house)
        await house.stored()
        page = await visit(f"{house.url}traces")
        link = page.locator(f"#to-{TRACE}")
        await link.focus()

        others(house, 1)
        await house.stored()
        await page.keyboard.press("r")
        await expect(page.locator("[data-trace]")).to_have_count(2)
        await expect(link).to_be_focused()

        checkout(house, uuid4().hex)
        await house.stored()
        await expect(page.locator("[data-trace]")).to_have_count(3)
        await expect(link).to_be_focused()
        await expect(page.locator("#link")).to_contain_text("Live")


async def test_form_and_ranges_keep_each_other(open_house: OpenHouse, visit: Visit) -> None:
    """
    What is asked for outlives another range, and the range outlives another question.
    """
    async with open_house() as house:
        checkout(house)
        others(house)
        await house.stored()
        page = await visit(f"{house.url}traces?range=1h")

        await page.keyboard.press("/")
        await page.keyboard.type("checkout & co")
        await page.get_by_label("failed only").check()
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(r"range=1h.*name=checkout\+%26\+co.*errors=1"))
        await expect(page.locator("[data-trace]")).to_have_count(0)
        await page.get_by_label("Text in route or name").fill("checkout")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("[data-trace]")).to_have_count(1)

        await page.locator('[data-pick="6h"]').click()
        await expect(page.locator("#figures .bar")).to_contain_text("of the last 6 h")
        await expect(page.locator("[data-trace]")).to_have_count(1)
        await page.keyboard.press("1")
        await expect(page.locator("#figures .bar")).to_contain_text("of the last 15 min")
        await expect(page.get_by_label("Text in route or name")).to_have_value("checkout")
        await expect(page.get_by_label("failed only")).to_be_checked()


async def test_times_are_in_the_zone_that_is_picked(open_house: OpenHouse, visit: Visit) -> None:
    """
    The key t writes every time anew, and a refresh keeps the zone.
    """
    async with open_house() as house:
        checkout(house)
        await house.stored()
        page = await visit(f"{house.url}traces/{TRACE}", zone="Asia/Tokyo")
        at = page.locator("#figures .bar time").first
        before = await at.inner_text()

        await page.keyboard.press("t")
        await expect(at).not_to_have_text(before)
        utc = await at.inner_text()
        await page.keyboard.press("r")

        await expect(page.locator("[data-zone]")).to_have_text("UTC")
        await expect(at).to_have_text(utc)


async def test_a_log_line_leads_to_its_trace(open_house: OpenHouse, visit: Visit) -> None:
    """
    The drawer of a line leads to all of its trace, and still shows the trace's lines.
    """
    async with open_house() as house:
        checkout(house)
        await house.stored()
        page = await visit(house.url)
        house.log("of the trace", level="ERROR", trace_id=TRACE)
        await page.locator("[data-log] .line", has_text="of the trace").click()
        await expect(page.locator("dialog [data-trace]")).to_have_text("Show its lines")

        await page.locator("dialog [data-whole]").click()

        await expect(page).to_have_url(re.compile(rf"/traces/{TRACE}\?near=\d+$"))
        await expect(page.locator("[data-step]")).to_have_count(5)
