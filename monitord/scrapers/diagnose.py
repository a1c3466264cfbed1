"""`monitord check`: tries each target once and says what works, what is missing, what mends it."""

from __future__ import annotations

import asyncio

from collections.abc import Iterable, Sequence

from msgspec import Struct

from monitord.model import Metric, Problem, Reason, Scrape, ScrapeError
from monitord.scrapers.jobs import ScrapeJob
from monitord.scrapers.text import one_line


class Diagnosis(Struct, frozen=True):
    """
    What one attempt found out about a target.

    `works` are the groups of series it gave (`memory`, `connections`). `problems` keep readings
    away: the first one all of them when the target is not `up`. `warnings` keep nothing away.
    """

    target: str
    kind: str
    up: bool
    works: Sequence[str] = ()
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()


async def diagnose(jobs: Iterable[ScrapeJob]) -> list[Diagnosis]:
    """
    Return a diagnosis of every job's target, in their order; they are tried at the same time.

    The jobs' scrapers are closed afterwards.
    """
    return await asyncio.gather(*map(_diagnose, jobs))


async def _diagnose(job: ScrapeJob) -> Diagnosis:
    try:
        async with asyncio.timeout(job.timeout):
            scrape = await job.scraper.scrape()
            warnings = await job.advise() if job.advise is not None else ()
    except ScrapeError as error:
        problem = Problem("connection", error.reason, error.detail, error.remedy)
        return Diagnosis(job.target, job.kind, up=False, problems=[problem])
    except TimeoutError:
        problem = Problem("connection", Reason.TIMEOUT, f"no answer within {job.timeout:g} s")
        return Diagnosis(job.target, job.kind, up=False, problems=[problem])
    except Exception as error:  # noqa: BLE001 - whatever a target does is a finding
        text = one_line(f"{type(error).__name__}: {error}")
        problem = Problem("connection", Reason.ERROR, text)
        return Diagnosis(job.target, job.kind, up=False, problems=[problem])
    finally:
        await job.scraper.close()
    return _healthy(job, scrape, warnings)


def _healthy(job: ScrapeJob, scrape: Scrape, warnings: Sequence[Problem]) -> Diagnosis:
    return Diagnosis(
        job.target,
        job.kind,
        up=True,
        works=sorted(groups(scrape.metrics) - {problem.what for problem in scrape.problems}),
        problems=scrape.problems,
        warnings=warnings,
    )


def groups(metrics: Iterable[Metric]) -> set[str]:
    """Return the second words of the series' names: `memory` of `redis.memory.used_bytes`."""
    return {metric.name.split(".")[1].replace("_", " ") for metric in metrics}
