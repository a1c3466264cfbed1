"""What the schedule is given: one scraper of one target, and its pace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from monitord.model import Problem, Scraper


class ScrapeJob(Struct, frozen=True, kw_only=True):
    """
    One target to be read every `every` seconds, within `timeout` seconds.

    `advise` is for `monitord check`: what is unwise about a target that works, and what mends it.
    """

    target: str
    kind: str
    scraper: Scraper
    every: float
    timeout: float
    advise: Callable[[], Awaitable[Sequence[Problem]]] | None = None
