"""`GET /api/v1/endpoints`: what the rollups say of every endpoint, over any window."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from msgspec import Struct

from monitord.http.keys import PORTS
from monitord.http.parameter import choice, whole
from monitord.http.parameters import span_of
from monitord.http.respond import answer
from monitord.store.endpoint_stats import EndpointStats


# By what endpoints are sorted, the largest first.
KEYS: dict[str, Callable[[EndpointStats], float]] = {
    "total": lambda one: one.count * one.avg_ms,
    "count": lambda one: one.count,
    "errors": lambda one: one.errors,
    "error_ratio": lambda one: one.errors / one.count,
    "avg_ms": lambda one: one.avg_ms,
    "p50_ms": lambda one: one.p50_ms,
    "p95_ms": lambda one: one.p95_ms,
    "p99_ms": lambda one: one.p99_ms,
    "max_ms": lambda one: one.max_ms,
}

SORT = choice(
    "sort",
    "What comes first: the largest of this. `total` is the time of all requests.",
    KEYS,
    "total",
)
MOST = whole("limit", "How many endpoints at most.", 1, 1_000, 100)


class Endpoint(Struct, frozen=True, kw_only=True):
    """
    The requests of one endpoint. An error is a status of 500 or above, or an exception; the others
    with 400 or above are `client_errors`. `error_ratio` is from 0 to 1.

    Counts, average and maximum are exact, percentiles within 0.55 %.
    """

    service: str
    method: str
    route: str
    count: int
    per_second: float
    errors: int
    error_ratio: float
    client_errors: int
    avg_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Endpoints(Struct, frozen=True, kw_only=True):
    """
    The endpoints of a window in the order asked for; `left_out` is how many more there were.

    `seconds` is what was counted of the window: it is widened to whole minutes, of more than 2 days
    to hours, and what lies before this instance's first counting or is still to come is no part of
    it. 0 without a request.
    """

    start: float
    end: float
    seconds: float
    sort: str
    endpoints: list[Endpoint]
    left_out: int


async def endpoints_of(request: web.Request) -> web.Response:
    ports = request.app[PORTS]
    span = span_of(request.query, ports.now())
    key, most = SORT.of(request.query), MOST.of(request.query)
    total = await ports.requests.stats(span.start, span.end)
    found = await ports.endpoints.stats(span.start, span.end)
    # Of equals the names decide, so that they do not change places.
    found.sort(key=lambda one: (-key(one), one.service, one.route, one.method))
    seconds = 0.0 if total is None else total.seconds
    return answer(
        Endpoints(
            start=span.start,
            end=span.end,
            seconds=seconds,
            sort=next(name for name, of in KEYS.items() if of is key),
            endpoints=[_endpoint(one, seconds) for one in found[:most]],
            left_out=max(0, len(found) - most),
        )
    )


def _endpoint(one: EndpointStats, seconds: float) -> Endpoint:
    return Endpoint(
        service=one.service,
        method=one.method,
        route=one.route,
        count=one.count,
        per_second=one.count / seconds if seconds else 0.0,
        errors=one.errors,
        error_ratio=one.errors / one.count,
        client_errors=one.client_errors,
        avg_ms=one.avg_ms,
        p50_ms=one.p50_ms,
        p95_ms=one.p95_ms,
        p99_ms=one.p99_ms,
        max_ms=one.max_ms,
    )
