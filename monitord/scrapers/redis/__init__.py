"""Redis and Valkey servers, read through INFO."""

from __future__ import annotations

from collections.abc import Iterator

from monitord.scrapers.jobs import ScrapeJob
from monitord.scrapers.redis.scraper import RedisScraper
from monitord.settings import Targets
from monitord.telemetry import Telemetry


__all__ = ["RedisScraper", "open_jobs"]


def open_jobs(targets: Targets, _: Telemetry) -> Iterator[ScrapeJob]:
    """Yield a job for every Redis target. Raises SettingsError: an address nobody can use."""
    for target in targets.redis:
        scraper = RedisScraper(target)
        yield ScrapeJob(
            target=target.name,
            kind="redis",
            scraper=scraper,
            every=target.every,
            timeout=target.timeout,
            advise=scraper.advise,
        )
