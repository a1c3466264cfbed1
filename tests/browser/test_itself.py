"""The page of monitord itself: full, with the store away, after losses, and at a fresh start."""

from __future__ import annotations

import re
import time

import pytest

from msgspec.structs import replace
from playwright.async_api import Browser, expect

from monitord.http.server import WebServer
from monitord.model import Batch, Log, Metric
from monitord.store.dictionaries import Dictionaries
from monitord.store.pool import Store
from tests.browser.conftest import OpenHouse, Screenshot, Visit
from tests.browser.house import NOWHERE, House
from tests.browser.test_layout import CUT, DESKTOP, FAINT, SHIFTS, TABLET


pytestmark = pytest.mark.browser

PHONE = (390, 844)

# What must be read whole, wherever it stands.
TEXTS = ".term :is(dt, dd:not(.judged)), .fact :is(dt, dd:not(.judged)), .verdict, .side h3"


def listened(house: House) -> None:
    """Count what listeners, schedule and scrapers would have counted of what the house offered."""
    telemetry, now = house.ports.telemetry, time.time()
    values = {"monitord.process.cpu_ratio": 0.034, "monitord.loop.lag_ms": 1.7}
    own = {"target": "monitord"}
    house.intake.offer(
        Batch(now, metrics=[Metric(now, *one, attributes=own) for one in values.items()])
    )
    telemetry.events.labels("http", "metric").inc(house.spool.figures.appended_events)
    telemetry.datagrams.inc(12_804)
    telemetry.kernel_drops.set(0)
    telemetry.receive_buffer.set(32 * 1024**2)
    telemetry.lost.labels("shop")
    for kind, target in (("redis", "main"), ("postgres", "orders"), ("host", "host")):
        telemetry.scrapes.labels(kind, target, "up").inc(1_242)
        telemetry.scrape_seconds.labels(kind, target).set(0.0042)


def lose(house: House) -> None:
    """Lose something in every way that the house can: refused, dropped, on the way, given up."""
    telemetry, now = house.ports.telemetry, time.time()
    late = [Log(now + 9 * 86_400, "shop", "INFO", f"of another week {n}") for n in range(3)]
    given_up = [Metric(now, "monitord.emit.dropped", 25, kind="counter", service="shop")]
    house.intake.offer(Batch(now, logs=late, metrics=given_up))
    telemetry.kernel_drops.set(56)
    telemetry.lost.labels("shop").inc(12)
    telemetry.rejected.labels("http", "not_json").inc(4)


async def house_in(house: House, state: str) -> None:
    if state != "fresh":
        house.fill()
        listened(house)
        if state == "losses":
            lose(house)
    if state in ("full", "losses"):
        await house.stored()


@pytest.mark.parametrize("size", [DESKTOP, TABLET, PHONE])
@pytest.mark.parametrize("state", ["full", "away", "losses", "fresh"])
async def test_it_is_read_whole(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, state: str, size: tuple[int, int]
) -> None:
    """
    In every state and on every screen nothing is cut or too faint, and nothing scrolls sideways.
    """
    changes = {"dsn": NOWHERE} if state == "away" else {}
    async with open_house(**changes) as house:
        await house_in(house, state)
        page = await visit(f"{house.url}itself", *size)
        await expect(page.locator("[data-ledger]")).to_have_count(4)

        await screenshot(page, f"itself-{state}", whole=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert await page.locator(TEXTS).evaluate_all(CUT) == []
        assert await page.evaluate(FAINT) == []


async def test_it_is_reached_from_the_page(open_house: OpenHouse, visit: Visit) -> None:
    """
    The head leads there and back; so does the line of the banner that tells of the store.
    """
    async with open_house(dsn=NOWHERE) as house:
        await house_in(house, "away")
        page = await visit(house.url)
        said = re.compile(r"Store: connection refused; [\d,]+ events wait safely on disk")
        await expect(page.locator(".banner-worst a")).to_have_text(said)

        await page.locator(".banner-worst a").click()
        await expect(page).to_have_title(re.compile("monitord itself$"))
        await page.get_by_role("link", name="Back to the page").press("Enter")
        await expect(page.locator("#cards")).to_be_visible()
        await page.get_by_role("link", name="monitord itself", exact=True).press("Enter")

        await expect(page.locator("[data-sums]")).to_contain_text("2 of 2 sums add up")


@pytest.mark.parametrize("size", [DESKTOP, TABLET])
async def test_it_renews_itself(open_house: OpenHouse, visit: Visit, size: tuple[int, int]) -> None:
    """
    Losses appear by the clock and by the key, marked by more than a colour; figures that come move
    nothing while no line is added.
    """
    async with open_house(refresh=1.0) as house:
        await house_in(house, "full")
        page = await visit("about:blank", *size)
        await page.context.add_init_script(f"({SHIFTS})()")
        await page.goto(f"{house.url}itself")
        kernel = page.locator('[data-term="Dropped by the kernel"]')
        await expect(kernel).to_have_attribute("data-state", "ok")
        await expect(page.locator("#link")).to_contain_text("Live")
        before = await page.evaluate("window.shifts.length")

        house.ports.telemetry.kernel_drops.set(56)
        await page.keyboard.press("r")
        await expect(kernel.locator("[data-value]")).to_have_text("56")
        await expect(kernel.locator(".mark")).to_have_text("Critical")
        await expect(page.locator(".banner-worst")).to_have_text(
            "56 datagrams dropped by the kernel"
        )
        await expect(page).to_have_title(re.compile("^✕ 1 problem · .*monitord itself$"))

        house.ports.telemetry.kernel_drops.set(57)
        await expect(kernel.locator("[data-value]")).to_have_text("57")
        shifts = await page.evaluate("window.shifts")
        assert sum(shift[0] for shift in shifts[before:]) < 0.0005, shifts


async def test_a_sum_that_is_off_is_marked(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot
) -> None:
    """
    Where two sides are not equal, the ledger says by how much, in words and by its sign.
    """
    async with open_house() as house:
        await house_in(house, "full")
        house.ports.telemetry.stored.labels("log").inc(3)
        page = await visit(f"{house.url}itself")

        ledger = page.locator('[data-ledger="kept"]')
        await expect(ledger).to_have_attribute("data-adds-up", "0")
        await expect(ledger.locator(".verdict")).to_have_text("Off by 3")
        await expect(ledger.locator(".equals")).to_have_text("≠")
        await expect(page.locator("[data-sums]")).to_contain_text("1 of 2 sums add up")
        assert await page.evaluate(FAINT) == []
        await screenshot(page, "itself-off", whole=True)


async def test_an_answer_that_fails_is_said(open_house: OpenHouse, visit: Visit) -> None:
    """
    Old figures do not look like new ones when monitord does not answer any more.
    """
    async with open_house() as house:
        page = await visit(f"{house.url}itself")
        await page.route("**/partials/itself", lambda route: route.abort())

        with visit.forgiving("Failed to load resource|Failed to fetch"):
            await page.keyboard.press("r")
            await expect(page.locator("#lost")).to_contain_text("monitord does not answer since")


async def test_times_are_in_the_zone_that_is_picked(open_house: OpenHouse, visit: Visit) -> None:
    """
    The key t writes every time anew, in UTC and back.
    """
    async with open_house() as house:
        page = await visit(f"{house.url}itself", zone="Asia/Tokyo")
        since = page.locator("#fact-process-running time")
        before = await since.inner_text()

        await page.keyboard.press("t")

        await expect(page.locator("[data-zone]")).to_have_text("UTC")
        await expect(since).not_to_have_text(before)


async def test_reads_without_scripts(open_house: OpenHouse, chromium: Browser) -> None:
    """
    Without JavaScript every figure is there.
    """
    async with open_house() as house:
        await house_in(house, "full")
        context = await chromium.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{house.url}itself")

        sums = await page.locator("[data-sum]").all_inner_texts()
        await context.close()

    assert sums[0] == sums[1] == sums[2] == sums[3] != "0"


@pytest.mark.parametrize("size", [DESKTOP, TABLET, PHONE])
@pytest.mark.parametrize("metric", ["http.requests", "<b>" + "x" * 240])
async def test_names_that_are_full_are_read_whole(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, size: tuple[int, int], metric: str
) -> None:
    """
    A metric with too many series is told in the banner and among the names, whatever it is called.
    """
    async with open_house() as house:
        store = house.ports.store
        assert isinstance(store, Store)
        await store.ready()
        names = Dictionaries(store)
        users = [(("user_id", f"u{n}"), ("zone", f"z{n % 2}")) for n in range(2_100)]
        await names.series.numbers([("shop", metric, "counter", "1", user) for user in users])
        async with WebServer(replace(house.ports, names=names)) as server:
            page = await visit(f"{server.url}itself", *size)
            told = (
                f"series of `{metric}` (shop): 2,000 of 2,000, most by label `user_id`"
                " (2,000 values); what is beyond is counted under __overflow__"
            )

            await expect(page.locator(".banner-worst")).to_have_text(told)
            fact = page.locator("#fact-names-series_full_0")
            await expect(fact.locator("[data-value]")).to_have_text("2,000 of 2,000")
            await expect(fact.locator(".mark")).to_have_text("Warning")
            await expect(fact.locator(".small")).to_have_text(told)
            known = page.locator("#fact-names-series [data-value]")
            await expect(known).to_have_text("2,001")
            await screenshot(page, f"itself-names-{len(metric)}", whole=True)
            await page.locator(".pop summary").click()
            await expect(page.locator(".problem")).to_contain_text(told)
            assert await page.locator(".problem > span").evaluate_all(CUT) == []
            assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
            assert await page.locator(TEXTS).evaluate_all(CUT) == []
            assert await page.evaluate(FAINT) == []
