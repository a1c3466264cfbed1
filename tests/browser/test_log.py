"""The live log, as a person sees and uses it."""

from __future__ import annotations

import asyncio
import re

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

    frames = [
        StackFrame("<b>lib</b>.py", 1, "<i>", "</pre><b>x", in_app=own) for own in (True, False)
    ]
    error = ErrorInfo("<i>Error", "</pre>\x1b[2J<b>", frames)
    for message in HOSTILE.values():
        empty_house.log(
            message,
            level="ERROR",
            logger="<b>shop</b>",
            fields={"<i>": "</td><b>", "long": "y" * 5_000, "deep": {"<b>": ["</code>\u202e"]}},
            error=error,
        )

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
    await expect(page.locator("#line [data-raised]")).to_have_text(r"<i>Error: </pre>\x1b[2J<b>")
    await expect(page.locator("#line [data-fields]")).to_contain_text("</td><b>")
    await expect(page.locator("#line [data-fields]")).to_contain_text(r"</code>\u202e")
    await page.locator("#line summary").click()
    await expect(page.locator("#line details")).to_contain_text('File "<b>lib</b>.py"')
    assert (
        await page.locator("#line").locator("i, img, script, pre:not([data-raised]) b").count() == 0
    )
    body = "document.querySelector('.drawer-body')"
    assert await page.evaluate(f"{body}.scrollWidth <= {body}.clientWidth")
    assert await page.evaluate("window.hacked") is None
    await screenshot(page, "hostile-drawer")


def library(number: int) -> StackFrame:
    return StackFrame("lib/web.py", number, "call", f"await step_{number}()", in_app=False)


async def test_drawer_says_first_what_happened(
    empty_house: House, visit: Visit, screenshot: Screenshot
) -> None:
    """
    A click on a line opens all of it: message, exception, fields, trace id, and last the traceback.
    The trace id can be copied, Escape goes back to the line.
    """
    page = await visit(empty_house.url)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await live(page)
    trace = "0af7651916cd43dd8448eb211c80319c"
    frames = [
        StackFrame("shop/app.py", 88, "place_order", "receipt = await charge(order.total)"),
        *map(library, range(12)),
        StackFrame("shop/payments.py", 41, "charge", 'raise PaymentRefused(f"card {code}")'),
    ]
    error = ErrorInfo("shop.PaymentRefused", "card expired", frames)

    empty_house.log(
        "refused",
        level="ERROR",
        trace_id=trace,
        fields={"order": 7, "path": "/orders", "customer": {"name": "Zoë"}, "note": ""},
        error=error,
    )
    await expect(lines(page)).to_contain_text(["PaymentRefused: card expired"])
    await expect(lines(page)).to_contain_text(["order=7 path=/orders"])
    await lines(page).click()

    drawer = page.locator("#line")
    await expect(drawer.locator(".drawer-body")).to_have_text(
        re.compile(r"refused.*shop\.PaymentRefused: card expired.*Fields.*Trace.*Traceback", re.S)
    )
    await expect(drawer.locator("[data-fields] th")).to_have_text(
        ["order", "path", "customer", "note"]
    )
    await expect(drawer.locator("[data-fields] td")).to_have_text(
        ["7", "/orders", re.compile('"name": "Zoë"'), "(empty)"]
    )
    await expect(drawer.locator("[data-traceback]")).to_contain_text(
        'File "shop/payments.py", line 41, in charge'
    )
    await expect(drawer.locator(".token-keyword").first).to_have_text("await")
    await screenshot(page, "drawer")
    await drawer.locator("[data-copy]").click()
    await expect(drawer.locator("[data-copy]")).to_have_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == trace
    await page.keyboard.press("Escape")
    await expect(drawer).to_be_hidden()
    await expect(lines(page)).to_be_focused()


async def test_library_frames_are_folded(empty_house: House, visit: Visit) -> None:
    """
    Frames that are not the application's are one line each run, which opens by key and by click.
    """
    page = await visit(empty_house.url)
    await live(page)
    own = StackFrame("shop/app.py", 88, "place_order", "charge()")
    frames = [*map(library, range(12)), own, library(99)]
    empty_house.log("x", level="ERROR", error=ErrorInfo("E", "no", frames))
    await lines(page).click()

    folds = page.locator("#line summary")
    await expect(folds).to_have_text(["12 library frames", "1 library frame"])
    await expect(page.locator("#line .frame > p:visible")).to_have_text(
        ['File "shop/app.py", line 88, in place_order']
    )
    await folds.first.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#line .frame > p:visible")).to_have_count(13)
    await folds.last.click()
    await expect(page.locator("#line .frame > p:visible")).to_have_count(14)


async def test_lines_of_one_trace(empty_house: House, visit: Visit) -> None:
    """
    From a line its whole trace is one click away, lines of every level.
    """
    page = await visit(empty_house.url)
    await live(page)
    trace = "0af7651916cd43dd8448eb211c80319c"
    empty_house.log("read the cart", level="DEBUG", trace_id=trace)
    empty_house.log("somebody else")
    empty_house.log("order placed", trace_id=trace)
    await page.locator("[data-log] .message", has_text="order placed").click()

    await page.locator("#line [data-trace]").click()

    await expect(page.locator("#line")).to_be_hidden()
    await expect(page.locator("#log-text")).to_have_value(trace)
    await expect(page.locator("[data-log] .message")).to_have_text(
        ["read the cart", "order placed"]
    )


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
    With a level picked, only lines of that level or worse show, older ones and new ones. Debug
    lines are not shown until they are asked for.
    """
    page = await visit(empty_house.url)
    await live(page)
    for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        empty_house.log(f"old {level}", level=level)
    await expect(page.locator("[data-log] .message").last).to_have_text("old CRITICAL")
    await expect(lines(page)).to_have_count(4)
    await expect(page.locator("#log-level")).to_have_value("INFO")

    await page.locator("#log-level").select_option("")
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
    empty_house.log("order placed", fields={"order_id": 4711})
    empty_house.log("Cart emptied")
    empty_house.log("request failed", error=ErrorInfo("KeyError", "no such voucher"))
    await expect(lines(page)).to_have_count(3)

    await page.keyboard.press("/")
    await page.keyboard.type("cart")

    await expect(page.locator("[data-log] .message")).to_have_text(["Cart emptied"])
    await page.locator("#log-text").fill("4711")
    await expect(page.locator("[data-log] .message")).to_have_text(["order placed"])
    await page.locator("#log-text").fill("VOUCHER")
    await expect(page.locator("[data-log] .message")).to_have_text(["request failed"])
    await page.locator("#log-text").fill("")
    await expect(lines(page)).to_have_count(3)


async def test_nothing_found_says_what_to_do(
    empty_house: House, visit: Visit, screenshot: Screenshot
) -> None:
    """
    An empty log says how lines get here; an empty answer leads to all that is stored, and back.
    """
    page = await visit(empty_house.url)
    empty = page.locator("[data-log-empty]")
    await expect(empty).to_contain_text("monitord.emit.MonitordHandler")
    await screenshot(page, "log-empty", whole=True)
    empty_house.log("order placed")
    await expect(lines(page)).to_have_count(1)

    await page.locator("#log-text").fill("no such text & more")
    await expect(empty).to_contain_text("No line passes the filter")
    address = await empty.locator("a").get_attribute("href")
    found = await page.request.get(f"{empty_house.url.rstrip('/')}{address}")
    assert (found.status, (await found.json())["lines"]) == (200, [])
    await screenshot(page, "log-nothing-found")
    await empty.locator("[data-clear]").click()

    await expect(lines(page)).to_have_count(1)
    await expect(page.locator("#log-level")).to_have_value("INFO")


async def test_a_new_filter_ends_the_pause(empty_house: House, visit: Visit) -> None:
    """
    Lines that pass a filter typed while paused are shown, not held back.
    """
    page = await visit(empty_house.url)
    await live(page)
    empty_house.log("order placed")
    await expect(lines(page)).to_have_count(1)
    await page.keyboard.press("p")
    await expect(page.locator("[data-log-state]")).to_have_text("Paused")

    await page.locator("#log-text").fill("order")

    await live(page)
    await expect(page.locator("[data-log] .message")).to_have_text(["order placed"])


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
        await page.locator("[data-gap]").scroll_into_view_if_needed()
        await screenshot(page, "gap", whole=True)


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
