"""monitord itself: whether everything that came in is accounted for, and how its parts are."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web
from msgspec import Struct

import monitord

from monitord.http.answers import SEVERITY, Banner, BannerItem
from monitord.http.facts import TIME, Fact, Panel
from monitord.http.keys import IDENTITY, PORTS
from monitord.http.ledgers import Ledger, ledgers
from monitord.http.pages import html
from monitord.http.panels import ScrapeCounts, panels, scrapes
from monitord.http.ports import Ports
from monitord.http.respond import answer
from monitord.http.totals import Totals
from monitord.http.units import count


class Itself(Struct, frozen=True, kw_only=True):
    """
    What monitord counts of itself, all read at one instant. Totals are those since `since`, when
    this process began; times are Unix seconds.
    """

    generated_at: float
    since: float
    version: str
    instance: str
    banner: Banner
    ledgers: list[Ledger]
    panels: list[Panel]
    scrapes: list[ScrapeCounts]


def itself(ports: Ports) -> Itself:
    """Return everything in one turn of the event loop: nothing here waits."""
    totals = Totals(ports.telemetry.registry)
    found, parts = ledgers(ports, totals), panels(ports, totals)
    return Itself(
        generated_at=ports.now(),
        since=ports.telemetry.since,
        version=monitord.__version__,
        instance=ports.settings.instance,
        banner=verdict(found, parts),
        ledgers=found,
        panels=parts,
        scrapes=scrapes(totals),
    )


def verdict(found: list[Ledger], parts: list[Panel]) -> Banner:
    """Return whether all adds up, every loss, and what else is not as it should be."""
    items = sorted([*_gaps(found), *_losses(found), *_faults(parts)], key=_severity)
    if items:
        return Banner(items[0].state, items[0].text, None, items)
    return Banner("ok", "Everything adds up, and nothing was lost")


def _severity(item: BannerItem) -> int:
    return SEVERITY[item.state]


def _gaps(found: list[Ledger]) -> Iterator[BannerItem]:
    for one in found:
        if one.adds_up is False and one.difference is not None:
            text = f"{one.title}: {count(abs(one.difference))} events are not accounted for"
            yield BannerItem("critical", text)


def _losses(found: list[Ledger]) -> Iterator[BannerItem]:
    for side in (side for one in found for side in (one.left, one.right)):
        for term in side.terms:
            if term.state in ("critical", "warning") and term.value is not None:
                text = f"{count(term.value)} {side.unit} {term.loss}"
                yield BannerItem(term.state, text)


def _faults(parts: list[Panel]) -> Iterator[BannerItem]:
    for part in parts:
        for fact in part.facts:
            if fact.state in ("critical", "warning"):
                since = fact.value if fact.unit == TIME else None
                text = fact.told or f"{part.title}: {_composed(fact)}"
                yield BannerItem(fact.state, text, since)


def _composed(fact: Fact) -> str:
    name = fact.name[0].lower() + fact.name[1:]
    what = name.removesuffix(" since") if fact.unit == TIME else f"{name} {fact.text}"
    return f"{what} ({fact.note})" if fact.note else what


async def itself_of(request: web.Request) -> web.Response:
    return answer(itself(request.app[PORTS]))


async def page(request: web.Request) -> web.Response:
    """Answer the page, its figures already in it."""
    ports = request.app[PORTS]
    context = {
        "itself": itself(ports),
        "refresh_seconds": ports.settings.web.refresh,
        "insecure": ports.settings.insecure,
        "signed_in": request[IDENTITY].session is not None,
    }
    return html(request.app, "itself.html", context)


async def partial(request: web.Request) -> web.Response:
    """Answer the parts of the page that a refresh replaces."""
    return html(request.app, "partials/itself.html", {"itself": itself(request.app[PORTS])})
