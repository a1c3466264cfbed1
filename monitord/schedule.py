"""
Reads every target at its pace, judges each scrape, and hands on what came of it.

Whatever a target does is a reading: a scrape never ends the schedule, and a failed one is a sample
of `target.up` = 0 all the same. Paces are kept on the monotonic clock; the wall clock only stamps.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time

from collections.abc import Callable, Iterator, Sequence

import structlog

from msgspec import Struct, structs

from monitord.backoff import backoff
from monitord.model import Batch, Metric, Problem, Reading, Reason, Scrape, ScrapeError, Sink
from monitord.scrapers.jobs import ScrapeJob
from monitord.scrapers.samples import gauge
from monitord.scrapers.text import one_line
from monitord.telemetry import Telemetry


log = structlog.stdlib.get_logger(__name__)

# So many targets do not begin at the same instant.
JITTER_SECONDS = 0.5
# Increments need two scrapes, or three where the first one's own cost is left out: these follow
# each other so soon.
FIRST_SCRAPES = 3
FIRST_SCRAPES_SECONDS = 2.0
FIRST_RETRY_SECONDS = 2.0
# A wrong password is not tried more often: servers lock accounts, and log every attempt.
AUTH_PAUSE_SECONDS = 30.0
CLOSE_SECONDS = 2.0


class Pace:
    """When the next scrape is due, after how the last one went. Times are monotonic seconds."""

    def __init__(self, every: float, start: float) -> None:
        self._every = every
        self._due = start
        self._retries: Iterator[float] | None = None
        self._successes = 0

    @property
    def due(self) -> float:
        return self._due

    def succeeded(self, now: float) -> int:
        """Set the next time; return how many were missed because the scrape took so long."""
        self._retries = None
        self._successes += 1
        soon = self._successes < FIRST_SCRAPES
        return self._advance(min(self._every, FIRST_SCRAPES_SECONDS) if soon else self._every, now)

    def failed(self, now: float) -> int:
        """Set the next time, never further away than the pace; none is missed."""
        self._successes = 0
        if self._retries is None:
            self._retries = backoff(min(FIRST_RETRY_SECONDS, self._every), self._every)
        self._due = max(now, self._due + next(self._retries))
        return 0

    def waits(self, now: float) -> int:
        """Set the next time without a judgement; return how many were missed."""
        return self._advance(self._every, now)

    def _advance(self, wait: float, now: float) -> int:
        self._due += wait
        missed = max(0, math.ceil((now - self._due) / self._every))
        self._due += missed * self._every
        return missed


class Outcome(Struct, frozen=True):
    """What one scrape came to: the reading, without time, and the samples."""

    up: bool
    duration_ms: float
    metrics: Sequence[Metric] = ()
    reason: Reason | None = None
    detail: str = ""
    remedy: str = ""
    problems: Sequence[Problem] = ()


class Schedule:
    """One task a target, each at its own pace; no scrape of a target overlaps its next."""

    def __init__(
        self,
        jobs: Sequence[ScrapeJob],
        sink: Sink,
        note: Callable[[Reading], None],
        telemetry: Telemetry,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._jobs = jobs
        self._sink = sink
        self._note = note
        self._telemetry = telemetry
        self._now = now

    async def run(self) -> None:
        """Scrape until cancelled; close every scraper then."""
        async with asyncio.TaskGroup() as group:
            for job in self._jobs:
                group.create_task(self._follow(job), name=f"scrape {job.kind} {job.target}")

    async def _follow(self, job: ScrapeJob) -> None:
        clock = time.monotonic
        pace = Pace(job.every, clock() + random.uniform(0, JITTER_SECONDS))
        outcome: Outcome | None = None
        attempted = -math.inf
        try:
            while True:
                await asyncio.sleep(max(0.0, pace.due - clock()))
                if outcome is not None and _is_held(outcome, clock() - attempted):
                    missed = pace.waits(clock())
                    self._publish(job, structs.replace(outcome, metrics=()))
                    self._count(job, "held")
                else:
                    before, attempted = outcome, clock()
                    outcome = await scrape(job)
                    missed = pace.succeeded(clock()) if outcome.up else pace.failed(clock())
                    self._publish(job, outcome, attempted=True)
                    self._count(job, "up" if outcome.up else "down")
                    _tell(job, before, outcome)
                self._count(job, "skipped", missed)
        finally:
            await _close(job)

    def _publish(self, job: ScrapeJob, outcome: Outcome, *, attempted: bool = False) -> None:
        at = self._now()
        own = {"kind": job.kind}
        metrics = [gauge("target.up", outcome.up, **own)]
        if attempted:
            seconds = outcome.duration_ms / 1000
            self._telemetry.scrape_seconds.labels(job.kind, job.target).set(seconds)
            metrics.append(gauge("target.scrape.duration_ms", outcome.duration_ms, "ms", **own))
        metrics += outcome.metrics
        self._note(_reading(job, outcome, at))
        stamped = [_stamped(metric, job.target, at) for metric in metrics]
        batch = Batch(at, metrics=[metric for metric in stamped if math.isfinite(metric.value)])
        self._telemetry.events.labels("scrape", "metric").inc(len(batch))
        if not self._sink.offer(batch):
            self._telemetry.dropped.labels("scrape").inc(len(batch))

    def _count(self, job: ScrapeJob, outcome: str, count: int = 1) -> None:
        if count:
            self._telemetry.scrapes.labels(job.kind, job.target, outcome).inc(count)


async def scrape(job: ScrapeJob) -> Outcome:
    """Scrape once within the deadline; return what it came to, whatever happened."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(job.timeout):
            found = await job.scraper.scrape()
    except ScrapeError as error:
        return _failed(started, error)
    except asyncio.CancelledError:
        if asyncio.current_task().cancelling():  # type: ignore[union-attr]
            raise
        # Not we were cancelled: something the scraper awaited was.
        return _failed(started, ScrapeError(Reason.ERROR, "the scrape was cut off"))
    except TimeoutError:
        detail = f"no answer within {job.timeout:g} s"
        return _failed(started, ScrapeError(Reason.TIMEOUT, detail))
    except Exception as error:
        log.debug("target.failure", target=job.target, kind=job.kind, exc_info=True)
        text = one_line(f"{type(error).__name__}: {error}")
        return _failed(started, ScrapeError(Reason.ERROR, text))
    return _passed(started, found)


def _passed(started: float, found: Scrape) -> Outcome:
    return Outcome(True, _since(started), found.metrics, problems=tuple(found.problems))


def _failed(started: float, error: ScrapeError) -> Outcome:
    return Outcome(
        False,
        _since(started),
        reason=error.reason,
        detail=error.detail,
        remedy=error.remedy,
    )


def _since(started: float) -> float:
    return (time.monotonic() - started) * 1000


def _is_held(outcome: Outcome, seconds_ago: float) -> bool:
    return outcome.reason is Reason.AUTH and seconds_ago < AUTH_PAUSE_SECONDS


def _reading(job: ScrapeJob, outcome: Outcome, at: float) -> Reading:
    return Reading(
        target=job.target,
        kind=job.kind,
        at=at,
        up=outcome.up,
        duration_ms=outcome.duration_ms,
        reason=outcome.reason,
        detail=outcome.detail,
        remedy=outcome.remedy,
        problems=outcome.problems,
    )


def _stamped(metric: Metric, target: str, at: float) -> Metric:
    return structs.replace(metric, time=at, attributes={"target": target, **metric.attributes})


def _tell(job: ScrapeJob, before: Outcome | None, now: Outcome) -> None:
    """Log what has changed since the scrape before: up or down, why, and what is missing."""
    who = {"target": job.target, "kind": job.kind}
    if not now.up:
        if before is None or before.up or before.reason is not now.reason:
            why = {"reason": str(now.reason), "detail": now.detail, "remedy": now.remedy}
            log.warning("target.down", **who, **why)
        return
    if before is None or not before.up:
        log.info("target.up", **who)
    known = {problem.what for problem in before.problems} if before is not None else set()
    for problem in now.problems:
        if problem.what not in known:
            why = {"reason": str(problem.reason), "detail": problem.detail}
            log.warning("target.partial", **who, what=problem.what, **why, remedy=problem.remedy)


async def _close(job: ScrapeJob) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await job.scraper.close()
