"""How often targets are scraped, and what follows from it for how old a number may be."""

from __future__ import annotations

from monitord.settings import Settings


def every_of(settings: Settings) -> dict[tuple[str, str], float]:
    """Return how often each (kind, target) is scraped, in seconds."""
    targets = settings.targets
    found = {("redis", target.name): target.every for target in targets.redis}
    found |= {("postgres", target.name): target.every for target in targets.postgres}
    return found | {("host", "host"): targets.host.every}


def fresh(every: float | None) -> float:
    """Return for how many seconds a sample is news: a scrape may be late or fail now and then."""
    return max(60.0, 3 * (every or 0.0))


def scrape_step(settings: Settings, kind: str = "") -> float:
    """
    Return the shortest step for samples, in seconds: half as long again as a scrape's interval.

    Scrapes come a little early or late; a step of just one interval would have false gaps.
    """
    every = every_of(settings).items()
    return 1.5 * max((seconds for (of, _), seconds in every if kind in ("", of)), default=0.0)
