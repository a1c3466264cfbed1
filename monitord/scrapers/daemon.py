"""monitord itself: its memory and processor, how late its loop is, its spool, its losses."""

from __future__ import annotations

import asyncio
import os
import resource
import time

from collections.abc import Callable, Iterator
from pathlib import Path

from monitord.model import Metric, Scrape
from monitord.scrapers.increments import Counters, Totals
from monitord.scrapers.jobs import ScrapeJob
from monitord.scrapers.samples import counter, gauge
from monitord.settings import Targets
from monitord.telemetry import Telemetry


EVERY_SECONDS = 10.0
TIMEOUT_SECONDS = 5.0
LAG_PROBE_SECONDS = 0.1

# Our series -> the self-metric whose lifetime total it is the increment of.
COUNTERS = {
    "monitord.events.dropped": "monitord_dropped_events_total",
    "monitord.ingest.events": "monitord_ingest_events_total",
    "monitord.ingest.rejected": "monitord_ingest_rejected_events_total",
    "monitord.ingest.lost": "monitord_ingest_lost_events_total",
    "monitord.ingest.kernel_drops": "monitord_ingest_udp_kernel_drops",
    "monitord.spool.lost": "monitord_spool_lost_events_total",
    "monitord.spool.damaged": "monitord_spool_damaged_records_total",
    "monitord.store.events": "monitord_store_events_total",
    "monitord.store.refused": "monitord_store_refused_events_total",
}


def open_jobs(_: Targets, telemetry: Telemetry) -> Iterator[ScrapeJob]:
    """Yield the job of monitord itself; it cannot be switched off."""
    yield ScrapeJob(
        target="monitord",
        kind="monitord",
        scraper=DaemonScraper(telemetry),
        every=EVERY_SECONDS,
        timeout=TIMEOUT_SECONDS,
    )


class DaemonScraper:
    """Reads this process and its self-metrics. Increments count from when it was made."""

    def __init__(
        self, telemetry: Telemetry, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._telemetry = telemetry
        self._monotonic = monotonic
        self._counters = Counters()
        self._counters.advance(self._totals(), monotonic())
        self._lag = LoopLag()

    async def scrape(self) -> Scrape:
        self._lag.start()
        lag = self._lag.take()
        self._telemetry.loop_lag.set(lag)
        total = self._telemetry.total
        return Scrape(
            [
                gauge("monitord.process.rss_bytes", resident_bytes(), "By"),
                gauge("monitord.loop.lag_ms", lag * 1000, "ms"),
                gauge("monitord.spool.events", total("monitord_spool_pending_events")),
                gauge("monitord.spool.bytes", total("monitord_spool_disk_bytes"), "By"),
                *self._increments(),
            ]
        )

    async def close(self) -> None:
        self._lag.stop()

    def _increments(self) -> Iterator[Metric]:
        interval = self._counters.advance(self._totals(), self._monotonic())
        if interval is None:
            return
        added = dict(interval.added)
        yield gauge("monitord.process.cpu_ratio", added.pop("cpu") / interval.seconds)
        if self._telemetry.kernel_drops.value is None:
            del added["monitord.ingest.kernel_drops"]
        for name, value in added.items():
            yield counter(name, value)

    def _totals(self) -> Totals:
        found = {name: self._telemetry.total(of) for name, of in COUNTERS.items()}
        return Totals({**found, "cpu": cpu_seconds()})


class LoopLag:
    """
    The longest that a timer of the event loop came late, in seconds.

    A chain of timers, not a task: there is nothing to await and nothing that can fail.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._longest = 0.0

    def start(self) -> None:
        if self._timer is None:
            self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self) -> float:
        """Return the longest since the last call."""
        longest, self._longest = self._longest, 0.0
        return longest

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due = time.monotonic() + LAG_PROBE_SECONDS
        self._timer = loop.call_later(LAG_PROBE_SECONDS, self._tick, loop, due)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._longest = max(self._longest, time.monotonic() - due)
        self._arm(loop)


def resident_bytes() -> int:
    """Return the memory this process keeps in RAM (its own /proc, not one mounted for the host)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds() -> float:
    """Return the processor time this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
