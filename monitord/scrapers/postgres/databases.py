"""What all databases of the server did since the scrape before: blocks, transactions, deadlocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping

import asyncpg

from monitord.model import Metric, Scrape
from monitord.scrapers.increments import CounterGroups, Interval, Totals
from monitord.scrapers.postgres.own import OWN_DATABASES
from monitord.scrapers.postgres.session import Session
from monitord.scrapers.samples import counter, gauge


# The row with datid 0 is the shared catalogue: its blocks count, too.
READ = """
    SELECT
        datid::int8 AS id,
        datname::text AS name,
        extract(epoch FROM stats_reset)::float8 AS reset_at,
        extract(epoch FROM pg_postmaster_start_time())::float8 AS started_at,
        blks_hit,
        blks_read,
        xact_commit,
        xact_rollback,
        deadlocks,
        temp_bytes
    FROM pg_catalog.pg_stat_database
    WHERE datid NOT IN ({own})
    ORDER BY xact_commit DESC
    LIMIT 500
"""

QUERY = READ.format(own=OWN_DATABASES)

# Column -> our series and its unit.
COUNTERS = {
    "blks_hit": ("postgres.blocks.hit", "{block}"),
    "blks_read": ("postgres.blocks.read", "{block}"),
    "xact_commit": ("postgres.transactions.committed", "1"),
    "xact_rollback": ("postgres.transactions.rolled_back", "1"),
    "deadlocks": ("postgres.deadlocks", "1"),
    "temp_bytes": ("postgres.temp_bytes", "By"),
}


# What each of monitord's queries adds to `blks_hit`, rounded up; measured on 15 and 18.
OWN_BLOCKS_PER_QUERY = 3
SHARED_CATALOGUE = "0"


class Databases:
    """
    Compares each database's lifetime counters with those before; a reset is a gap in that one.

    What monitord adds is taken off: a commit a query exactly, blocks nearly. What a new connection
    costs at its start is not known, so monitord's own database begins with its second reading.
    """

    what = "databases"
    every = 0.0

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._counters = CounterGroups()
        self._session: Session | None = None
        self._sessions = 0
        self._queries = 0

    async def ask(self, session: Session) -> Scrape:
        rows = await session.rows(QUERY)
        is_new, self._session = session is not self._session, session
        self._sessions += is_new
        names = {str(row["id"]): row["name"] for row in rows}
        touched = {key for key, name in names.items() if name == session.who.database_name}
        owners = {key: (self._sessions, is_new) for key in (*touched, SHARED_CATALOGUE)}
        groups = {str(row["id"]): _totals(row, owners.get(str(row["id"]))) for row in rows}
        intervals = self._counters.advance(groups, self._monotonic())
        own_queries, self._queries = session.queries - self._queries, session.queries
        return Scrape(list(_metrics(intervals, own_queries if touched & intervals.keys() else 0)))


def _totals(row: asyncpg.Record, owner: Hashable) -> Totals:
    values = {name: float(row[name]) for name in COUNTERS if row[name] is not None}
    return Totals(values, owner=(row["reset_at"], row["started_at"], owner))


def _metrics(intervals: Mapping[str, Interval], own_queries: int) -> Iterator[Metric]:
    """Yield the sums over all databases, without monitord's own part."""
    if not intervals:
        return
    sums: dict[str, float] = defaultdict(float)
    for interval in intervals.values():
        for name, value in interval.added.items():
            sums[name] += value
    own = {"xact_commit": own_queries, "blks_hit": OWN_BLOCKS_PER_QUERY * own_queries}
    sums = {name: max(0.0, value - own.get(name, 0)) for name, value in sums.items()}
    for name, value in sums.items():
        series, unit = COUNTERS[name]
        yield counter(series, value, unit)
    yield from _ratios(sums, max(interval.seconds for interval in intervals.values()))


def _ratios(sums: Mapping[str, float], seconds: float) -> Iterator[Metric]:
    if "xact_commit" in sums:
        yield gauge("postgres.commits_per_second", sums["xact_commit"] / seconds, "1/s")
    blocks = sums.get("blks_hit", 0.0) + sums.get("blks_read", 0.0)
    if blocks > 0:
        yield gauge("postgres.cache.hit_ratio", sums.get("blks_hit", 0.0) / blocks)
