"""`GET /api/v1/series`: which series there are to draw."""

from __future__ import annotations

from aiohttp import web
from msgspec import Struct

from monitord.http.keys import PORTS
from monitord.http.parameter import short_text, whole
from monitord.http.parameters import MATCH, SERVICE
from monitord.http.shared import shared
from monitord.http.sources import in_time
from monitord.store.series import Series


# A new series is looked for at once.
FRESH_SECONDS = 1.0

PART = short_text("name", "Only metrics with this text in their names.", 200)
MOST = whole("limit", "How many series at most.", 1, 500, 100)


class SeriesList(Struct, frozen=True, kw_only=True):
    """Series by name and service; `left_out` is how many more there are."""

    series: list[Series]
    left_out: int


async def series_of(request: web.Request) -> web.Response:
    ports, query = request.app[PORTS], request.query
    name, service = PART.of(query), SERVICE.of(query)
    attributes, limit = MATCH.of(query), MOST.of(query)

    async def make() -> SeriesList:
        found = await in_time(ports.series.find(name, service, attributes, limit))
        return SeriesList(series=found.series, left_out=found.left_out)

    return await shared(request, "series", FRESH_SECONDS, make)
