"""`GET /api/v1/errors`: the kinds of exceptions of a window, and all there is of one."""

from __future__ import annotations

import re

from aiohttp import web
from msgspec import Struct, structs

from monitord.http.keys import PORTS
from monitord.http.parameter import whole
from monitord.http.parameters import SERVICE, Span, span_of
from monitord.http.respond import answer, refusal
from monitord.http.shared import shared
from monitord.http.sources import in_time
from monitord.model import ErrorInfo
from monitord.store.errors import ErrorGroup, ErrorPlace, ErrorRequest


FRESH_SECONDS = 2.0

MOST = whole("limit", "How many kinds of exceptions at most.", 1, 1_000, 100)


class SeenError(ErrorGroup, frozen=True, kw_only=True):
    """
    A kind of exception of a window. It is `new` when it was first seen within, and `regressed` when
    it came back within, after a week without. `endpoints` are the five with most of its requests.
    """

    new: bool
    regressed: bool
    endpoints: list[ErrorPlace]


class ErrorList(Struct, frozen=True, kw_only=True):
    """The kinds of exceptions of a window, the one seen last first; `left_out` more there are."""

    start: float
    end: float
    errors: list[SeenError]
    left_out: int


class OneError(ErrorGroup, frozen=True, kw_only=True):
    """
    A kind of exception. `sample` is the newest one, its innermost frame last; `newest` are its
    newest requests.

    With `searched_since` (Unix seconds) the search for requests had no more time beyond.
    """

    sample: ErrorInfo
    endpoints: list[ErrorPlace]
    newest: list[ErrorRequest]
    searched_since: float | None


async def errors_of(request: web.Request) -> web.Response:
    ports, query = request.app[PORTS], request.query
    span = span_of(query, ports.now())
    service, limit = SERVICE.of(query), MOST.of(query)

    async def make() -> ErrorList:
        found = await in_time(ports.errors.seen(span.start, span.end, service, limit))
        return ErrorList(
            start=span.start,
            end=span.end,
            errors=[seen(group, places, span) for group, places in found.groups],
            left_out=found.left_out,
        )

    return await shared(request, "errors", FRESH_SECONDS, make)


async def error_of(request: web.Request) -> web.Response:
    text = request.match_info["error_id"]
    if not (re.fullmatch(r"-?\d{1,19}", text, re.ASCII) and -(2**63) <= int(text) < 2**63):
        return refusal(400, "the id of an error is a whole number of 64 bits")
    found = await in_time(request.app[PORTS].errors.one(int(text)))
    if found is None:
        return refusal(404, "no error of this id is stored")
    return answer(
        OneError(
            **structs.asdict(found.group),
            sample=found.sample,
            endpoints=found.endpoints,
            newest=found.newest,
            searched_since=found.searched_since,
        )
    )


def seen(group: ErrorGroup, places: list[ErrorPlace], span: Span) -> SeenError:
    """Return a kind of exception as a window has it."""
    return SeenError(
        **structs.asdict(group),
        new=span.start <= group.first_seen < span.end,
        regressed=group.regressed_at is not None and span.start <= group.regressed_at < span.end,
        endpoints=places,
    )
