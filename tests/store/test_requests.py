"""What is read about requests, against the same answer worked out from the requests themselves."""

import time

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import asyncpg
import numpy as np
import pytest

from monitord.histogram import RELATIVE_ERROR
from monitord.model import Batch, ErrorInfo, Frame, Request
from monitord.store.pool import Store
from monitord.store.requests import RequestReader
from monitord.store.rollups import Compactor


SQL = asyncpg.Connection
Write = Callable[[Sequence[Frame]], Awaitable[None]]

# The middle of a minute some hours ago.
AT = time.time() // 3_600 * 3_600 - 4 * 3_600 + 30


def request(
    at: float, duration_ms: float = 10.0, status: int = 200, error: bool = False
) -> Request:
    info = ErrorInfo("ValueError") if error else None
    return Request(at, "shop", "GET", "/", status, duration_ms, error=info)


async def merge(store: Store) -> None:
    while await Compactor(store).merge(datetime.now(UTC), all_minutes=True):
        pass


@pytest.mark.parametrize("merged", [False, True])
async def test_statistics_of_a_window(store: Store, write: Write, merged: bool) -> None:
    """
    Count, errors, average and maximum are exact, quantiles within 0.55 %, merged or not.
    """
    durations = np.random.default_rng(1).lognormal(3, 1, 5_000).round(3)
    some = [
        request(AT + n / 10, ms, status=(200, 404, 500, 200)[n % 4], error=n % 10 == 1)
        for n, ms in enumerate(durations.tolist())
    ]
    await write([Frame(1, 1, Batch(AT, requests=some))])
    if merged:
        await merge(store)

    found = await RequestReader(store).stats(AT - 30, AT + 600)

    assert found is not None
    numbers = range(len(some))
    errors = sum(n % 4 == 2 or n % 10 == 1 for n in numbers)
    clients = sum(n % 4 == 1 and n % 10 != 1 for n in numbers)
    assert (found.count, found.errors, found.client_errors) == (5_000, errors, clients)
    assert found.seconds == 660  # whole minutes
    assert found.avg_ms == pytest.approx(durations.mean())
    assert found.max_ms == pytest.approx(durations.max())
    exact = np.quantile(durations, (0.5, 0.95, 0.99), method="inverted_cdf")
    assert [found.p50_ms, found.p95_ms, found.p99_ms] == pytest.approx(exact, rel=RELATIVE_ERROR)


async def test_time_before_the_first_start_was_not_counted(store: Store, write: Write) -> None:
    """
    A young instance's rate is over the time it has been there, not over the window asked for.
    """
    now = time.time()
    await write([Frame(1, 1, Batch(now, requests=[request(now) for _ in range(60)]))])

    found = await RequestReader(store).stats(now - 3_600, now + 1)

    assert found is not None
    assert found.seconds <= 120  # the minute under way, or the one before it


async def test_nothing_recorded_is_no_statistics(store: Store, write: Write) -> None:
    """
    A window in which nothing was recorded answers None: unknown is not zero.
    """
    await write([Frame(1, 1, Batch(AT, requests=[request(AT)]))])

    assert await RequestReader(store).stats(AT - 7_200, AT - 3_600) is None


@pytest.mark.parametrize("hours", [1, 3, 30, 24 * 4, 24 * 20])
async def test_every_length_of_window_counts_everything(
    store: Store, write: Write, hours: int
) -> None:
    """
    Windows that read minutes, hours and days count each request in them once.
    """
    now = time.time()
    steps = [now - hours * 3_600 * part / 97 for part in range(1, 97)]
    frames = [
        Frame(1, seq, Batch(at, requests=[request(at)] * seq)) for seq, at in enumerate(steps, 1)
    ]
    await write(frames[::2])
    await merge(store)
    await write([Frame(2, one.seq, one.batch) for one in frames[1::2]])

    found = await RequestReader(store).stats(now - hours * 3_600, now)

    assert found is not None
    assert found.count == 96 * 97 // 2


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("step", [60, 120, 3_600])
async def test_points_over_time(store: Store, write: Write, step: int, merged: bool) -> None:
    """
    Each point holds the requests of its step; a step without any is None in every column.
    """
    at = [AT, AT + 10, AT + 60, AT + 3_600, AT + 3_600 + 119]
    await write([Frame(1, 1, Batch(AT, requests=[request(one, status=500) for one in at]))])
    if merged:
        await merge(store)

    found = await RequestReader(store).points(AT - 30, AT + 7_200, step)

    expected: dict[int, int] = {}
    for one in at:
        start = int(one // step * step)
        expected[start] = expected.get(start, 0) + 1
    assert found.times[0] <= AT - 30 < found.times[0] + step
    assert np.diff(found.times).tolist() == [step] * (len(found.times) - 1)
    known = {t: n for t, n in zip(found.times, found.count, strict=True) if n is not None}
    assert known == expected
    assert [n is None for n in found.count] == [p is None for p in found.p95_ms]
    assert [n for n in found.errors if n] == list(expected.values())


async def test_points_shorter_than_a_minute_share_it(store: Store, write: Write) -> None:
    """
    A step of 20 s shows each third of a minute with its figures and a third of its count.
    """
    start = AT - 30
    await write([Frame(1, 1, Batch(AT, requests=[request(AT + n) for n in range(9)]))])

    found = await RequestReader(store).points(start - 20, start + 80, 20)

    assert found.count == [None, 3, 3, 3, None]
    assert found.p50_ms[1] == pytest.approx(10, rel=RELATIVE_ERROR)


async def test_points_of_a_time_without_minutes_come_from_hours(
    store: Store, write: Write, sql: SQL
) -> None:
    """
    Where minutes are not kept any more, short points share what is known of their hour.
    """
    hour = time.time() // 3_600 * 3_600 - 8 * 86_400
    await write([Frame(1, 1, Batch(hour, requests=[request(hour + n) for n in range(12)]))])
    await merge(store)
    await sql.execute("DELETE FROM request_rollups WHERE tier = 60")

    found = await RequestReader(store).points(hour, hour + 3_600, 900)

    assert found.count == [3, 3, 3, 3]


@pytest.mark.parametrize("step", [0, -60, 7, 90, 61, 0.5])
async def test_step_that_fits_no_minute_is_refused(store: Store, step: float) -> None:
    """
    A step must be whole minutes or divide one.
    """
    with pytest.raises(ValueError, match="divisor or multiple of 60"):
        await RequestReader(store).points(AT, AT + 60, step)


async def test_other_instances_are_not_counted(store: Store, write: Write, sql: SQL) -> None:
    """
    What another instance has stored in the same database is not ours.
    """
    await write([Frame(1, 1, Batch(AT, requests=[request(AT)]))])
    await sql.execute("UPDATE request_rollup_deltas SET host_id = 2")

    assert await RequestReader(store).stats(AT - 60, AT + 60) is None
