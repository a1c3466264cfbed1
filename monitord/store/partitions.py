"""The partitions of the time tables by day or hour: their names, and making one for its rows."""

from __future__ import annotations

import re

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import TypeAlias

from msgspec import Struct

from monitord.errors import StoreUnreachable
from monitord.store.connection import Connection
from monitord.store.pool import Store
from monitord.store.queries import queries


# What the rows of one partition share: a UTC day, or the hour that begins at a moment.
Period: TypeAlias = date | datetime

# The tables that are partitioned by the UTC day of their column `at`, and by its hour.
DAILY = (
    "requests",
    "request_archive",
    "logs",
    "spans",
    "metrics",
    "metric_histograms",
    "metric_rollup_minutes",
    "metric_rollup_hours",
    "event_ids",
)
HOURLY = ("fresh_spans",)
TABLES = (*DAILY, *HOURLY)

# The parent of the days of `requests` that are closed, to be packed. They are not partitions but
# children by inheritance, and nothing is written to them.
CLOSED = "requests_closed"

# Likewise, the parent of the hours of `fresh_spans` that are being thinned.
CLOSED_HOURS = "fresh_spans_closed"

DAY_SECONDS, HOUR_SECONDS = 86_400, 3_600

NAME = re.compile(r"[a-z_]+_(\d{4})(\d\d)(\d\d)(\d\d)?")

# A session that holds a table for longer than this makes the write wait and try again.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"

# The comment on a partition that is being dropped. It tells the table that is left for a moment
# from one that a person has detached.
DOOMED = "monitord is dropping this"


def day_of(at: float) -> date:
    """Return the UTC day of a moment in Unix seconds."""
    return datetime.fromtimestamp(at, UTC).date()


def hour_of(at: float) -> datetime:
    """Return the UTC hour of a moment in Unix seconds."""
    return datetime.fromtimestamp(at // HOUR_SECONDS * HOUR_SECONDS, UTC)


def start_of(period: Period) -> float:
    """Return the first moment of a period in Unix seconds."""
    if isinstance(period, datetime):
        return period.timestamp()
    return datetime(period.year, period.month, period.day, tzinfo=UTC).timestamp()


def end_of(period: Period) -> float:
    """Return the moment in Unix seconds with which the next period begins."""
    return start_of(period) + (HOUR_SECONDS if isinstance(period, datetime) else DAY_SECONDS)


def name_of(table: str, period: Period) -> str:
    """Return the name of a table's partition for a period."""
    digits = "%Y%m%d%H" if isinstance(period, datetime) else "%Y%m%d"
    return f"{table}_{period.strftime(digits)}"


def period_in(name: str) -> Period | None:
    """Return the period of a partition by its name; None for a table that is not ours."""
    match = NAME.fullmatch(name)
    if match is None:
        return None
    *days, hour = match.groups()
    try:
        day = date(*map(int, days))
        return datetime.combine(day, time(int(hour), tzinfo=UTC)) if hour else day
    except ValueError:
        return None


def day_in(name: str) -> date | None:
    """Return the day of a partition by its name; None for another's, or a table not ours."""
    period = period_in(name)
    return None if isinstance(period, datetime) else period


class PartitionState(Struct, frozen=True):
    """
    How far a partition has come: made, attached to its table, detaching from it, doomed.

    `detaching` is somewhere between attached, which it counts as, and not: it takes no rows, and no
    other partition can take its place. `marked` by the comment DOOMED, it is to be dropped.
    """

    made: bool
    attached: bool
    detaching: bool
    marked: bool

    @property
    def doomed(self) -> bool:
        """Whether it is out of its table and only to be dropped."""
        return self.marked and not self.attached


class Partitions:
    """Which partitions exist. The parents have no default partition, so a write asks first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: set[str] = set()
        self._epoch = store.epoch

    async def ensure(self, table: str, periods: Iterable[Period]) -> None:
        """
        Make the partitions of these days, or hours, that are not there yet.

        Each is made as a table of its own and attached, in a transaction of its own: attaching an
        empty table holds up no insert, where `CREATE TABLE … PARTITION OF` would lock the parent.

        Raises StoreUnreachable: the store is away, or another session holds the table.
        """
        if self._epoch != self._store.epoch:
            self._epoch = self._store.epoch
            self.forget()
        for period in sorted(periods, key=start_of):
            name = name_of(table, period)
            if name not in self._known:
                async with self._store.transaction() as connection:
                    await make(connection, table, period)
                self._known.add(name)

    def forget(self) -> None:
        """Look again before the next write: partitions have been dropped, by us or by others."""
        self._known.clear()


async def partition_state(connection: Connection, table: str, name: str) -> PartitionState:
    row = await queries().partition_state(connection, parent=table, child=name, mark=DOOMED)
    return PartitionState(**row)


async def make(connection: Connection, table: str, period: Period) -> None:
    """
    Make and attach one partition, in the caller's transaction, unless it is there.

    One that was being dropped is made anew, without its rows; one that a person has detached is
    taken back with them.

    Raises StoreUnreachable: it is being detached, and until that is done its period takes no row.
    """
    name = name_of(table, period)
    await connection.execute(LOCK_TIMEOUT)
    await queries().lock_partitions(connection, parent=table)
    state = await partition_state(connection, table, name)
    if state.detaching:
        raise StoreUnreachable(f"store: {name} is being dropped")
    if state.attached:
        return
    if state.doomed:
        await connection.execute(f"DROP TABLE {name}")
    if state.doomed or not state.made:
        await connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    start, end = (datetime.fromtimestamp(at, UTC) for at in (start_of(period), end_of(period)))
    await connection.execute(
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')"
    )
