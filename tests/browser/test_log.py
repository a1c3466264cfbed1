"""The live log, as a person sees and uses it."""

from __future__ import annotations

import asyncio

import pytest

from playwright.async_api import Locator, Page, expect

from monitord.intake.bus import Bus
from monitord.model import ErrorInfo, StackFrame
from tests.browser.conftest import OpenHouse, Screenshot, Visit
from tests.browser.house import House


pytestmark = pytest.mark.browser

HOSTILE = {
    "markup": "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
    "new lines": 'first\r\n\r\nevent: gap\r\ndata: {"dropped": 9}\r\n\r\nlast',
    "escapes": "\x1b[2J\x1b[31mred\x1b[0m\x07",
    "turned": "invoice \u202egpj.exe\u202c",
    "braces": "{{ 7 * 7 }} ${7 * 7} %s",
    "long": "x" * 10_000,
}


def lines(page: Page) -> Locator:
    return page.locator("[data-log] .line")


async def live(page: Page) -> None:
    await expect(page.locator("[data-log-state]")).to_have_text("Live")


async def test_line_appears(empty_house: House, visit: Visit) -> None:
    """
    A line shows at once with time, level in words, logger and message; none of them twice.
    """
    page = await visit(empty_house.url)
    await expect(page.locator("[data-log-empty]")).to_be_visible()
    await live(page)

    empty_house.log("stock is low", level="WARNING", logger="shop.stock")

    await expect(lines(page)).to_have_count(1)
    await expect(lines(page)).to_contain_text(["WARNING"])
    await expect(lines(page)).to_contain_text(["shop.stock"])
    await expect(lines(page)).to_contain_text(["stock is low"])
    await expect(page.locator("[data-log-empty]")).to_be_hidden()


async def test_last_lines_are_there_on_connect(empty_house: House, visit: Visit) -> None:
    """
    A page that is opened later starts with the newest lines, oldest first, each once.
    """
    for number in range(20):
        empty_house.log(f"line {number}")

    page = await visit(empty_house.url)

    await expect(page.locator("[data-log] .message")).to_have_text(
        [f"line {number}" for number in range(20)]
    )


async def test_hostile_lines_are_text(
    empty_house: House, visit: Visit, screenshot: Screenshot
) -> None:
    """
    Markup, line breaks, terminal escapes, turned text and 10 kB are shown as what they are.
    """
    page = await visit(empty_house.url)
    await live(page)

    for message in HOSTILE.values():
        empty_house.log(message, level="ERROR", logger="<b>shop</b>", fields={"<i>": "</pre><b>"})

    await expect(lines(page)).to_have_count(len(HOSTILE))
    await expect(page.locator("[data-gap]")).to_have_count(0)
    shown = dict(
        zip(HOSTILE, await page.locator("[data-log] .message").all_text_contents(), strict=True)
    )
    assert shown["markup"] == HOSTILE["markup"]
    assert shown["new lines"].startswith(r"first\r\n\r\nevent: gap\r\ndata:")
    assert shown["escapes"] == r"\x1b[2J\x1b[31mred\x1b[0m\x07"
    assert shown["turned"] == r"invoice \u202egpj.exe\u202c"
    assert shown["braces"] == HOSTILE["braces"]
    assert shown["long"] == "x" * 2_000 + "…"
    assert await page.locator("[data-log] :is(b, i, img, script)").count() == 0
    await screenshot(page, "hostile")
    await lines(page).nth(1).click()
    await expect(page.locator("#line .message")).to_have_text(
        'first\n\nevent: gap\ndata: {"dropped": 9}\n\nlast'
    )
    await expect(page.locator("#line [data-fields]")).to_contain_text("</pre><b>")
    assert await page.locator("#line pre :is(b, i)").count() == 0
    assert await page.evaluate("window.hacked") is None
    await screenshot(page, "hostile-drawer")


async def test_drawer_shows_fields_trace_and_traceback(
    empty_house: House, visit: Visit, screenshot: Screenshot
) -> None:
    """
    A click on a line opens all of it; the trace id can be copied, Escape goes back to the line.
    """
    page = await visit(empty_house.url)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await live(page)
    trace = "0af7651916cd43dd8448eb211c80319c"
    frames = [
        StackFrame("shop/app.py", 88, "place_order", "receipt = await charge(order.total)"),
        StackFrame("shop/payments.py", 41, "charge", 'raise PaymentRefused(f"card {code}")'),
    ]
    error = ErrorInfo("PaymentRefused", "card expired", frames)

    empty_house.log("refused", level="ERROR", trace_id=trace, fields={"order": 7}, error=error)
    await lines(page).click()

    drawer = page.locator("#line")
    await expect(drawer.locator("[data-traceback]")).to_contain_text(
        'File "shop/payments.py", line 41, in charge'
    )
    await expect(drawer.locator("[data-traceback]")).to_contain_text("PaymentRefused: card expired")
    await expect(drawer.locator(".token-keyword").first).to_have_text("await")
    await expect(drawer.locator("[data-fields]")).to_contain_text('"order": 7')
    await screenshot(page, "drawer")
    await drawer.locator("[data-copy]").click()
    await expect(drawer.locator("[data-copy]")).to_have_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == trace
    await page.keyboard.press("Escape")
    await expect(drawer).to_be_hidden()
    await expect(lines(page)).to_be_focused()


async def test_at_most_a_hundred_lines(empty_house: House, visit: Visit) -> None:
    """
    The page holds the newest hundred lines, however many came.
    """
    page = await visit(empty_house.url)
    await live(page)

    for number in range(350):
        empty_house.log(f"line {number}")
        if number % 50 == 0:
            await asyncio.sleep(0.05)

    await expect(page.locator("[data-log] .message").last).to_have_text("line 349")
    messages = await page.locator("[data-log] .message").all_text_contents()
    assert messages == [f"line {number}" for number in range(250, 350)]


async def test_pause_holds_the_lines(empty_house: House, visit: Visit) -> None:
    """
    While paused nothing moves and the new lines are counted; resuming shows them.
    """
    page = await visit(empty_house.url)
    await live(page)
    empty_house.log("before")
    await expect(lines(page)).to_have_count(1)

    await page.keyboard.press("p")
    for number in range(3):
        empty_house.log(f"meanwhile {number}")

    await expect(page.locator("[data-log-state]")).to_have_text("Paused, 3 new lines")
    await expect(lines(page)).to_have_count(1)
    await page.locator("#log-pause").click()
    await expect(lines(page)).to_have_count(4)
    await live(page)


async def test_reading_back_stops_the_scrolling(empty_house: House, visit: Visit) -> None:
    """
    Who has scrolled up stays where they are; a button counts the new lines and leads to them.
    """
    for number in range(80):
        empty_house.log(f"line {number}")
    page = await visit(empty_house.url)
    await expect(lines(page)).to_have_count(80)
    log = page.locator("[data-log]")

    await log.hover()
    await page.mouse.wheel(0, -400)
    await expect(page.locator("#log-newest")).to_be_visible()
    place = await log.evaluate("log => log.scrollTop")
    for number in range(5):
        empty_house.log(f"new {number}")
    await expect(page.locator("#log-newest")).to_have_text("5 new lines")

    assert await log.evaluate("log => log.scrollTop") == place
    await page.locator("#log-newest").click()
    await expect(lines(page).last).to_be_in_viewport()
    await expect(lines(page).last).to_contain_text("new 4")
    await expect(page.locator("#log-newest")).to_be_hidden()


async def test_a_line_with_the_focus_stays(empty_house: House, visit: Visit) -> None:
    """
    Who walks the lines by keyboard keeps their place; new lines come when the focus leaves.
    """
    page = await visit(empty_house.url)
    await live(page)
    empty_house.log("walked")
    await expect(lines(page)).to_have_count(1)
    await page.locator("[data-log]").focus()
    await page.keyboard.press("ArrowDown")
    await expect(lines(page)).to_be_focused()

    for number in range(120):
        empty_house.log(f"new {number}")

    await expect(page.locator("#log-newest")).to_have_text("120 new lines")
    await expect(lines(page)).to_be_focused()
    await page.locator("#log-newest").click()
    await expect(lines(page).last).to_contain_text("new 119")


async def test_level_filter(empty_house: House, visit: Visit) -> None:
    """
    With a level picked, only lines of that level or worse show, older ones and new ones.
    """
    page = await visit(empty_house.url)
    await live(page)
    for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        empty_house.log(f"old {level}", level=level)
    await expect(lines(page)).to_have_count(5)

    await page.locator("#log-level").select_option("WARNING")
    await expect(lines(page)).to_have_count(3)
    await live(page)
    empty_house.log("new INFO")
    empty_house.log("new ERROR", level="ERROR")

    await expect(page.locator("[data-log] .message")).to_have_text(
        ["old WARNING", "old ERROR", "old CRITICAL", "new ERROR"]
    )


async def test_text_filter(empty_house: House, visit: Visit) -> None:
    """
    What is typed after `/` filters by text, in upper or lower case; nothing found is said.
    """
    page = await visit(empty_house.url)
    await live(page)
    empty_house.log("order 7 placed")
    empty_house.log("Cart emptied")
    await expect(lines(page)).to_have_count(2)

    await page.keyboard.press("/")
    await page.keyboard.type("cart")

    await expect(page.locator("[data-log] .message")).to_have_text(["Cart emptied"])
    await page.locator("#log-text").fill("no such text")
    await expect(page.locator("[data-log-empty]")).to_have_text("No line passes the filter yet")
    await page.locator("#log-text").fill("")
    await expect(lines(page)).to_have_count(2)


async def test_dropped_lines_leave_a_mark(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot
) -> None:
    """
    Where a slow page lost lines, a mark says how many, at the place where they are missing.
    """
    async with open_house(bus=Bus(limit=50)) as house:
        page = await visit(house.url)
        await live(page)
        house.log("before")
        await expect(lines(page)).to_have_count(1)

        for number in range(120):  # with no await between: more than is held for one page
            house.log(f"line {number}")

        await expect(page.locator("[data-log] .message").last).to_have_text("line 119")
        shown = await page.locator("[data-log] > li").all_inner_texts()
        assert "before" in shown[0]
        assert shown[1].strip() == "70 lines dropped"
        assert "line 70" in shown[2]
        await expect(page.locator("[data-log-state]")).to_have_text("Live, 70 dropped")
        await screenshot(page, "gap")


@pytest.mark.parametrize("ahead", [0.0, 3_600.0])
async def test_stream_comes_back_by_itself(
    open_house: OpenHouse, visit: Visit, ahead: float
) -> None:
    """
    After a restart of monitord the log goes on, no line twice, with a mark for what may be missing;
    also when the clock was put back meanwhile.
    """
    async with open_house(ahead=ahead) as first:
        page = await visit(first.url)
        await live(page)
        first.log("before")
        await expect(lines(page)).to_have_count(1)
        port = first.server.port

    with visit.forgiving("ERR_CONNECTION_REFUSED"):
        await expect(page.locator("[data-log-state]")).to_have_text("Connection lost, reconnecting")
        await asyncio.sleep(0.1)
        async with open_house(port=port) as second:
            second.log("after")

            await expect(page.locator("[data-log] .message").last).to_have_text(
                "after", timeout=20_000
            )
            shown = await page.locator("[data-log] > li").all_inner_texts()
            assert [text.split("\n")[-1].strip() for text in shown] == [
                "before",
                "lines may be missing",
                "after",
            ]
            await live(page)
            await page.goto("about:blank")
