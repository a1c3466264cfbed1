"""`GET /api/v1/jobs`: every job with its runs of a window, and since when it did not run."""

from __future__ import annotations

from functools import partial

from aiohttp import web
from msgspec import Struct, structs

from monitord.http.keys import PORTS
from monitord.http.parameter import Query
from monitord.http.parameters import span_of
from monitord.http.ports import Ports
from monitord.http.shared import shared
from monitord.http.sources import in_time
from monitord.store.jobs import TREND_POINTS, JobStats


FRESH_SECONDS = 2.0


class Job(JobStats, frozen=True, kw_only=True):
    """
    The runs of one job in a window; durations in ms, null without a run.

    `last_run` and `last_failure` are Unix seconds to the minute, of before the window too; null
    where none is kept. `age_seconds` is how long ago the last run was. `trend` and
    `failures_trend` are the runs, and the failed ones, of each 24th part of the window.
    """

    age_seconds: float | None


class JobList(Struct, frozen=True, kw_only=True):
    """
    The jobs there are, by service and name. The window is widened to whole minutes.

    Runs and maximum are of the window since `counts_since`, percentiles since `quantiles_since`:
    all of it, but where those are too many.
    """

    start: float
    end: float
    step_seconds: float
    counts_since: float
    quantiles_since: float
    jobs: list[Job]


async def jobs_of(request: web.Request) -> web.Response:
    return await shared(
        request, "jobs", FRESH_SECONDS, partial(get_jobs, request.app[PORTS], request.query)
    )


async def get_jobs(ports: Ports, query: Query) -> JobList:
    """Return the jobs of the window that is asked for."""
    now = ports.now()
    span = span_of(query, now)
    found = await in_time(ports.jobs.stats(span.start, span.end))
    return JobList(
        start=found.start,
        end=found.end,
        step_seconds=(found.end - found.start) / TREND_POINTS,
        counts_since=found.counts_since,
        quantiles_since=found.quantiles_since,
        jobs=[aged(one, now) for one in found.jobs],
    )


def aged(job: JobStats, now: float) -> Job:
    age = None if job.last_run is None else max(0.0, now - job.last_run)
    return Job(**structs.asdict(job), age_seconds=age)
