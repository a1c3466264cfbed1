"""Archived requests are read as rows are: by time and by trace, alone and together with rows."""

import tracemalloc

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest

from monitord.errors import StoreError
from monitord.model import Batch, ErrorInfo, Frame, Request
from monitord.store import request_events
from monitord.store.archive import archiver as archiving
from monitord.store.archive.archiver import Archiver
from monitord.store.archive.reader import (
    archived_of_trace,
    archived_requests,
    archived_trace_ends,
    us_of,
)
from monitord.store.partitions import start_of
from monitord.store.pool import Store
from monitord.store.request_events import Exact, RequestEvents
from monitord.telemetry import Telemetry
from tests.store.archive.conftest import DAY, NOW, Fill, rows, rows_of


SQL = asyncpg.Connection
Write = Callable[[Sequence[Frame]], Awaitable[None]]

START = start_of(DAY)
NOON = START + 43_200


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def test_window_is_read_from_its_start_to_before_its_end(
    archiver: Archiver, fill: Fill, store: Store, sql: SQL
) -> None:
    """
    Of the archived requests those of the window and the host are read, in order of time.
    """
    await fill(2_000, host_id=1)
    await fill(2_000, host_id=2, seed=2)
    stored = [row for row in await rows_of(sql) if row[1] == 1]
    start, end = stored[700][0].timestamp(), stored[900][0].timestamp()
    await archiver.archive(NOW)

    async with store.connection() as connection:
        found = await archived_requests(connection, 1, start, end)

    assert list(rows(found, 1)) == stored[700:900]


async def test_reading_without_traces_reads_the_rest(
    archiver: Archiver, fill: Fill, store: Store, sql: SQL
) -> None:
    """
    Who needs no trace ids gets all other columns.
    """
    await fill(500)
    stored = await rows_of(sql)
    await archiver.archive(NOW)

    async with store.connection() as connection:
        found = await archived_requests(connection, 1, START, START + 86_400, with_traces=False)

    assert list(rows(found, 1)) == [(*row[:-1], None) for row in stored]


async def test_request_is_found_by_its_trace(
    archiver: Archiver, fill: Fill, store: Store, sql: SQL
) -> None:
    """
    Every trace of a day is found in its host's chunks, within the window, and nowhere else.
    """
    await fill(300, traced=1)
    stored = await rows_of(sql)
    await archiver.archive(NOW)

    async with store.connection() as connection:
        for row in stored[::10]:
            trace, at = row[6], row[0].timestamp()
            found = await archived_of_trace(connection, 1, trace, START, START + 86_400, 9)
            assert list(rows(found, 1)) == [row]
            assert len(await archived_of_trace(connection, 1, trace, START, at, 9)) == 0
            assert len(await archived_of_trace(connection, 2, trace, START, START + 86_400, 9)) == 0
        assert len(await archived_of_trace(connection, 1, UUID(int=0), START, NOW, 9)) == 0


async def test_oldest_requests_of_a_trace_are_the_same_in_rows_and_archive(
    archiver: Archiver, store: Store, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Of a trace that has more than is answered the oldest are found, in chunks that overlap too.
    """
    monkeypatch.setattr(request_events, "MOST_OF_TRACE", 150)
    monkeypatch.setattr(archiving, "MOST_REQUESTS", 200)
    events = RequestEvents(store)
    some = [Request(NOON + n, "shop", "GET", "/", 200, 1.0, trace_id=TRACE.hex) for n in range(999)]

    await write([Frame(1, 1, Batch(NOON, requests=some[1::2]))])
    await archiver.archive(NOW)
    await write([Frame(1, 2, Batch(NOON, requests=some[::2]))])
    mixed = await events.of_trace(TRACE)
    await archiver.archive(NOW)
    archived = await events.of_trace(TRACE)

    assert [one.time for one in mixed] == [one.time for one in archived]
    assert [one.time for one in archived] == [NOON + n for n in range(150)]


async def test_chunks_beyond_the_answer_are_not_read(
    archiver: Archiver, fill: Fill, store: Store, sql: SQL
) -> None:
    """
    Once there are as many requests of a trace as are asked for, no later chunk is looked into.
    """
    await fill(500, traced=1)
    await sql.execute("UPDATE requests SET trace_id = $1", TRACE)
    stored = await rows_of(sql)
    await archiver.archive(NOW)
    await sql.execute("UPDATE request_archive SET traces = '' WHERE at > $1", moment(NOON))

    async with store.connection() as connection:
        found = await archived_of_trace(connection, 1, TRACE, START, START + 86_400, 50)

    assert list(rows(found, 1)) == stored[:50]


async def test_trace_of_everything_takes_no_more_memory(
    archiver: Archiver, fill: Fill, store: Store, sql: SQL
) -> None:
    """
    However many archived requests a trace has, one chunk at a time is held.
    """
    await fill(100_000, traced=1)
    await sql.execute("UPDATE requests SET trace_id = $1", TRACE)
    first, last = await sql.fetchrow("SELECT min(at), max(at) FROM requests")
    await archiver.archive(NOW)
    assert await sql.fetchval("SELECT count(*) FROM request_archive") >= 24

    tracemalloc.start()
    async with store.connection() as connection:
        ends = await archived_trace_ends(connection, 1, TRACE, START, START + 86_400)
        found = await archived_of_trace(connection, 1, TRACE, START, START + 86_400, 1_000)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [us_of(first), us_of(last)] == ends.tolist()
    assert len(found) == 1_000
    assert most_bytes < 4_000_000


TRACE = uuid4()


def traffic(seed: int, count: int = 3_000) -> list[Request]:
    """Return requests of the five minutes from noon on, ten of them of TRACE."""
    random = np.random.default_rng(seed)
    return [
        Request(
            NOON + at,
            "shop",
            "GET",
            f"/{int(random.integers(60))}",
            int(random.choice([200, 404, 503])),
            float(duration),
            trace_id=TRACE.hex if number % (count // 10) == 0 else uuid4().hex,
            error=ErrorInfo("ValueError") if number % 50 == 0 else None,
        )
        for number, (at, duration) in enumerate(
            zip(
                random.integers(0, 300_000_000, count) / 1e6,
                random.lognormal(3, 1, count).round(3),
                strict=True,
            )
        )
    ]


def rounded(exact: Exact) -> object:
    """Return figures with averages as both ways of working them out have them."""
    figures = [exact.whole, *exact.endpoints]
    return exact.left_out, [
        {name: getattr(one, name) for name in one.__struct_fields__}
        | {"avg_ms": pytest.approx(one.avg_ms)}
        for one in figures
    ]


async def test_exact_figures_are_those_of_the_rows(
    archiver: Archiver, store: Store, write: Write
) -> None:
    """
    A window of rows, the same window archived, and half and half: the figures are the same.
    """
    events = RequestEvents(store)
    early, late = traffic(1)[:1_500], traffic(1)[1_500:]
    await write([Frame(1, 1, Batch(NOON, requests=early))])
    await archiver.archive(NOW)
    await write([Frame(1, 2, Batch(NOON, requests=late))])

    mixed = await events.exact(NOON, NOON + 300)
    await archiver.archive(NOW)
    archived = await events.exact(NOON, NOON + 300)
    await write([Frame(1, 3, Batch(NOON + 86_400, requests=shifted(traffic(1))))])
    in_rows = await events.exact(NOON + 86_400, NOON + 86_700)

    assert in_rows.whole.count == 3_000
    assert rounded(archived) == rounded(mixed) == rounded(in_rows)


def shifted(requests: Sequence[Request]) -> list[Request]:
    """Return the same requests a day later."""
    return [
        Request(
            one.time + 86_400,
            *(one.service, one.method, one.route, one.status, one.duration_ms),
            trace_id=one.trace_id,
            error=one.error,
        )
        for one in requests
    ]


async def test_window_without_requests_is_empty_in_the_archive_too(
    archiver: Archiver, store: Store, write: Write
) -> None:
    """
    A stretch of time between two archived requests has no figures.
    """
    two = [Request(NOON + at, "shop", "GET", "/", 200, 1.0) for at in (0, 120)]
    await write([Frame(1, 1, Batch(NOON, requests=two))])
    await archiver.archive(NOW)

    found = await RequestEvents(store).exact(NOON + 30, NOON + 90)

    assert (found.whole.count, found.whole.p50_ms, found.endpoints) == (0, None, [])


@pytest.mark.parametrize("near", [None, NOON + 60])
async def test_trace_is_the_same_in_rows_and_archive(
    archiver: Archiver, store: Store, write: Write, near: float | None
) -> None:
    """
    The requests of a trace are found as rows, archived, and in part as each, in order of time.
    """
    events = RequestEvents(store)
    early, late = traffic(1)[:1_500], traffic(1)[1_500:]

    await write([Frame(1, 1, Batch(NOON, requests=early))])
    half = await events.of_trace(TRACE, near)
    await archiver.archive(NOW)
    half_archived = await events.of_trace(TRACE, near)
    await write([Frame(1, 2, Batch(NOON, requests=late))])
    mixed = await events.of_trace(TRACE, near)
    await archiver.archive(NOW)
    archived = await events.of_trace(TRACE, near)

    assert (len(half), len(archived)) == (5, 10)
    assert half == half_archived
    assert mixed == archived
    assert [one.time for one in archived] == sorted(one.time for one in archived)


async def test_day_that_is_being_packed_is_read_as_well(
    store: Store, write: Write, sql: SQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Exact figures and traces are the same at every step of the packing of their day.
    """
    monkeypatch.setattr(archiving, "MOST_REQUESTS", 200)
    events = RequestEvents(store)
    await write([Frame(1, 1, Batch(NOON, requests=traffic(1, 1_000)))])
    before = rounded(await events.exact(NOON, NOON + 300)), await events.of_trace(TRACE)
    steps = []

    async def look(_seconds: float) -> None:
        if 0 < await sql.fetchval("SELECT coalesce(sum(count), 0) FROM request_archive") < 1_000:
            found = rounded(await events.exact(NOON, NOON + 300)), await events.of_trace(TRACE)
            steps.append(found == before)

    await Archiver(store, 86_400, look).archive(NOW)

    assert len(steps) >= 2
    assert all(steps)


async def test_damaged_chunk_is_said_and_counted(
    archiver: Archiver, store: Store, write: Write, sql: SQL, telemetry: Telemetry
) -> None:
    """
    What cannot be read is one error that names the chunk, and counted; other times are not harmed.
    """
    events = RequestEvents(store)
    far = [Request(NOON + 7_200, "shop", "GET", "/", 200, 1.0)]
    await write([Frame(1, 1, Batch(NOON, requests=traffic(1) + far))])
    await archiver.archive(NOW)
    await sql.execute(
        "UPDATE request_archive SET numbers = set_byte(numbers, 40, 255 - get_byte(numbers, 40))"
        " WHERE at < $1",
        moment(NOON + 3_600),
    )
    said = "the chunk of request_archive at 2026-08-01T12:0.* is damaged"

    with pytest.raises(StoreError, match=said):
        await events.exact(NOON, NOON + 300)
    with pytest.raises(StoreError, match=said):
        await events.of_trace(TRACE, NOON)

    assert telemetry.total("monitord_store_damaged_reads_total") == 2
    assert (await events.exact(NOON + 7_200, NOON + 7_260)).whole.count == 1
