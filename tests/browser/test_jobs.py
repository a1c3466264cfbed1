"""The page of jobs."""

from __future__ import annotations

import time

import pytest

from playwright.async_api import Browser, expect

from monitord.model import Metric
from tests.browser.conftest import OpenHouse, Screenshot, Visit
from tests.browser.house import House
from tests.browser.test_layout import DESKTOP, NOWHERE, PHONE, TABLET
from tests.browser.test_traces import HOSTILE, whole


pytestmark = pytest.mark.browser


def ran(house: House, job: str, at: float, ms: float, outcome: str = "success") -> None:
    attributes = {"job": job, "outcome": outcome}
    house.events(Metric(at, "job.duration", ms, "worker", "histogram", "ms", attributes))


def worked(house: House) -> None:
    """Offer an hour's runs of three jobs: one that fails at times, one long ago, one at work."""
    now = time.time()
    for minute in range(14):
        ran(house, "invoices.send", now - 60 * minute, 900.0 + 40 * minute)
        outcome = "failure" if minute % 5 == 2 else "success"
        ran(house, "orders.sync", now - 60 * minute, 12.0 * (1 + minute), outcome)
    ran(house, "reports.monthly", now - 3_000, 84_000.0)


@pytest.mark.parametrize("size", [DESKTOP, TABLET, PHONE])
@pytest.mark.parametrize("state", ["full", "empty", "away"])
async def test_it_is_read_whole(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, state: str, size: tuple[int, int]
) -> None:
    """
    With jobs, without any, and without the store, the page is read whole and says what it shows.
    """
    async with open_house(**({"dsn": NOWHERE} if state == "away" else {})) as house:
        if state == "full":
            worked(house)
            await house.stored()

        page = await visit(f"{house.url}jobs", *size)

        await expect(page.locator("[data-job]")).to_have_count(3 if state == "full" else 0)
        if state == "full":
            await expect(page.locator("#figures .bar")).to_contain_text("runs of the last 1")
        if state == "empty":
            await expect(page.locator(".none")).to_contain_text("No job has run yet")
        if state == "away":
            await expect(page.locator(".away")).to_contain_text("connection refused")
            await expect(page.locator("#figures")).to_contain_text("Not known without the store")
        await screenshot(page, f"jobs-{state}", whole=True)
        await whole(page, size[0])


async def test_failures_are_marked_by_more_than_a_colour(
    open_house: OpenHouse, visit: Visit
) -> None:
    """
    Failed runs have a sign beside their number, and one below each bar they are in.
    """
    async with open_house() as house:
        worked(house)
        await house.stored()
        page = await visit(f"{house.url}jobs")

        failing = page.locator('[data-job="orders.sync"]')
        await expect(failing.locator(".state-warning")).to_have_text("3")
        await expect(failing.locator(".state-warning svg")).to_be_visible()
        await expect(failing.locator(".bars path")).to_have_count(3)
        well = page.locator('[data-job="invoices.send"]')
        await expect(well.locator(".state-warning")).to_have_count(0)
        await expect(well.locator(".bars path")).to_have_count(0)


@pytest.mark.parametrize("size", [DESKTOP, TABLET])
async def test_hostile_names_stay_text(
    open_house: OpenHouse, visit: Visit, screenshot: Screenshot, size: tuple[int, int]
) -> None:
    """
    A job whose name is markup, and long, is text, and widens no page.
    """
    async with open_house() as house:
        now = time.time()
        ran(house, HOSTILE, now, 5.0)
        house.events(
            Metric(
                *(now, "job.duration", 5.0, HOSTILE, "histogram", "ms"),
                {"job": "a", "outcome": "failure"},
            )
        )
        await house.stored()
        page = await visit(f"{house.url}jobs", *size)

        await expect(page.locator("#figures")).to_contain_text("<script>window.hurt")
        assert await page.locator("#figures :is(script, img)").count() == 0
        assert await page.evaluate("window.hurt") is None
        await screenshot(page, "hostile-jobs", whole=True)
        await whole(page, size[0])


async def test_it_renews_itself(open_house: OpenHouse, visit: Visit) -> None:
    """
    Runs come by the key and by the clock; a scrolled table that has the focus keeps it.
    """
    async with open_house(refresh=1.0) as house:
        ran(house, "mail", time.time() - 60, 5.0)
        await house.stored()
        page = await visit(f"{house.url}jobs")
        table, runs = page.locator(".wide"), page.locator('[data-job="mail"] td.number').first
        await expect(runs).to_have_text("1")
        await table.focus()

        ran(house, "mail", time.time() - 50, 5.0)
        await house.stored()
        await page.keyboard.press("r")
        await expect(runs).to_have_text("2")
        ran(house, "another", time.time() - 40, 5.0)
        await house.stored()

        await expect(page.locator("[data-job]")).to_have_count(2)
        await expect(table).to_be_focused()


async def test_range_and_zone(open_house: OpenHouse, visit: Visit) -> None:
    """
    The keys of ranges pick one, the key t writes the times anew.
    """
    async with open_house() as house:
        worked(house)
        await house.stored()
        page = await visit(f"{house.url}jobs", zone="Asia/Tokyo")
        report = page.locator('[data-job="reports.monthly"] td.number').first
        await expect(report).to_have_text("0")
        at = page.locator('[data-job="orders.sync"] time')
        before = await at.inner_text()

        await page.keyboard.press("2")
        await expect(report).to_have_text("1")
        await page.keyboard.press("t")

        await expect(page.locator("[data-zone]")).to_have_text("UTC")
        await expect(at).not_to_have_text(before)


async def test_reads_without_scripts(open_house: OpenHouse, chromium: Browser) -> None:
    """
    Without JavaScript every figure is there.
    """
    async with open_house() as house:
        worked(house)
        await house.stored()
        context = await chromium.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{house.url}jobs")

        jobs = await page.locator("[data-job]").all_inner_texts()
        await context.close()

    assert len(jobs) == 3
