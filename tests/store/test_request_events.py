"""What is read row by row, against the same answer worked out from the requests themselves."""

import asyncio
import math
import time

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest

from monitord import settings
from monitord.errors import StoreUnreachable
from monitord.histogram import RELATIVE_ERROR
from monitord.model import Batch, ErrorInfo, Frame, Request
from monitord.store import request_events
from monitord.store.dropping import detach
from monitord.store.partitions import day_of, name_of
from monitord.store.pool import Store, open_pool
from monitord.store.request_events import MOST_ENDPOINTS, Figures, RequestEvents, times_in
from monitord.store.requests import RequestReader
from monitord.telemetry import Telemetry


SQL = asyncpg.Connection
Write = Callable[[Sequence[Frame]], Awaitable[None]]

# The start of a minute some hours ago.
AT = time.time() // 3_600 * 3_600 - 4 * 3_600
DAY = 86_400.0


def request(
    at: float = AT,
    duration_ms: float = 10.0,
    status: int = 200,
    route: str = "/",
    error: bool = False,
    trace: UUID | None = None,
) -> Request:
    info = ErrorInfo("ValueError") if error else None
    trace_id = None if trace is None else trace.hex
    return Request(at, "shop", "GET", route, status, duration_ms, trace_id=trace_id, error=info)


async def put(write: Write, *requests: Request, seq: int = 1) -> None:
    await write([Frame(1, seq, Batch(time.time(), requests=list(requests)))])


def nearest_rank(durations: Sequence[float], share: float) -> float:
    """Return the smallest of the durations that at least this share of them does not exceed."""
    return sorted(durations)[math.ceil(share * len(durations)) - 1]


DURATIONS = {
    "random": np.random.default_rng(1).lognormal(3, 1, 4_999).round(3).tolist(),
    "ties": np.random.default_rng(2).integers(1, 8, 1_000).astype(float).tolist(),
    "hundred": [float(n) for n in range(1, 101)],
    "two": [1.0, 1_000.0],
    "one": [12.345],
}


@pytest.mark.parametrize("durations", DURATIONS.values(), ids=DURATIONS)
async def test_figures_are_those_of_the_requests(
    store: Store, write: Write, durations: list[float]
) -> None:
    """
    Each percentile is the duration of the nearest rank to the microsecond, also among equal ones.
    """
    await put(write, *(request(AT + n / 100, ms) for n, ms in enumerate(durations)))

    found = (await RequestEvents(store).exact(AT, AT + 300)).whole

    assert found.count == len(durations)
    ranks = [nearest_rank(durations, share) for share in (0.5, 0.95, 0.99)]
    assert [found.p50_ms, found.p95_ms, found.p99_ms] == ranks
    assert found.max_ms == max(durations)
    assert found.avg_ms == pytest.approx(np.mean(durations), rel=1e-12)


async def test_rollups_say_nearly_the_same(store: Store, write: Write) -> None:
    """
    Of the same whole minutes the pages' own figures differ by 0.55 % at most.
    """
    durations = DURATIONS["random"]
    await put(write, *(request(AT + n * 0.06, ms) for n, ms in enumerate(durations)))

    exact = (await RequestEvents(store).exact(AT, AT + 300)).whole
    sketch = await RequestReader(store).stats(AT, AT + 300)

    assert sketch is not None
    assert (sketch.count, sketch.errors, sketch.max_ms) == (exact.count, exact.errors, exact.max_ms)
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        assert getattr(sketch, name) == pytest.approx(getattr(exact, name), rel=RELATIVE_ERROR)


async def test_no_request_is_no_figure(store: Store) -> None:
    """
    Of a window without a request, and without a day of its own, the count is 0 and the rest null.
    """
    found = await RequestEvents(store).exact(AT, AT + 300)

    nothing = Figures(
        count=0, errors=0, avg_ms=None, p50_ms=None, p95_ms=None, p99_ms=None, max_ms=None
    )
    assert found.whole == nothing
    assert (found.endpoints, found.left_out) == ([], 0)


async def test_the_end_is_not_part_of_the_window(store: Store, write: Write) -> None:
    """
    A request at the very start counts, one at the very end does not.
    """
    await put(write, request(AT - 0.001), request(AT), request(AT + 59.999), request(AT + 60))

    assert (await RequestEvents(store).exact(AT, AT + 60)).whole.count == 2


async def test_what_is_an_error(store: Store, write: Write) -> None:
    """
    A status of 500 or above is an error, and so is an exception; a client error is none.
    """
    kinds = [(200, False), (404, False), (499, False), (500, False), (503, True), (200, True)]
    await put(write, *(request(status=status, error=error) for status, error in kinds))

    assert (await RequestEvents(store).exact(AT, AT + 60)).whole.errors == 3


async def test_each_endpoint_has_its_figures(store: Store, write: Write) -> None:
    """
    Endpoints come with their own figures, those with the most requests first.
    """
    slow = [request(AT, ms, 500, "/slow") for ms in (100, 300, 200)]
    quick = [request(AT, ms, 200, "/quick") for ms in (1, 2, 3, 4, 5)]
    await put(write, *slow, *quick)

    found = (await RequestEvents(store).exact(AT, AT + 60)).endpoints

    assert [(one.route, one.count, one.errors) for one in found] == [
        ("/quick", 5, 0),
        ("/slow", 3, 3),
    ]
    assert [(one.p50_ms, one.p99_ms, one.avg_ms) for one in found] == [(3, 5, 3), (200, 300, 200)]
    assert {(one.service, one.method) for one in found} == {("shop", "GET")}


async def test_endpoints_beyond_the_most_are_counted(store: Store, write: Write) -> None:
    """
    A flood of endpoints makes no long answer: it says how many were left out, and counts them all.
    """
    few = [request(route=f"/few/{n}") for n in range(7)]
    many = [request(route=f"/many/{n}") for n in range(MOST_ENDPOINTS)] * 2
    await put(write, *few, *many)

    found = await RequestEvents(store).exact(AT, AT + 60)

    assert (len(found.endpoints), found.left_out) == (MOST_ENDPOINTS, 7)
    assert all(one.route.startswith("/many/") for one in found.endpoints)
    assert found.whole.count == 7 + 2 * MOST_ENDPOINTS


async def test_a_longer_window_is_refused(store: Store) -> None:
    """
    More than five minutes are not counted row by row.
    """
    with pytest.raises(ValueError, match="window: expected at most 300 s, got 301"):
        await RequestEvents(store).exact(AT, AT + 301)


async def test_another_instance_is_not_counted(
    store: Store, write: Write, database: str, config: settings.Store
) -> None:
    """
    Requests of another instance on the same store are neither counted nor found by their trace.
    """
    trace = uuid4()
    await put(write, request(trace=trace))

    async with open_pool(config, database, "another", Telemetry()) as other:
        await other.ready()
        events = RequestEvents(other)

        assert other.host_id != store.host_id
        assert (await events.exact(AT, AT + 60)).whole.count == 0
        assert await events.of_trace(trace, near=AT) == []
        assert await events.of_trace(trace) == []


async def test_those_who_ask_together_wait_for_each_other(
    database: str, config: settings.Store, sql: SQL
) -> None:
    """
    A counting that does not end ends with the store's timeout, and so does waiting for it.
    """
    impatient = settings.Store(timeout=0.5, retention=config.retention)
    async with open_pool(impatient, database, "test", Telemetry()) as store:
        await store.ready()
        events = RequestEvents(store)
        async with sql.transaction():
            await sql.execute("LOCK TABLE requests IN ACCESS EXCLUSIVE MODE")

            asked = [events.exact(AT, AT + 60) for _ in range(3)]
            answers = await asyncio.gather(*asked, return_exceptions=True)

        assert [type(answer) for answer in answers] == [StoreUnreachable] * 3


@pytest.mark.parametrize("hint", [None, AT, AT + 1_799, AT - 1_700])
async def test_requests_of_a_trace(store: Store, write: Write, hint: float | None) -> None:
    """
    All requests of a trace are found, in order, with a moment near it or without one.
    """
    trace, other = uuid4(), uuid4()
    await put(
        write,
        request(AT + 2, 40.5, 503, "/checkout", trace=trace),
        request(AT + 1, 12.25, 200, "/stock", error=True, trace=trace),
        request(AT + 1.5, trace=other),
        request(AT + 1.5),
        request(AT, 1.0, 404, "/session", trace=trace),
    )

    found = await RequestEvents(store).of_trace(trace, hint)

    assert [
        (one.time, one.service, one.method, one.route, one.status, one.duration_ms, one.error)
        for one in found
    ] == [
        (AT, "shop", "GET", "/session", 404, 1.0, False),
        (AT + 1, "shop", "GET", "/stock", 200, 12.25, True),
        (AT + 2, "shop", "GET", "/checkout", 503, 40.5, True),
    ]


async def test_a_moment_far_from_the_trace_finds_nothing(store: Store, write: Write) -> None:
    """
    Near a moment only the half hours around it are looked through.
    """
    trace = uuid4()
    await put(write, request(trace=trace))

    assert await RequestEvents(store).of_trace(trace, AT + 1_801) == []
    assert await RequestEvents(store).of_trace(trace, AT - 1_801) == []


@pytest.mark.parametrize("days", [0, 1, 6, 20])
async def test_a_trace_is_found_on_every_day_that_is_kept(
    store: Store, write: Write, days: int
) -> None:
    """
    Without a moment the days are gone through from the newest to the oldest.
    """
    trace = uuid4()
    ages = [request(AT - n * DAY, trace=trace if n == days else uuid4()) for n in range(21)]
    await put(write, *ages)

    found = await RequestEvents(store).of_trace(trace)

    assert [one.time for one in found] == [AT - days * DAY]
    assert await RequestEvents(store).of_trace(uuid4()) == []


async def test_a_day_that_is_being_dropped_is_passed_over(
    store: Store, write: Write, sql: SQL, database: str
) -> None:
    """
    A half detached day is no longer there, for the search of its day as for any other.
    """
    trace = uuid4()
    await put(write, request(AT, trace=trace), request(AT - 3 * DAY, trace=trace))
    detaching = await asyncpg.connect(database)
    async with sql.transaction():
        await sql.fetch("SELECT FROM requests")
        await detaching.execute("SET lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await detach(detaching, "requests", name_of("requests", day_of(AT)), finalize=False)
    await detaching.close()

    found = await RequestEvents(store).of_trace(trace)

    assert [one.time for one in found] == [AT - 3 * DAY]


async def test_few_search_at_a_time_and_not_for_long(
    database: str, config: settings.Store, write: Write, sql: SQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    However many search for a trace, one near a moment and one anywhere are at the store, and none
    waits for longer than a search of its kind may take.
    """
    monkeypatch.setattr(request_events, "SEARCH_TIMEOUTS", 2)
    await put(write, request(trace=uuid4()))
    patient = settings.Store(timeout=1.0, connections=20, retention=config.retention)
    waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
    async with open_pool(patient, database, "test", Telemetry()) as store:
        await store.ready()
        events = RequestEvents(store)
        async with sql.transaction():
            await sql.execute("LOCK TABLE requests IN ACCESS EXCLUSIVE MODE")
            hints = (AT, None) * 4
            asked = [asyncio.create_task(events.of_trace(uuid4(), hint)) for hint in hints]
            counts = []
            while not any(one.done() for one in asked):
                counts.append(await sql.fetchval(waiting))
                await asyncio.sleep(0.005)
            await asyncio.wait(asked)

    assert max(counts) <= 2
    assert all(isinstance(one.exception(), StoreUnreachable) for one in asked)
    assert str(asked[-2].exception()) == "store: no answer within 1 s"
    assert str(asked[-1].exception()) == "store: no answer within 2 s"


async def test_a_trace_over_midnight_is_whole(store: Store, write: Write) -> None:
    """
    What a trace did just before midnight is found beside what it did after.
    """
    midnight = AT // DAY * DAY
    trace = uuid4()
    await put(write, request(midnight - 60, trace=trace), request(midnight + 60, trace=trace))

    found = await RequestEvents(store).of_trace(trace)

    assert [one.time - midnight for one in found] == [-60, 60]


async def test_a_trace_is_found_through_its_index(store: Store, write: Write, sql: SQL) -> None:
    """
    A day is looked through by its index of traces, whatever the planner knows of it.
    """
    await put(write, *(request(trace=uuid4()) for _ in range(500)))
    await sql.execute("VACUUM ANALYZE requests")
    partition = name_of("requests", day_of(AT))

    await sql.execute("SET enable_seqscan = off")
    plan = await sql.fetch(f"EXPLAIN {times_in(partition)}", store.host_id, uuid4())

    assert f"Bitmap Index Scan on {partition}_trace_id_idx" in "".join(row[0] for row in plan)
