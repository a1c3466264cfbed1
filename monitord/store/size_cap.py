"""Keeps the store below its size: while it is above, the oldest days of single rows go."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from msgspec import Struct

from monitord.store.dropping import Dropper
from monitord.store.partitions import (
    CLOSED,
    CLOSED_HOURS,
    DOOMED,
    TABLES,
    end_of,
    period_in,
    start_of,
)
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.telemetry import Telemetry


log = structlog.get_logger(__name__)

# What may go for the size: single rows. Rollups are small, and outlive their rows for a purpose.
RAW = frozenset(
    {
        "requests",
        CLOSED,
        "request_archive",
        "fresh_spans",
        CLOSED_HOURS,
        "spans",
        "logs",
        "metrics",
        "metric_histograms",
    }
)

# What counts: the days and hours of these, and the others.
PARENTS = (*TABLES, CLOSED, CLOSED_HOURS)
OTHERS = (
    "hosts",
    "endpoints",
    "loggers",
    "series",
    "span_names",
    "name_numbers",
    "annotations",
    "error_groups",
    "error_group_endpoints",
    "request_rollups",
    "request_rollup_deltas",
    CLOSED,
    "request_archive_marks",
    CLOSED_HOURS,
    "span_thinning_marks",
    "flagged_traces",
    "span_thinnings",
    "metric_rollup_marks",
    "writers",
    "monitord_migrations",
)

WHY = "the store is above its size"
MIB = 1024 * 1024


class Table(Struct, frozen=True):
    """A table of monitord's own, a partition or a whole one, with its indexes."""

    name: str
    used_bytes: int

    @property
    def parent(self) -> str:
        return self.name.rpartition("_")[0]


class StoreSize(Struct, frozen=True):
    """
    What the store takes and what it may.

    `stuck`: it is above that, and nothing but today's rows and the rollups is left.
    """

    used_bytes: int
    cap_bytes: int
    stuck: bool


class SizeCap:
    """
    Drops partitions while the store is larger than its cap, measuring again after each.

    Several daemons may share the store, and the cap is the whole store's. Two that measure at once
    name the same partition, and who comes second finds it gone and stops.
    """

    def __init__(
        self, store: Store, dropper: Dropper, cap_bytes: int, telemetry: Telemetry
    ) -> None:
        self.size: StoreSize | None = None
        self._store = store
        self._dropper = dropper
        self._cap_bytes = cap_bytes
        self._telemetry = telemetry

    async def enforce(self, now: float) -> list[str]:
        """
        Drop the oldest partitions until the store fits; return their names.

        `now`, Unix seconds, says which day and which hour go on, and stay.

        Raises StoreUnreachable, StoreError.
        """
        dropped: list[str] = []
        while True:
            tables, at = await self._measure(now)
            used_bytes = sum(table.used_bytes for table in tables)
            over = used_bytes > self._cap_bytes
            oldest = first_to_go(tables, at) if over else None
            self._say(StoreSize(used_bytes, self._cap_bytes, over and oldest is None))
            if oldest is None or not await self._dropper.drop(oldest.parent, oldest.name, WHY):
                return dropped
            self._telemetry.size_cap_dropped.inc()
            dropped.append(oldest.name)

    async def _measure(self, now: float) -> tuple[list[Table], float]:
        """Return every table of monitord's own, and the earlier of the two clocks."""
        async with self._store.connection() as connection:
            server = await queries().server_clock(connection)
            rows = queries().own_tables(connection, parents=PARENTS, others=OTHERS, mark=DOOMED)
            tables = [Table(row["name"], row["used_bytes"]) async for row in rows]
        return tables, min(now, server.timestamp())

    def _say(self, size: StoreSize) -> None:
        """Show the size, and log it when it gets stuck."""
        was_stuck = self.size is not None and self.size.stuck
        self.size = size
        self._telemetry.store_bytes.set(size.used_bytes)
        if size.stuck and not was_stuck:
            log.warning(
                "store.above_size",
                reason="only today's rows and the rollups are left; raise store.size",
                used_mib=size.used_bytes // MIB,
                size_mib=size.cap_bytes // MIB,
            )


def first_to_go(tables: Iterable[Table], now: float) -> Table | None:
    """
    Return the partition of single rows to drop next: of the oldest day, the largest.

    Fresh spans are in partitions of an hour. They are last: of a day that is over its day is older.

    By day and not by table, because rows of one moment explain each other: a request, its logs and
    the load of its machine reach back equally far. The largest first, so that the small ones of
    that day stay where it alone was enough.
    """
    dated = [
        (start_of(period), -table.used_bytes, table.name, table)
        for table in tables
        if table.parent in RAW
        and (period := period_in(table.name)) is not None
        and end_of(period) <= now
    ]
    return min(dated)[-1] if dated else None
