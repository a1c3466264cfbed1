"""What the PostgreSQL scraper is made of: questions, each with its query beside it."""

from __future__ import annotations

from typing import Protocol

from monitord.model import Problem, Reason, Scrape
from monitord.scrapers.postgres.session import Session, Who


# What costs the target more than a glance is asked no more often than this, in seconds.
SELDOM = 30.0


class Question(Protocol):
    """
    One question to the server.

    It asks by the columns that exist, not by version. It raises what asyncpg raises: the scraper
    makes one problem of it. `what` names the question in problems; it is not asked again before
    `every` seconds have passed (0: in each scrape).
    """

    what: str
    every: float

    async def ask(self, session: Session) -> Scrape: ...


def statistics_grant(what: str, who: Who, detail: str) -> Problem:
    """Return the problem that the role sees only what is its own."""
    return Problem(what, Reason.PERMISSION, detail, f"GRANT pg_read_all_stats TO {who.role};")
