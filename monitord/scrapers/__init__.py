"""Everything that can be scraped: one package or module a kind of target, registered here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from monitord.scrapers import daemon, host, postgres, redis
from monitord.scrapers.jobs import ScrapeJob
from monitord.settings import Targets
from monitord.telemetry import Telemetry


__all__ = ["OPENERS", "ScrapeJob", "open_scrapers"]

Opener = Callable[[Targets, Telemetry], Iterable[ScrapeJob]]

# Kind of target -> what makes its jobs. A new kind is a line here.
OPENERS: dict[str, Opener] = {
    "redis": redis.open_jobs,
    "postgres": postgres.open_jobs,
    "host": host.open_jobs,
    "monitord": daemon.open_jobs,
}


def open_scrapers(targets: Targets, telemetry: Telemetry) -> list[ScrapeJob]:
    """
    Return a job for every target; nothing is connected yet.

    Raises SettingsError: an address or its certificates cannot be used.
    """
    return [job for opener in OPENERS.values() for job in opener(targets, telemetry)]
