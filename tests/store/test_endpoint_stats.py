"""What is read about each endpoint, against the same answer worked out from the requests."""

import time

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import asyncpg
import numpy as np
import pytest

from monitord.histogram import RELATIVE_ERROR
from monitord.model import Batch, ErrorInfo, Frame, Request
from monitord.store.endpoint_stats import EndpointReader, EndpointStats
from monitord.store.pool import Store
from monitord.store.requests import RequestReader
from monitord.store.rollups import Compactor


Write = Callable[[Sequence[Frame]], Awaitable[None]]

ENDPOINTS = 30
DAYS = 20

# What a window is widened to, by its length: see tiers.window.
MINUTE, HOUR = 60, 3_600


async def merge(store: Store) -> None:
    while await Compactor(store).merge(datetime.now(UTC), all_minutes=True):
        pass


def history(now: float, count: int) -> list[Request]:
    """Draw requests of the last DAYS days, thicker towards now, in order; few of some endpoints."""
    draw = np.random.default_rng(3)
    ages = np.sort(draw.exponential(DAYS * 86_400 / 8, count))[::-1]
    endpoints = np.minimum(draw.exponential(6, count).astype(int), ENDPOINTS - 1)
    durations = draw.lognormal(2.5 + endpoints / 10, 1.0).round(3).clip(0.001)
    statuses = draw.choice([200, 200, 200, 204, 404, 500, 503], count)
    failed = draw.random(count) < 0.02
    return [
        Request(
            time=now - age,
            service=f"service{endpoint % 2}",
            method="GET",
            route=f"/resource{endpoint}",
            status=status,
            duration_ms=ms,
            error=ErrorInfo("ValueError") if error else None,
        )
        for age, endpoint, ms, status, error in zip(
            *(each.tolist() for each in (ages, endpoints, durations, statuses, failed)), strict=True
        )
    ]


def nearest_rank(requests: Sequence[Request]) -> dict[tuple[str, str, str], EndpointStats]:
    """Work the figures of every endpoint out from the requests themselves."""
    by_name = defaultdict(list)
    for one in requests:
        by_name[one.service, one.method, one.route].append(one)
    found = {}
    for name, some in by_name.items():
        ms = np.array([one.duration_ms for one in some])
        errors = [one.status >= 500 or one.error is not None for one in some]
        clients = [
            400 <= one.status < 500 and not error for one, error in zip(some, errors, strict=True)
        ]
        quantiles = np.quantile(ms, (0.5, 0.95, 0.99), method="inverted_cdf").tolist()
        figures = (len(some), sum(errors), sum(clients), ms.mean(), *quantiles, ms.max())
        found[name] = EndpointStats(*name, *figures)
    return found


def compare(
    found: Sequence[EndpointStats], true: dict[tuple[str, str, str], EndpointStats]
) -> None:
    kept = {(one.service, one.method, one.route): one for one in found}
    assert kept.keys() == true.keys()
    for name, one in kept.items():
        for exact in ("count", "errors", "client_errors"):
            assert getattr(one, exact) == getattr(true[name], exact), (name, exact)
        for near in ("avg_ms", "max_ms"):
            assert getattr(one, near) == pytest.approx(getattr(true[name], near)), (name, near)
        for quantile in ("p50_ms", "p95_ms", "p99_ms"):
            exactly = pytest.approx(getattr(true[name], quantile), rel=RELATIVE_ERROR)
            assert getattr(one, quantile) == exactly, (name, quantile)


@pytest.mark.parametrize("merged", ["none", "half", "all"])
async def test_every_window_says_what_its_requests_say(
    store: Store, write: Write, merged: str
) -> None:
    """
    Of minutes, hours or days at its edges, merged or not, a window's figures are those of numpy's
    nearest rank over its requests: exact, quantiles within 0.55 %.
    """
    now = time.time() // HOUR * HOUR
    requests = history(now, 2_000)
    half = len(requests) // 2
    await write([Frame(1, 1, Batch(now, requests=requests[:half]))])
    if merged == "half":
        await merge(store)
    await write([Frame(1, 2, Batch(now, requests=requests[half:]))])
    if merged == "all":
        await merge(store)
    reader = EndpointReader(store)

    for seconds, step in ((HOUR, MINUTE), (25 * HOUR, MINUTE), (9 * 24 * HOUR - 4_440, HOUR)):
        for later in (0, 37 * 60, 5 * HOUR + 61):
            end = now - later
            first, last = (end - seconds) // step * step, -(-end // step) * step

            found = await reader.stats(end - seconds, end)

            compare(found, nearest_rank([one for one in requests if first <= one.time < last]))


async def test_counts_add_up_to_the_whole(store: Store, write: Write) -> None:
    """
    The endpoints of a window hold together what RequestReader says of the same window.
    """
    now = time.time()
    await write([Frame(1, 1, Batch(now, requests=history(now, 1_000)))])
    await merge(store)

    for seconds in (3_000, 40 * HOUR, 12 * 24 * HOUR):
        found = await EndpointReader(store).stats(now - seconds, now)
        whole = await RequestReader(store).stats(now - seconds, now)

        assert whole is not None
        for name in ("count", "errors", "client_errors"):
            assert sum(getattr(one, name) for one in found) == getattr(whole, name)
        assert max(one.max_ms for one in found) == whole.max_ms


async def test_nothing_recorded_is_no_endpoint(store: Store, write: Write) -> None:
    """
    An endpoint nobody asked for in the window is not in the answer.
    """
    now = time.time()
    old, young = (Request(now - age, "shop", "GET", f"/{age}", 200, 10.0) for age in (7_200, 60))
    await write([Frame(1, 1, Batch(now, requests=[old, young]))])

    assert [one.route for one in await EndpointReader(store).stats(now - 600, now)] == ["/60"]
    assert await EndpointReader(store).stats(now - 3_600, now - 600) == []


async def test_rows_of_another_instance_are_not_read(
    store: Store, write: Write, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """
    Two daemons in one store do not see each other's requests, though their endpoints share numbers.
    """
    now = time.time()
    await write([Frame(1, 1, Batch(now, requests=[Request(now, "shop", "GET", "/", 200, 10.0)]))])
    await sql.execute("INSERT INTO hosts (host_id, instance) VALUES (77, 'other')")
    await sql.execute(
        "CREATE TEMP TABLE names AS TABLE endpoints; UPDATE names SET host_id = 77;"
        "INSERT INTO endpoints TABLE names;"
        "CREATE TEMP TABLE parts AS TABLE request_rollup_deltas; UPDATE parts SET host_id = 77;"
        "INSERT INTO request_rollup_deltas TABLE parts"
    )

    found = await EndpointReader(store).stats(now - 600, now + 1)

    assert [(one.route, one.count) for one in found] == [("/", 1)]
