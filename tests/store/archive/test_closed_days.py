"""Closed days that cannot be packed: the others are, and retention and the size take these too."""

import time

from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio
import structlog

from monitord import settings
from monitord.errors import StoreUnreachable
from monitord.store.archive import archiver as archiving
from monitord.store.archive.archiver import Archiver, closed_name
from monitord.store.dropping import Dropper
from monitord.store.partitions import day_of, name_of
from monitord.store.pool import Store
from monitord.store.request_events import RequestEvents
from monitord.store.retention import Keeper
from monitord.store.size_cap import SizeCap
from monitord.telemetry import Telemetry
from tests.frames import Waiting
from tests.store.archive.conftest import AFTER, Fill, all_of, at_once, partitions, rows_of


SQL = asyncpg.Connection

NOW = time.time()
OLD = day_of(NOW) - timedelta(days=32)
LATER = OLD + timedelta(days=1)

MARKS = "SELECT count(*) FROM request_archive_marks"
PACKED = "SELECT coalesce(sum(count), 0) FROM request_archive"


async def refuse_old_chunks(sql: SQL) -> None:
    await sql.execute(
        f"ALTER TABLE request_archive ADD CONSTRAINT refusal CHECK (at >= '{LATER} 00:00+00')"
    )


async def scans(store: Store, sql: SQL, table: str) -> asyncpg.Record:
    """Return how often a table was read from end to end, and through an index."""
    async with store.connection() as connection:
        for session in (connection, sql):
            await session.execute("SELECT pg_stat_force_next_flush()")
    return await sql.fetchrow(
        "SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relname = $1", table
    )


@pytest_asyncio.fixture
async def closed(archiver: Archiver, fill: Fill, sql: SQL) -> str:
    """
    The name of a day of 500 requests that was closed and cannot be packed.
    """
    await fill(500, day=OLD)
    await refuse_old_chunks(sql)
    with pytest.raises(asyncpg.CheckViolationError):
        await archiver.archive(NOW)
    assert await partitions(sql, "requests_closed") == [closed_name(OLD)]
    return closed_name(OLD)


async def test_day_that_fails_does_not_hold_up_later_ones(
    archiver: Archiver, fill: Fill, store: Store, sql: SQL, telemetry: Telemetry
) -> None:
    """
    While one day cannot be packed, later ones are, before and after it was closed; each round says
    so once and counts it, and packs it when it can.
    """
    await fill(500, day=OLD)
    await refuse_old_chunks(sql)

    for day in (LATER, LATER + timedelta(days=1)):
        await fill(300, day=day)
        with (
            structlog.testing.capture_logs() as lines,
            pytest.raises(asyncpg.CheckViolationError),
        ):
            await archiver.archive(NOW)
        told = [line["day"] for line in lines if line["event"] == "archive.day_failed"]
        assert told == [str(OLD)]
        assert await partitions(sql, "requests") == []
        assert len(await all_of(store, 1, day=OLD)) == 500

    assert telemetry.total("monitord_store_failures_total") == 2
    assert await sql.fetchval(PACKED) == 600
    await sql.execute("ALTER TABLE request_archive DROP CONSTRAINT refusal")
    await archiver.archive(NOW)
    assert await sql.fetchval(PACKED) == 1_100
    assert await rows_of(sql) == []


async def test_closed_day_is_known_to_the_planner_at_once(closed: str, sql: SQL) -> None:
    """
    A day that is not packed yet has its statistics, and its indexes know every page.
    """
    assert await sql.fetchval("SELECT reltuples FROM pg_class WHERE relname = $1", closed) == 500
    assert (
        await sql.fetchval(
            "SELECT sum(brin_summarize_new_values(indexrelid)) FROM pg_index"
            " WHERE indrelid = $1::regclass",
            closed,
        )
        == 0
    )


@pytest.mark.parametrize("near", [False, True])
async def test_trace_in_a_closed_day_is_found_through_an_index(
    closed: str, store: Store, sql: SQL, near: bool
) -> None:
    """
    Whatever the planner knows of a closed day, a search for a trace does not read all of it.
    """
    events = RequestEvents(store)
    await sql.execute("UPDATE requests_closed SET host_id = $1", store.host_id)
    trace, at = await sql.fetchrow(
        "SELECT trace_id, at FROM requests_closed WHERE trace_id IS NOT NULL LIMIT 1"
    )
    before = await scans(store, sql, closed)

    assert await events.of_trace(trace, at.timestamp() if near else None) == []

    after = await scans(store, sql, closed)
    assert after["seq_scan"] == before["seq_scan"]
    assert after["idx_scan"] > before["idx_scan"]


async def test_closed_day_goes_by_retention(
    closed: str, store: Store, config: settings.Store, telemetry: Telemetry, fill: Fill, sql: SQL
) -> None:
    """
    A closed day whose time is over is dropped with its mark, and its late rows are packed anew.
    """
    keeper = Keeper(store, config, Waiting(), telemetry, at_once)

    assert closed in await keeper.drop(NOW, 0)

    assert await partitions(sql, "requests_closed") == []
    assert await sql.fetchval(MARKS) == 0
    await sql.execute("ALTER TABLE request_archive DROP CONSTRAINT refusal")
    await fill(20, day=OLD)
    await Archiver(store, AFTER, at_once).archive(NOW)
    assert await sql.fetchval(PACKED) == 20


async def test_closed_day_whose_time_is_not_over_stays(
    closed: str, store: Store, telemetry: Telemetry, sql: SQL
) -> None:
    """
    Retention is the same for rows that wait to be packed as for others.
    """
    kept = settings.Store(retention=settings.Retention(requests=32 * AFTER))

    await Keeper(store, kept, Waiting(), telemetry, at_once).drop(NOW, 0)

    assert await partitions(sql, "requests_closed") == [closed]


async def test_closed_day_goes_for_the_size(
    closed: str, store: Store, telemetry: Telemetry, fill: Fill, sql: SQL
) -> None:
    """
    Where the store is too large a closed day goes in its turn, among the others by its age.
    """
    await fill(500, day=LATER)
    await fill(500, day=OLD - timedelta(days=1))

    dropped = await SizeCap(store, Dropper(store, at_once), 1, telemetry).enforce(NOW)

    assert [name for name in dropped if not name.startswith("request_archive")] == [
        name_of("requests", OLD - timedelta(days=1)),
        closed,
        name_of("requests", LATER),
    ]
    assert await sql.fetchval(MARKS) == 0


async def test_long_reader_holds_up_the_drop_of_a_closed_day(
    closed: str, store: Store, sql: SQL
) -> None:
    """
    While somebody reads a closed day it stays, whole; afterwards it goes.
    """
    dropper = Dropper(store, at_once)
    async with sql.transaction():
        await sql.fetch("SELECT FROM requests_closed")
        assert not await dropper.drop("requests_closed", closed, "test")
        assert len(await all_of(store, 1, day=OLD)) == 500

    assert await dropper.drop("requests_closed", closed, "test")


async def test_day_that_is_dropped_while_it_is_packed(
    fill: Fill, store: Store, sql: SQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Who packs a day that is dropped meanwhile ends with it, and what it has packed stays.
    """
    monkeypatch.setattr(archiving, "MOST_REQUESTS", 100)
    await fill(500, day=OLD)

    async def drop(_seconds: float) -> None:
        if await sql.fetchval(PACKED):
            await Dropper(store, at_once).drop("requests_closed", closed_name(OLD), "test")

    with pytest.raises(StoreUnreachable, match="another session packs the same day"):
        await Archiver(store, AFTER, drop).archive(NOW)

    assert 0 < await sql.fetchval(PACKED) == len(await all_of(store, 1, day=OLD)) < 500
    await Archiver(store, AFTER, at_once).archive(NOW)
    assert await sql.fetchval(MARKS) == 0
