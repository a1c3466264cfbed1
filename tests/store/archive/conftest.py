"""What the archive's tests share: days of requests, and an archiver that waits for nothing."""

import asyncio
import uuid

from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta

import asyncpg
import numpy as np
import pytest

from monitord.store.apply import copy_requests
from monitord.store.archive.archiver import Archiver
from monitord.store.archive.columns import Requests
from monitord.store.archive.reader import all_requests, one_view
from monitord.store.copying import EPOCH_SECONDS
from monitord.store.partitions import Partitions, start_of
from monitord.store.pool import Store
from monitord.store.request_rows import RequestColumns


SQL = asyncpg.Connection

DAY = date(2026, 8, 1)

# DAY has been over for AFTER seconds, and the day after has not.
AFTER = 86_400.0
NOW = start_of(DAY + timedelta(days=2)) + 60

Fill = Callable[..., Awaitable[None]]
Row = tuple[object, ...]


async def at_once(_seconds: float) -> None:
    """Wait for nothing, but let others run."""
    await asyncio.sleep(0)


@pytest.fixture
def archiver(store: Store) -> Archiver:
    return Archiver(store, AFTER, at_once)


@pytest.fixture
def fill(store: Store) -> Fill:
    """
    Store `count` requests of a host, spread over `hours` of a day, as the daemon stores them.
    """

    async def filled(
        count: int,
        host_id: int = 1,
        day: date = DAY,
        hours: float = 24,
        *,
        seed: int = 1,
        traced: float = 0.9,
    ) -> None:
        await Partitions(store).ensure("requests", [day])
        async with store.transaction() as connection:
            await copy_requests(connection, requests(count, day, hours, seed, traced), host_id)

    return filled


def requests(count: int, day: date, hours: float, seed: int, traced: float) -> RequestColumns:
    """Return requests as a shop has them: 40 endpoints, a few errors, and random trace ids."""
    random = np.random.default_rng(seed)
    share = 1 / np.arange(1, 41)
    endpoint = random.choice(40, count, p=share / share.sum()) + 1
    failed = random.random(count) < 0.01
    has_trace = random.random(count) < traced
    trace = np.where(has_trace, np.frombuffer(random.bytes(16 * count), "V16"), np.zeros(1, "V16"))
    errors = random.integers(-(2**63), 2**63 - 1, 6)
    seconds = int(hours * 3_600)
    start_us = int(start_of(day) - EPOCH_SECONDS) * 1_000_000
    at_us = np.sort(random.integers(0, seconds * 1_000_000, count)) + start_us
    return RequestColumns(
        at_us=at_us,
        duration_us=np.exp(random.normal(9 + endpoint % 7 * 0.4, 0.8)).astype(np.int64),
        trace=trace.astype("V16"),
        has_trace=has_trace,
        error_id=np.where(failed, random.choice(errors, count), 0),
        failed=failed,
        endpoint_id=endpoint,
        status=random.choice([200, 201, 404, 500], count, p=[0.93, 0.04, 0.02, 0.01]),
        valid=np.ones(count, np.bool_),
        place=np.arange(count),
    )


async def rows_of(sql: SQL) -> list[Row]:
    """Return every request that is a row, each with all its columns, in one order."""
    found = await sql.fetch(
        "SELECT at, host_id, duration_us, status, endpoint_id, error_id, trace_id FROM request_rows"
    )
    return ordered(tuple(row) for row in found)


async def all_of(store: Store, *host_ids: int, day: date = DAY) -> list[Row]:
    """Return every request of a day, row or packed, as the reader finds it, in the same order."""
    start = start_of(day)
    found: list[Row] = []
    async with store.connection() as connection, one_view(connection):
        for host_id in host_ids:
            requests = await all_requests(connection, host_id, start, start + 86_400)
            found += rows(requests, host_id)
    return ordered(found)


def rows(requests: Requests, host_id: int) -> Iterator[Row]:
    """Yield requests as PostgreSQL gives rows."""
    epoch = datetime.fromtimestamp(EPOCH_SECONDS, UTC)
    columns = (getattr(requests, name).tolist() for name in Requests.__slots__)
    for at, duration, status, endpoint, error, failed, trace, traced in zip(*columns, strict=True):
        yield (
            epoch + timedelta(microseconds=at),
            host_id,
            duration,
            status,
            endpoint,
            error if failed else None,
            uuid.UUID(bytes=trace) if traced else None,
        )


def ordered(found: Iterable[Row]) -> list[Row]:
    return sorted(found, key=lambda row: [str(part) for part in row])


async def partitions(sql: SQL, table: str) -> list[str]:
    """Return the children of a table."""
    rows = await sql.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::text::regclass",
        table,
    )
    return [row[0] for row in rows]
