"""The archiver on a real database: which days it packs, and that each row comes out of it again."""

import asyncio

from datetime import timedelta

import asyncpg
import pytest

from monitord.store.archive import archiver as module
from monitord.store.archive.archiver import Archiver, next_step
from monitord.store.pool import Store
from tests.store.archive.conftest import (
    AFTER,
    DAY,
    NOW,
    Fill,
    all_of,
    at_once,
    ordered,
    partitions,
    rows_of,
)


SQL = asyncpg.Connection

CHUNKS = "SELECT count(*) FROM request_archive"


async def test_packed_day_has_the_same_rows(
    archiver: Archiver, fill: Fill, store: Store, sql: SQL
) -> None:
    """
    After packing every row of two hosts is there, in every column, and their partition is gone.
    """
    await fill(3_000, host_id=1)
    await fill(2_000, host_id=2, seed=2)
    before = await rows_of(sql)

    await archiver.archive(NOW)

    assert len(before) == 5_000
    assert await all_of(store, 1, 2) == before
    assert await rows_of(sql) == []
    assert await partitions(sql, "requests") == await partitions(sql, "requests_closed") == []
    assert await sql.fetchval("SELECT count(*) FROM request_archive_marks") == 0
    assert await sql.fetchval("SELECT sum(count) FROM request_archive") == 5_000


async def test_only_days_that_are_long_over_are_packed(
    archiver: Archiver, fill: Fill, sql: SQL
) -> None:
    """
    A day is packed once it has been over for as long as the setting says, and not before.
    """
    await fill(10, day=DAY)
    await fill(10, day=DAY + timedelta(days=1))

    await archiver.archive(NOW - 61)
    assert await sql.fetchval(CHUNKS) == 0
    await archiver.archive(NOW)

    assert await partitions(sql, "requests") == ["requests_20260802"]
    assert await sql.fetchval("SELECT sum(count) FROM request_archive") == 10


async def test_without_the_setting_no_day_is_closed(store: Store, fill: Fill, sql: SQL) -> None:
    """
    Where the archive is off, rows stay rows.
    """
    await fill(10)

    await Archiver(store, None, at_once).archive(NOW)

    assert await partitions(sql, "requests") == ["requests_20260801"]


async def test_late_rows_make_further_chunks(
    archiver: Archiver, fill: Fill, store: Store, sql: SQL
) -> None:
    """
    Rows of a day that is packed already are rows for a while, and then chunks beside the others.
    """
    await fill(500)
    early = await rows_of(sql)
    await archiver.archive(NOW)

    await fill(500, seed=2)
    late = await rows_of(sql)
    between = await all_of(store, 1)
    await fill(500)  # the very same as the first: each chunk begins where another does
    await archiver.archive(NOW)

    assert between == ordered(early + late)
    assert await all_of(store, 1) == ordered(early + early + late)
    assert await rows_of(sql) == []


async def test_row_that_comes_while_its_day_is_packed(fill: Fill, store: Store, sql: SQL) -> None:
    """
    Rows that come between two portions of their day's packing are there at every moment.
    """
    await fill(2_000)
    seen = []

    async def meanwhile(_seconds: float) -> None:
        if len(seen) < 5:
            await fill(10, hours=1, seed=len(seen) + 10)
            seen.append(len(await all_of(store, 1)))

    await Archiver(store, AFTER, meanwhile).archive(NOW)

    assert seen == [2_010, 2_020, 2_030, 2_040, 2_050]
    assert len(await rows_of(sql)) == 50
    assert await partitions(sql, "requests") == ["requests_20260801"]


async def test_requests_of_one_moment_are_packed_together(
    archiver: Archiver, store: Store, fill: Fill, sql: SQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    More requests of one microsecond than are packed at once are no obstacle.
    """
    monkeypatch.setattr(module, "MOST_REQUESTS", 100)
    await fill(300)
    await sql.execute(
        "UPDATE requests SET at = '2026-08-01 12:00+00' WHERE at > '2026-08-01 06:00+00'"
    )
    before = await rows_of(sql)

    await archiver.archive(NOW)

    assert await all_of(store, 1) == before


async def test_long_reader_holds_up_the_closing_and_no_write(
    archiver: Archiver, fill: Fill, sql: SQL
) -> None:
    """
    While somebody reads the table no day is closed, and rows are written all the same.
    """
    await fill(10)
    async with sql.transaction():
        await sql.fetch("SELECT * FROM requests")

        async with asyncio.TaskGroup() as group:
            packing = group.create_task(archiver.archive(NOW))
            written = 0
            while not packing.done():
                await fill(1, day=DAY + timedelta(days=2))
                written += 1

    assert await partitions(sql, "requests_closed") == []
    assert await sql.fetchval("SELECT count(*) FROM requests") == 10 + written
    await archiver.archive(NOW)
    assert await sql.fetchval("SELECT sum(count) FROM request_archive") == 10


async def test_day_whose_archive_was_dropped_is_packed_again(
    archiver: Archiver, fill: Fill, sql: SQL
) -> None:
    """
    Rows that come for a day that retention has dropped are packed, to be dropped in their turn.
    """
    await fill(10)
    await archiver.archive(NOW)
    await sql.execute("DROP TABLE request_archive_20260801")
    await fill(20)

    await archiver.archive(NOW)

    assert await sql.fetchval("SELECT sum(count) FROM request_archive") == 20


async def test_archived_request_takes_25_bytes(archiver: Archiver, fill: Fill, sql: SQL) -> None:
    """
    With a random trace id on every request, all that is stored comes to 25 bytes a request at most.
    """
    await fill(200_000, hours=1, traced=1)

    await archiver.archive(NOW)

    used_bytes = await sql.fetchval("SELECT pg_total_relation_size('request_archive_20260801')")
    assert await sql.fetchval("SELECT sum(count) FROM request_archive") == 200_000
    assert used_bytes <= 25 * 200_000


def test_portions_follow_the_rate() -> None:
    """
    A portion is a minute where requests are many and an hour where they are few, never longer.
    """
    minute, hour = timedelta(minutes=1), timedelta(hours=1)

    assert next_step(minute, 60_000) == minute
    assert next_step(minute, 10_000) == 5 * minute
    assert next_step(hour, 100_000) == 30 * minute
    assert next_step(timedelta(microseconds=1), 100_000) == minute
    assert next_step(minute, 0) == hour
