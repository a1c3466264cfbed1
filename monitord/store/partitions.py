"""The day partitions of the time tables: their names, and making one when rows of its day come."""

from __future__ import annotations

import re

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from monitord.errors import StoreUnreachable
from monitord.store.connection import Connection
from monitord.store.pool import Store
from monitord.store.queries import queries


# Every table that is partitioned by the UTC day of its column `at`.
TABLES = (
    "requests",
    "request_archive",
    "logs",
    "metrics",
    "metric_histograms",
    "metric_rollup_minutes",
    "metric_rollup_hours",
    "event_ids",
)

# The parent of the days of `requests` that are closed, to be packed. They are not partitions but
# children by inheritance, and nothing is written to them.
CLOSED = "requests_closed"

NAME = re.compile(r"[a-z_]+_(\d{4})(\d\d)(\d\d)")

# A session that holds a table for longer than this makes the write wait and try again.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"

# The comment on a partition that is being dropped. It tells the table that is left for a moment
# from one that a person has detached.
DOOMED = "monitord is dropping this"


def day_of(at: float) -> date:
    """Return the UTC day of a moment in Unix seconds."""
    return datetime.fromtimestamp(at, UTC).date()


def start_of(day: date) -> float:
    """Return the first moment of a UTC day in Unix seconds."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def name_of(table: str, day: date) -> str:
    """Return the name of a table's partition for a day."""
    return f"{table}_{day:%Y%m%d}"


def day_in(name: str) -> date | None:
    """Return the day of a partition by its name; None for a table that is not ours."""
    match = NAME.fullmatch(name)
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


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
    """Which day partitions exist. The parents have no default partition, so a write asks first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: set[str] = set()
        self._epoch = store.epoch

    async def ensure(self, table: str, days: Iterable[date]) -> None:
        """
        Make the partitions of these days that are not there yet.

        Each is made as a table of its own and attached, in a transaction of its own: attaching an
        empty table holds up no insert, where `CREATE TABLE … PARTITION OF` would lock the parent.

        Raises StoreUnreachable: the store is away, or another session holds the table.
        """
        if self._epoch != self._store.epoch:
            self._epoch = self._store.epoch
            self.forget()
        for day in sorted(days):
            name = name_of(table, day)
            if name not in self._known:
                async with self._store.transaction() as connection:
                    await make(connection, table, day)
                self._known.add(name)

    def forget(self) -> None:
        """Look again before the next write: partitions have been dropped, by us or by others."""
        self._known.clear()


async def partition_state(connection: Connection, table: str, name: str) -> PartitionState:
    row = await queries().partition_state(connection, parent=table, child=name, mark=DOOMED)
    return PartitionState(**row)


async def make(connection: Connection, table: str, day: date) -> None:
    """
    Make and attach one partition, in the caller's transaction, unless it is there.

    One that was being dropped is made anew, without its rows; one that a person has detached is
    taken back with them.

    Raises StoreUnreachable: it is being detached, and until that is done its day takes no row.
    """
    name = name_of(table, day)
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
    end = day + timedelta(days=1)
    await connection.execute(
        f"ALTER TABLE {table} ATTACH PARTITION {name}"
        f" FOR VALUES FROM ('{day} 00:00+00') TO ('{end} 00:00+00')"
    )
