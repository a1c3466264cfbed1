"""monitord's own numbers."""

import asyncio
import time

from collections.abc import Callable

from monitord.scrapers.daemon import DaemonScraper
from monitord.telemetry import Telemetry


Values = Callable[..., dict[str, float]]


async def test_own_process(values: Values):
    """
    Memory and processor time are this process's.
    """
    scraper = DaemonScraper(Telemetry())
    try:
        sum(number * number for number in range(300_000))
        found = values((await scraper.scrape()).metrics)
    finally:
        await scraper.close()

    assert found["monitord.process.rss_bytes"] > 10_000_000
    assert found["monitord.process.cpu_ratio"] > 0


async def test_counts_are_increments(values: Values):
    """
    Counters with and without labels come out as what was added.
    """
    telemetry = Telemetry()
    telemetry.stored.labels("request").inc(1000)
    scraper = DaemonScraper(telemetry)
    try:
        telemetry.events.labels("udp", "request").inc(7)
        telemetry.events.labels("http", "log").inc(3)
        telemetry.rejected.labels("udp", "json").inc(2)
        telemetry.dropped.labels("udp").inc(4)
        telemetry.kernel_drops.set(5)
        telemetry.lost.labels("shop").inc(8)
        telemetry.lost.labels("mail").inc(1)
        telemetry.stored.labels("request").inc(6)
        first = values((await scraper.scrape()).metrics)
        second = values((await scraper.scrape()).metrics)
    finally:
        await scraper.close()

    assert first["monitord.ingest.events"] == 10
    assert first["monitord.ingest.rejected"] == 2
    assert first["monitord.events.dropped"] == 4
    assert first["monitord.ingest.kernel_drops"] == 5
    assert first["monitord.ingest.lost"] == 9
    assert first["monitord.store.events"] == 6
    assert second["monitord.ingest.events"] == 0


async def test_a_blocked_loop_is_noticed(values: Values):
    """
    The longest time the event loop stood still shows in the next scrape, and only there.
    """
    telemetry = Telemetry()
    scraper = DaemonScraper(telemetry)
    try:
        await scraper.scrape()
        await asyncio.sleep(0.05)
        time.sleep(0.5)  # noqa: ASYNC251 - the fault to be noticed
        await asyncio.sleep(0.05)
        found = values((await scraper.scrape()).metrics)
        noticed = telemetry.total("monitord_loop_lag_seconds")
    finally:
        await scraper.close()

    # Timers are a tenth of a second apart.
    assert found["monitord.loop.lag_ms"] >= 350
    assert noticed >= 0.35
