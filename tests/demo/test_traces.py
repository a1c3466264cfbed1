"""What monitord hears of a request's steps, of jobs and deploys, and of two programs at once."""

import asyncio
import os
import re
import signal
import uuid

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from monitord.demo.children import python
from monitord.demo.shop.mail import OUTAGE_SECONDS, MailError, send
from monitord.demo.shop.payments import HANGS_UP
from monitord.demo.traffic.visitor import GOOD_CARD

from .conftest import PATIENCE_SECONDS, Ear, Event
from .test_shop import ask, fill_cart, sign_in


async def trace_of(ear: Ear, trace: str) -> tuple[Event, list[Event]]:
    """Return the span of a request and those that hang on it, once the request is over."""
    own = await ear.hear(
        lambda e: (e["type"], e.get("trace_id"), e.get("kind")) == ("span", trace, "server")
    )
    return own, [
        e for e in ear.events if e["type"] == "span" and e.get("parent_id") == own["span_id"]
    ]


async def job(ear: Ear, name: str) -> Event:
    """Return the newest run of a job."""
    return await ear.hear(
        lambda e: e.get("name") == "job.duration" and e["attributes"]["job"] == name
    )


async def test_an_order_step_by_step(web: aiohttp.ClientSession, ear: Ear):
    """
    An order's trace says what it asked of the cache, the database and the payment provider.
    """
    headers = await sign_in(web, 31)
    await fill_cart(web, headers, 71)
    trace = uuid.uuid4().hex

    await ask(web, "POST", "/orders", trace, headers=headers, json={"card": GOOD_CARD})

    own, steps = await trace_of(ear, trace)
    assert own["name"] == "POST /orders"
    assert {
        "GET session",
        "HGETALL cart",
        "INSERT orders",
        "UPDATE products",
        "INSERT order_lines",
        "charge card",
        "UPDATE orders",
        "DEL cart",
    } <= {step["name"] for step in steps}
    [paid] = [step for step in steps if step["name"] == "charge card"]
    assert (paid["kind"], paid["attributes"]["payment.status"]) == ("client", "charged")


async def test_a_provider_that_hangs_up(web: aiohttp.ClientSession, ear: Ear):
    """
    Each attempt at a payment is a step, with what it failed of; no card number is told.
    """
    headers = await sign_in(web, 32)
    await fill_cart(web, headers, 72)
    trace = uuid.uuid4().hex

    await ask(web, "POST", "/orders", trace, headers=headers, json={"card": HANGS_UP})

    _, steps = await trace_of(ear, trace)
    failed = [step for step in steps if step["name"] == "charge card"]
    assert [step["error"]["type"] for step in failed] == ["ConnectionResetError"] * 2
    assert HANGS_UP not in str([step["attributes"] for step in steps])


async def test_cache_types(web: aiohttp.ClientSession, ear: Ear):
    """
    Hits and misses are told by type of key: pages of the shop are one type.
    """

    def told(name: str) -> bool:
        counts = [e["attributes"] for e in ear.events if e.get("name") == name]
        return {"type": "page"} in counts

    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (told("cache.hits") and told("cache.misses")):
            await ask(web, "GET", "/categories/lamps?page=3")


async def test_a_deploy_is_marked(shop_url: str, ear: Ear):
    """
    A shop that starts says which version it is.
    """
    mark = await ear.hear(lambda e: e["type"] == "annotation")

    assert (mark["kind"], mark["service"]) == ("deploy", "shop")
    assert re.fullmatch(r"\d\d\.\d\d\.\d\d-\d{4}", mark["title"])


@pytest.mark.parametrize("name", ["send receipts", "tidy up"])
async def test_jobs_of_the_shop(shop_url: str, ear: Ear, name: str):
    """
    What the shop does by itself are jobs, with a trace of their own.
    """
    run = await job(ear, name)
    span = await ear.hear(lambda e: e["type"] == "span" and e["name"] == name)

    assert (run["service"], run["kind"], run["unit"]) == ("shop", "histogram", "ms")
    assert (span["kind"], span.get("parent_id")) == ("consumer", None)


async def test_a_receipt_is_mailed(web: aiohttp.ClientSession, ear: Ear):
    """
    What was ordered gets its receipt by the next run, or by one after it.
    """
    headers = await sign_in(web, 33)
    await fill_cart(web, headers, 73)

    _, order = await ask(web, "POST", "/orders", headers=headers, json={"card": GOOD_CARD})

    mailed = await ear.hear(
        lambda e: e.get("name") == "send mail" and e["attributes"]["order.id"] == order["id"],
        OUTAGE_SECONDS + PATIENCE_SECONDS,
    )
    run = await ear.hear(lambda e: e["type"] == "span" and e["span_id"] == mailed["parent_id"])
    assert run["name"] == "send receipts"


@pytest.mark.parametrize("at", [0.0, OUTAGE_SECONDS - 1])
async def test_a_mail_server_that_is_away(at: float):
    """
    For a while in every five minutes the mail server takes nothing.
    """
    with pytest.raises(MailError, match="connection refused"):
        await send("ann@shop.example", 17, at)


async def test_the_office_and_the_shop_share_a_trace(shop_url: str, ear: Ear, tmp_path: Path):
    """
    A delivery that another program books is one trace through both, and a job of that program.
    """
    environ: dict[str, Any] = {
        **os.environ,
        "TRAFFIC_URL": shop_url,
        "MONITORD_ADDRESS": f"127.0.0.1:{ear.port}",
    }
    child = python("monitord.demo.traffic", tmp_path / "traffic.log", environ)

    try:
        run = await job(ear, "book delivery")
        calls = await ear.hear(lambda e: e.get("name") == "POST 127.0.0.1")
        served = await ear.hear(lambda e: e.get("parent_id") == calls["span_id"])
    finally:
        await child.stop((signal.SIGTERM, 5.0))

    assert (run["service"], run["attributes"]["outcome"]) == ("office", "success")
    assert (served["service"], served["name"]) == ("shop", "POST /office/restock")
    assert served["trace_id"] == calls["trace_id"]
