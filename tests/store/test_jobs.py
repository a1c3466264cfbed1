"""What jobs did, against the same worked out from their runs."""

from __future__ import annotations

import time

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest

from monitord.histogram import RELATIVE_ERROR
from monitord.model import Batch, Frame, Metric
from monitord.store import jobs
from monitord.store.jobs import JobReader
from monitord.store.pool import Store


Write = Callable[[Sequence[Frame]], Awaitable[None]]

# The start of an hour some hours ago.
AT = time.time() // 3_600 * 3_600 - 4 * 3_600


def run(
    at: float,
    ms: float,
    job: str = "mail",
    outcome: str = "success",
    service: str = "worker",
    **more: str,
) -> Metric:
    attributes = {"job": job, "outcome": outcome, **more}
    return Metric(
        at, "job.duration", ms, service=service, kind="histogram", unit="ms", attributes=attributes
    )


async def put(write: Write, *runs: Metric) -> None:
    await write([Frame(1, 1, Batch(time.time(), metrics=list(runs)))])


async def test_runs_of_a_job(store: Store, write: Write) -> None:
    """
    Runs and failures of all series of a job add up, their durations are put together, and parts of
    the window show how it went on.
    """
    took = np.random.default_rng(1).lognormal(3, 1, 240).round(3).tolist()
    outcomes = ["failure" if n % 8 == 0 else "success" for n in range(240)]
    runs = [
        run(AT + 30 * n, ms, outcome=outcome, queue=f"q{n % 3}")
        for n, (ms, outcome) in enumerate(zip(took, outcomes, strict=True))
    ]
    await put(write, *runs)

    found = await JobReader(store).stats(AT, AT + 7_200)

    assert (found.start, found.end, found.quantiles_since) == (AT, AT + 7_200, AT)
    [one] = found.jobs
    assert (one.service, one.job, one.runs, one.failures) == ("worker", "mail", 240, 30)
    assert one.max_ms == max(took)
    for value, share in ((one.p50_ms, 0.5), (one.p95_ms, 0.95)):
        exact = np.quantile(took, share, method="inverted_cdf")
        assert value == pytest.approx(exact, rel=RELATIVE_ERROR)
    assert one.trend == [10] * 24
    assert sum(one.failures_trend) == 30
    assert set(one.failures_trend) == {1, 2}
    assert (one.last_run, one.last_failure) == (AT + 7_140, AT + 6_960)


async def test_every_job_is_there(store: Store, write: Write) -> None:
    """
    Jobs are told apart by service and name. One that did not run in the window has no run, and when
    it did last is said.
    """
    await put(
        write,
        run(AT, 5.0),
        run(AT - 86_400, 7.0, "report"),
        run(AT, 9.0, service="beat"),
        Metric(AT, "job.duration", 1.0, service="gauge"),
    )

    found = (await JobReader(store).stats(AT - 60, AT + 61)).jobs

    named = {(one.service, one.job): one for one in found}
    assert list(named) == [("beat", "mail"), ("worker", "mail"), ("worker", "report")]
    silent = named["worker", "report"]
    assert (silent.runs, silent.failures, silent.trend) == (0, 0, [0] * 24)
    assert (silent.p50_ms, silent.p95_ms, silent.max_ms) == (None, None, None)
    assert (silent.last_run, silent.last_failure) == (AT - 86_400, None)
    assert named["worker", "mail"].runs == 1


async def test_quantiles_of_the_newest_runs(
    store: Store, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Of too many minutes the newest give the quantiles, and it is said since when; counts and
    maximum are of all.
    """
    monkeypatch.setattr(jobs, "MOST_MINUTES", 2)
    await put(write, *(run(AT + 60 * n, 1_000.0 if n < 2 else 10.0) for n in range(4)))

    found = await JobReader(store).stats(AT, AT + 3_600)

    [one] = found.jobs
    assert found.quantiles_since == AT + 120
    assert (one.runs, one.max_ms) == (4, 1_000.0)
    assert one.p95_ms == pytest.approx(10.0, rel=RELATIVE_ERROR)


async def test_counts_of_the_newest_runs(
    store: Store, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Beyond so many minutes the newest are counted, whole minutes of all jobs, and it is said since
    when.
    """
    monkeypatch.setattr(jobs, "MOST_COUNTED", 5)
    runs = [run(AT + 60 * n, 1_000.0 - n, job) for n in range(4) for job in ("mail", "report")]
    await put(write, *runs)

    found = await JobReader(store).stats(AT, AT + 3_600)

    assert found.counts_since == AT + 120
    assert [(one.runs, one.max_ms) for one in found.jobs] == [(2, 998.0)] * 2
    assert (await JobReader(store).stats(AT + 120, AT + 3_600)).counts_since == AT + 120


async def test_no_job(store: Store) -> None:
    """
    Without a job there is none, and no error.
    """
    assert (await JobReader(store).stats(AT, AT + 3_600)).jobs == []
