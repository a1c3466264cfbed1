"""Partitions on a real database: made once by whoever needs them, holding up no insert."""

import asyncio

from datetime import UTC, date, datetime

import asyncpg
import pytest

from monitord.errors import StoreUnreachable
from monitord.store import partitions
from monitord.store.partitions import DAILY, HOURLY, Partitions
from monitord.store.pool import Store


SQL = asyncpg.Connection

DAY = date(2026, 8, 1)
INSERT = (
    "INSERT INTO requests (at, duration_us, endpoint_id, status, host_id) VALUES ($1, 1, 1, 200, 1)"
)


@pytest.mark.parametrize("table", DAILY)
async def test_partition_takes_its_day_and_no_other(store: Store, sql: SQL, table: str) -> None:
    """
    A partition is bounded by its UTC day and has every index of its table.
    """
    await Partitions(store).ensure(table, [DAY])

    bound = await sql.fetchval(
        "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = $1",
        f"{table}_20260801",
    )
    assert bound == "FOR VALUES FROM ('2026-08-01 00:00:00+00') TO ('2026-08-02 00:00:00+00')"
    indexes = "SELECT count(*) FROM pg_index WHERE indrelid = $1::text::regclass"
    assert await sql.fetchval(indexes, f"{table}_20260801") == await sql.fetchval(indexes, table)


@pytest.mark.parametrize("table", HOURLY)
async def test_partition_of_an_hour(store: Store, sql: SQL, table: str) -> None:
    """
    A partition of an hour is bounded by it, the last of a day by midnight.
    """
    await Partitions(store).ensure(table, [datetime(2026, 8, 1, 23, tzinfo=UTC)])

    bound = await sql.fetchval(
        "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = $1",
        f"{table}_2026080123",
    )
    assert bound == "FOR VALUES FROM ('2026-08-01 23:00:00+00') TO ('2026-08-02 00:00:00+00')"
    indexes = "SELECT count(*) FROM pg_index WHERE indrelid = $1::text::regclass"
    assert await sql.fetchval(indexes, f"{table}_2026080123") == await sql.fetchval(indexes, table)


async def test_making_again_changes_nothing(store: Store, sql: SQL) -> None:
    """
    Several writers may ask for the same days at the same time and as often as they like.
    """
    days = [DAY, date(2026, 8, 2)]

    await asyncio.gather(*(Partitions(store).ensure("logs", days) for _ in range(4)))
    await Partitions(store).ensure("logs", days)

    names = await sql.fetchval(
        "SELECT array_agg(inhrelid::regclass::text ORDER BY inhrelid::regclass::text)"
        " FROM pg_inherits WHERE inhparent = 'logs'::regclass"
    )
    assert names == ["logs_20260801", "logs_20260802"]


async def test_table_left_unattached_is_attached(store: Store, sql: SQL) -> None:
    """
    A partition that somebody has detached or half made is taken back with its rows.
    """
    await Partitions(store).ensure("requests", [DAY])
    await sql.execute(INSERT, datetime(2026, 8, 1, tzinfo=UTC))
    await sql.execute("ALTER TABLE requests DETACH PARTITION requests_20260801")

    await Partitions(store).ensure("requests", [DAY])

    assert await sql.fetchval("SELECT count(*) FROM requests") == 1


async def test_inserts_go_on_while_a_partition_is_made(store: Store, sql: SQL) -> None:
    """
    An open transaction that has written to the table does not stop a new day from being made.
    """
    await Partitions(store).ensure("requests", [DAY])
    async with sql.transaction():
        await sql.execute(INSERT, datetime(2026, 8, 1, tzinfo=UTC))

        await Partitions(store).ensure("requests", [date(2026, 8, 2)])

    assert await sql.fetchval("SELECT count(*) FROM requests") == 1


async def test_locked_table_is_waited_for_only_shortly(store: Store, sql: SQL) -> None:
    """
    While somebody holds the table exclusively, making a day fails as passing, to be tried again.
    """
    async with sql.transaction():
        await sql.execute("LOCK TABLE requests")
        with pytest.raises(StoreUnreachable, match="lock timeout"):
            await Partitions(store).ensure("requests", [DAY])

    await Partitions(store).ensure("requests", [DAY])

    assert await sql.fetchval("SELECT to_regclass('requests_20260801') IS NOT NULL")


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("requests_20260801", DAY),
        ("metric_histograms_20260801", DAY),
        ("requests_20261301", None),
        ("requests_old", None),
        ("requests_20260801_copy", None),
        ("fresh_spans_2026080112", datetime(2026, 8, 1, 12, tzinfo=UTC)),
        ("fresh_spans_2026080124", None),
        ("fresh_spans_202608011", None),
    ],
)
def test_period_is_read_from_the_name(name: str, day: date | None) -> None:
    """
    Only tables with exactly our form of name count as partitions, of a day or of an hour.
    """
    assert partitions.period_in(name) == day
    assert partitions.day_in(name) == (None if isinstance(day, datetime) else day)
