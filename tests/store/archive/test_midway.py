"""Archivers that end midway, or meet another or a reader: every request is there once."""

import asyncio
import contextlib

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from monitord.errors import StoreUnreachable
from monitord.store.archive import archiver as module
from monitord.store.archive.archiver import Archiver
from monitord.store.archive.reader import all_requests, one_view
from monitord.store.partitions import start_of
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
    rows,
    rows_of,
)


SQL = asyncpg.Connection

CHUNKS = "SELECT count(*) FROM request_archive"


class Crash(Exception):
    """Ends an archiver where a `kill -9` would."""


class CrashingStore:
    """A store on which so many transactions are made; the next one comes to nothing."""

    def __init__(self, store: Store, transactions: int) -> None:
        self._store = store
        self._left = transactions

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._store.transaction() as connection:
            yield connection
            if not self._left:
                raise Crash
            self._left -= 1


async def crashes(store: Store, transactions: int) -> bool:
    """Archive until a crash after so many transactions; say whether there was one."""
    crashing = CrashingStore(store, transactions)
    try:
        await Archiver(crashing, AFTER, at_once).archive(NOW)
    except Crash:
        return True
    return False


async def test_crash_anywhere_leaves_every_row_once(
    fill: Fill, store: Store, sql: SQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Wherever an archiver ends, each row is readable once, and the next one goes on from there.
    """
    monkeypatch.setattr(module, "MOST_REQUESTS", 500)
    monkeypatch.setattr(module, "SHORTEST", module.LONGEST)
    await fill(1_500, hours=2)
    before = await rows_of(sql)

    assert await crashes(store, 0)
    assert await all_of(store, 1) == before
    count = 0
    while await crashes(store, 2):  # one finds the day's archive, one is a step on
        assert await all_of(store, 1) == before
        count += 1

    assert count > 20
    assert await all_of(store, 1) == before
    assert await rows_of(sql) == []


async def test_reader_sees_every_row_at_every_moment(
    archiver: Archiver, fill: Fill, store: Store, sql: SQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whoever reads while a day is closed, packed and dropped finds each row once, every time.
    """
    monkeypatch.setattr(module, "MOST_REQUESTS", 100)
    await fill(2_000)
    before = await rows_of(sql)
    reads = []

    async with asyncio.TaskGroup() as group:
        packing = group.create_task(archiver.archive(NOW))
        while not packing.done():
            reads.append(await all_of(store, 1) == before)
            await asyncio.sleep(0)

    assert len(reads) > 10
    assert all(reads)
    assert await rows_of(sql) == []


async def test_two_daemons_pack_a_day_once(fill: Fill, store: Store, sql: SQL) -> None:
    """
    Of two archivers at the same day one gives way, and no row is packed twice.
    """
    await fill(5_000)
    before = await rows_of(sql)
    two = [Archiver(store, AFTER, at_once).archive(NOW) for _ in range(2)]

    ends = await asyncio.gather(*two, return_exceptions=True)
    await Archiver(store, AFTER, at_once).archive(NOW)

    assert {type(end) for end in ends} <= {type(None), StoreUnreachable}
    assert await all_of(store, 1) == before
    assert await rows_of(sql) == []


class OvertakenStore(CrashingStore):
    """A store on which another session comes first, once, before the third transaction."""

    def __init__(self, store: Store, first: Callable[[], Awaitable[object]]) -> None:
        super().__init__(store, 2)
        self._first = first

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        if not self._left:
            await self._first()
        self._left -= 1
        async with self._store.transaction() as connection:
            yield connection


@pytest.mark.parametrize("again", [False, True])
async def test_portion_that_another_session_has_packed_is_left(
    fill: Fill, store: Store, sql: SQL, again: bool
) -> None:
    """
    Who has read rows and finds the day's mark moved, or the day closed anew, writes nothing.
    """
    await fill(1_000)

    async def another() -> None:
        if again:
            assert not await crashes(store, 1_000)
            await fill(10, seed=2)
            assert await crashes(
                store, 1
            )  # closed and not begun: its mark is where the other's was
        else:
            assert await crashes(store, 2)

    overtaken = Archiver(OvertakenStore(store, another), AFTER, at_once)
    with pytest.raises(StoreUnreachable, match="another session packs the same day"):
        await overtaken.archive(NOW)

    assert len(await all_of(store, 1)) == (1_010 if again else 1_000)
    await Archiver(store, AFTER, at_once).archive(NOW)
    assert await sql.fetchval("SELECT sum(count) FROM request_archive") == (
        1_010 if again else 1_000
    )


@pytest.mark.parametrize("begun", [False, True])
async def test_reader_keeps_what_it_has_begun_to_read(
    archiver: Archiver, fill: Fill, store: Store, sql: SQL, begun: bool
) -> None:
    """
    While somebody reads, a day is not closed, and one that is closed already is not dropped.
    """
    await fill(500)
    before = await rows_of(sql)
    if begun:
        assert await crashes(store, 5)

    async with store.connection() as connection, one_view(connection):
        await connection.fetchval(CHUNKS)
        await archiver.archive(NOW)
        found = await all_requests(connection, 1, start_of(DAY), NOW)

    assert ordered(rows(found, 1)) == before


async def test_what_was_begun_is_finished_when_the_archive_is_switched_off(
    fill: Fill, store: Store, sql: SQL
) -> None:
    """
    A day that was closed already is packed to its end without the setting.
    """
    await fill(100)
    assert await crashes(store, 4)

    await Archiver(store, None, at_once).archive(NOW)

    assert await partitions(sql, "requests_closed") == []
    assert await sql.fetchval("SELECT sum(count) FROM request_archive") == 100
