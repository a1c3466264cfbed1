"""
What the server's connections do now, and how many of the limit there are.

monitord's own are left out, by their application name; so are the server's own processes.
"""

from __future__ import annotations

import asyncpg

from monitord.model import Metric, Scrape
from monitord.scrapers.postgres.question import statistics_grant
from monitord.scrapers.postgres.session import APPLICATION_NAME, Session
from monitord.scrapers.samples import gauge


# Without pg_read_all_stats, what others' sessions do is null, their role and database are not.
QUERY = """
    SELECT
        current_setting('max_connections')::float8 AS most,
        count(*) AS total,
        count(*) FILTER (WHERE backend_type IS NULL) AS hidden,
        count(*) FILTER (WHERE state = 'active') AS active,
        count(*) FILTER (WHERE state = 'idle') AS idle,
        count(*) FILTER (WHERE starts_with(state, 'idle in transaction')) AS idle_in_transaction,
        count(*) FILTER (WHERE wait_event_type = 'Lock') AS blocked,
        count(*) FILTER (
            WHERE xact_start < clock_timestamp() - $2::float8 * interval '1 second'
        ) AS long,
        count(*) FILTER (
            WHERE state = 'active'
            AND query_start < clock_timestamp() - $3::float8 * interval '1 millisecond'
        ) AS slow
    FROM pg_catalog.pg_stat_activity
    WHERE application_name IS DISTINCT FROM $1::text
        AND datid IS NOT NULL
        AND (
            backend_type = 'client backend'
            OR (backend_type IS NULL AND usesysid IS NOT NULL)
        )
"""

STATES = ("active", "idle", "idle_in_transaction")


class Activity:
    """Counts sessions; `slow_ms` and `long_seconds` say from when on one is slow or long."""

    what = "activity"
    every = 0.0

    def __init__(self, slow_ms: float, long_seconds: float) -> None:
        self._slow_ms = slow_ms
        self._long_seconds = long_seconds

    async def ask(self, session: Session) -> Scrape:
        row = await session.row(QUERY, APPLICATION_NAME, self._long_seconds, self._slow_ms)
        known = [
            gauge("postgres.connections.total", row["total"]),
            gauge("postgres.connections.max", row["most"]),
        ]
        if not row["hidden"]:
            return Scrape(known + _doing(row))
        detail = f"what {row['hidden']} of {row['total']} sessions do is hidden"
        return Scrape(known, [statistics_grant(self.what, session.who, detail)])


def _doing(row: asyncpg.Record) -> list[Metric]:
    other = row["total"] - sum(row[state] for state in STATES)
    return [
        *(gauge("postgres.connections", row[state], state=state) for state in STATES),
        gauge("postgres.connections", other, state="other"),
        gauge("postgres.transactions.long", row["long"]),
        gauge("postgres.queries.blocked", row["blocked"]),
        gauge("postgres.queries.slow", row["slow"]),
    ]
