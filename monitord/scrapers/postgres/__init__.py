"""PostgreSQL servers, read through their statistics views."""

from __future__ import annotations

from collections.abc import Iterator

from monitord.scrapers.jobs import ScrapeJob
from monitord.scrapers.postgres.scraper import PostgresScraper
from monitord.settings import Targets
from monitord.telemetry import Telemetry


__all__ = ["PostgresScraper", "open_jobs"]


def open_jobs(targets: Targets, _: Telemetry) -> Iterator[ScrapeJob]:
    """Yield a job for every PostgreSQL target."""
    for target in targets.postgres:
        scraper = PostgresScraper(target)
        yield ScrapeJob(
            target=target.name,
            kind="postgres",
            scraper=scraper,
            every=target.every,
            timeout=target.timeout,
            advise=scraper.advise,
        )
