"""This machine, read through /proc, and the container monitord itself is in."""

from __future__ import annotations

from collections.abc import Iterator

from monitord.scrapers.host.scraper import HostScraper
from monitord.scrapers.jobs import ScrapeJob
from monitord.settings import Targets
from monitord.telemetry import Telemetry


__all__ = ["HostScraper", "open_jobs"]


def open_jobs(targets: Targets, _: Telemetry) -> Iterator[ScrapeJob]:
    """Yield the job of this machine, unless the settings switch it off."""
    host = targets.host
    if host.enabled:
        yield ScrapeJob(
            target="host",
            kind="host",
            scraper=HostScraper(host),
            every=host.every,
            timeout=host.timeout,
        )
