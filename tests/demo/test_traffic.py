"""The visitors: how many, how fast, where they may go, and what they do in a real shop."""

import asyncio
import itertools
import os
import random
import signal

from pathlib import Path

import pytest

from aiohttp import web

from monitord.demo.children import python
from monitord.demo.traffic.crowd import VISITORS, Crowd, own_shop
from monitord.demo.traffic.pace import LATEST_SECONDS, Pace
from monitord.demo.traffic.visitor import GOOD_CARD, OUTAGE_SECONDS, draw_card
from monitord.demo.traffic.wave import DAY_SECONDS, arrivals, share

from .conftest import Ear, Event


PATIENCE_SECONDS = 30.0


def test_a_day_has_its_night_and_its_peak():
    """
    Over a day the rate moves by a factor of at least three around its mean, never to nothing.
    """
    day = [share(second) for second in range(int(DAY_SECONDS))]

    assert sum(day) / len(day) == pytest.approx(1.0)
    assert 0.3 <= min(day) < 0.5
    assert 1.4 < max(day) <= 1.7


def test_a_day_brings_the_mean():
    """
    The arrivals of one whole day are the mean rate times the day, within chance.
    """
    random.seed(7)

    count = sum(1 for _ in itertools.takewhile(lambda at: at < DAY_SECONDS, arrivals(0.0, 50.0)))

    assert count == pytest.approx(50 * DAY_SECONDS, rel=0.05)


async def test_turns_that_nobody_took_are_lost():
    """
    After a pause the visitors go on at the pace of the day instead of making up for it.
    """
    now = 1000.0
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        waits.append(seconds)

    pace = Pace(50.0, clock=lambda: now, sleep=sleep)
    now += 60.0
    for _ in range(200):
        await pace.turn()

    assert waits.count(0.0) < 50.0 * 1.7 * LATEST_SECONDS
    assert sum(waits) > 1.0


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/", "http://localhost:8000", "http://[::1]:8000"]
)
def test_this_machine_may_be_visited(url: str):
    """
    A shop on this machine is taken.
    """
    assert own_shop(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.7:8000",
        "http://10.0.0.1",
        "http://shop.invalid",
        "shop",
        "",
        "http://0.0.0.0.x",
    ],
)
def test_other_machines_are_left_alone(url: str):
    """
    A shop anywhere else is refused.
    """
    with pytest.raises(ValueError, match="expected a shop on this machine"):
        own_shop(url)


def test_an_outage_hits_many_cards():
    """
    While a bank is out of order far more payments fail than otherwise.
    """
    random.seed(7)

    bad = [sum(draw_card(at) != GOOD_CARD for _ in range(500)) for at in (1.0, OUTAGE_SECONDS + 1)]

    assert bad[0] > 2 * bad[1] > 0


async def test_the_crowd_is_bounded():
    """
    A shop that hardly answers never has more than the crowd's size of requests open.
    """
    waiting = most = seen = 0
    enough = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        nonlocal waiting, most, seen
        waiting, seen = waiting + 1, seen + 1
        most = max(most, waiting)
        await asyncio.sleep(0.05)
        waiting -= 1
        if seen > 10 * VISITORS:
            enough.set()
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", slow)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    crowd = asyncio.create_task(Crowd(f"http://127.0.0.1:{port}", 5000.0).run())

    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await enough.wait()
    finally:
        crowd.cancel()
        await asyncio.gather(crowd, return_exceptions=True)
        await runner.cleanup()

    assert 1 < most <= VISITORS + 1


async def test_visitors_use_the_whole_shop(shop_url: str, ear: Ear, tmp_path: Path):
    """
    Visitors reach every kind of endpoint, buy things, and end with the signal.
    """
    environ = {**os.environ, "TRAFFIC_URL": shop_url, "TRAFFIC_PER_SECOND": "150"}
    before = len(ear.events)
    child = python("monitord.demo.traffic", tmp_path / "traffic.log", environ)

    try:
        await ear.hear(lambda _: is_whole(answered(ear.events[before:])))
    finally:
        code = await child.stop((signal.SIGTERM, 5.0))

    assert code == 0
    assert (tmp_path / "traffic.log").read_text() == ""


def is_whole(found: set[tuple[str, object]]) -> bool:
    """Whether that is much of the shop, and somebody bought."""
    return len(found) >= 12 and ("POST", 201) in found


def answered(events: list[Event]) -> set[tuple[str, object]]:
    """The endpoints heard of, and what orders came to."""
    requests = [event for event in events if event["type"] == "request"]
    return {(event["method"], event["route"]) for event in requests} | {
        ("POST", event["status"]) for event in requests if event["route"] == "/orders"
    }


async def test_wrong_address(tmp_path: Path):
    """
    An address that is not ours ends the process with one line.
    """
    log = tmp_path / "traffic.log"
    child = python("monitord.demo.traffic", log, {**os.environ, "TRAFFIC_URL": "http://192.0.2.7"})

    assert await child.wait() == 2
    assert log.read_text().startswith("traffic: expected a shop on this machine")
