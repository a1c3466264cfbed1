"""The handlers of `/api`: parameters in, one struct out. What they answer is made elsewhere."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from monitord.errors import StoreError, StoreUnreachable
from monitord.http import overview
from monitord.http.answers import (
    LogEntries,
    MetricNames,
    MetricPoints,
    MetricSeries,
    Overview,
    TargetList,
)
from monitord.http.buckets import cut
from monitord.http.charts import CHARTS, chart, memory_note
from monitord.http.gather import request_stats, snapshot
from monitord.http.intervals import scrape_step
from monitord.http.keys import MEMO, ONSETS, PORTS
from monitord.http.lines import Page, entry, line_filter
from monitord.http.parameters import (
    AGGREGATE,
    ATTRIBUTES,
    BEFORE,
    END,
    LEVEL,
    LIMIT,
    NAME,
    RANGE,
    START,
    TEXT,
    span_of,
)
from monitord.http.respond import answer, refusal
from monitord.http.sources import SAMPLE_MEMORY, in_time, memory, memory_step, stored
from monitord.http.summary import summary as make_summary
from monitord.http.trails import draw_sparks, spark_age
from monitord.intake.bus import HELD_LINES


# An acknowledged request must be counted within 2 s; several pages asking at once cost one reading.
FRESH_SECONDS = 0.5


async def get_overview(app: web.Application, range_seconds: float) -> Overview:
    """Return the overview: figures of now; what looks back over the range may be older."""
    ports, memo = app[PORTS], app[MEMO]
    draw = partial(draw_sparks, ports, range_seconds)
    count = partial(request_stats, ports, range_seconds)
    # Counting the requests of a month takes longer than those of an hour, and changes less.
    keep = min(30.0, max(FRESH_SECONDS, range_seconds / 7_200))

    async def make() -> Overview:
        sparks = await memo.get(("sparks", range_seconds), spark_age(range_seconds), draw)
        counted = await memo.get(("requests", range_seconds), keep, count)
        found = snapshot(ports, app[ONSETS], range_seconds, counted, sparks)
        return overview.build(ports.kpis, found)

    found: Overview = await memo.get(("overview", range_seconds), FRESH_SECONDS, make)
    return found


async def overview_of(request: web.Request) -> web.Response:
    return answer(await get_overview(request.app, RANGE.of(request.query)))


async def summary(request: web.Request) -> web.Response:
    make = partial(make_summary, request.app[PORTS])
    return answer(await request.app[MEMO].get("summary", FRESH_SECONDS, make))


async def chart_of(request: web.Request) -> web.Response:
    name = request.match_info["chart"]
    if name not in CHARTS:
        return refusal(404, f"no such chart; there are {', '.join(CHARTS)}")
    ports = request.app[PORTS]
    return answer(await chart(ports, name, span_of(request.query, ports.now())))


async def targets(request: web.Request) -> web.Response:
    return answer(TargetList(list(request.app[PORTS].window.targets())))


async def metrics(request: web.Request) -> web.Response:
    """Answer the names of all metrics, or the points of one."""
    ports = request.app[PORTS]
    name = NAME.of(request.query)
    if not name:
        return answer(MetricNames(sorted(await in_time(ports.metrics.names()))))
    span = span_of(request.query, ports.now())
    aggregate, attributes = AGGREGATE.of(request.query), ATTRIBUTES.of(request.query)
    buckets = cut(span.start, span.end, scrape_step(ports.settings))
    note = ""
    try:
        found = await stored(ports).metric(name, attributes, buckets, aggregate)
    except (StoreError, StoreUnreachable) as error:
        note = memory_note(str(error), SAMPLE_MEMORY)
        step = memory_step(span.start, ports.now(), scrape_step(ports.settings))
        buckets = cut(span.start, span.end, step)
        found = await memory(ports).metric(name, attributes, buckets, aggregate)
    return answer(
        MetricPoints(
            name=name,
            aggregate=aggregate,
            start=buckets.start,
            end=buckets.end,
            step_seconds=buckets.step,
            times=buckets.times,
            series=[MetricSeries(attributes, values) for attributes, values in found],
            source="memory" if note else "store",
            note=note,
        )
    )


async def logs(request: web.Request) -> web.Response:
    """Answer a page of log lines, newest first."""
    ports, query = request.app[PORTS], request.query
    level, text, limit = LEVEL.of(query), TEXT.of(query), LIMIT.of(query)
    before, start, end = BEFORE.of(query), START.of(query), END.of(query)
    try:
        found = await in_time(
            ports.logs.page(
                before=before, limit=limit, level_at_least=level, text=text, since=start, until=end
            )
        )
        lines = [entry(line) for line in found.lines]
        return answer(LogEntries(lines, found.next, found.gap, found.searched_since))
    except (StoreError, StoreUnreachable) as error:
        page = Page(line_filter(level, text), limit, before, start, end)
        held = [entry(line) for line in page.of(ports.bus.recent(HELD_LINES).lines)]
        note = f"{error}; these are the newest lines, from memory"
        return answer(LogEntries(held, source="memory", note=note))
