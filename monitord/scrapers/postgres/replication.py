"""Whether the server is a primary or a standby, and how far behind standbys are."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg

from monitord.model import Metric, Scrape
from monitord.scrapers.postgres.question import statistics_grant
from monitord.scrapers.postgres.session import Session
from monitord.scrapers.samples import gauge


# A standby that has replayed all it received is not behind, however long ago that was: the
# primary may be idle. That holds only while it receives; else the age of the last replayed commit
# is all that is known. `CASE` keeps the functions apart that raise on the other kind of server.
QUERY = """
    WITH own AS (
        SELECT
            pg_is_in_recovery() AS standby,
            CASE
                WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                ELSE pg_current_wal_lsn()
            END AS position,
            CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() END AS received,
            extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
                AS replayed_ago,
            EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver) AS receiving
    ),
    replicas AS (
        SELECT
            count(*) FILTER (WHERE r.state IN ('streaming', 'catchup')) AS count,
            count(*) FILTER (WHERE r.state IS NULL) AS hidden,
            max(pg_wal_lsn_diff(own.position, r.replay_lsn))::float8 AS lag_bytes,
            max(
                CASE
                    WHEN r.replay_lsn >= own.position THEN 0
                    ELSE extract(epoch FROM r.replay_lag)
                END
            )::float8 AS lag_seconds
        FROM own
        CROSS JOIN pg_catalog.pg_stat_replication AS r
        WHERE r.state IS DISTINCT FROM 'backup'
    )
    SELECT
        own.standby,
        CASE WHEN own.receiving
            THEN pg_wal_lsn_diff(own.received, own.position)::float8
        END AS standby_lag_bytes,
        CASE
            WHEN own.receiving AND own.position >= own.received THEN 0
            ELSE own.replayed_ago
        END::float8 AS standby_lag_seconds,
        replicas.count,
        replicas.hidden,
        replicas.lag_bytes,
        replicas.lag_seconds
    FROM own
    CROSS JOIN replicas
"""


class Replication:
    """A primary's lag is that of its slowest standby; without any, there is none."""

    what = "replication"
    every = 0.0

    async def ask(self, session: Session) -> Scrape:
        row = await session.row(QUERY)
        metrics = [gauge("postgres.is_standby", row["standby"]), *_lag(row)]
        if row["hidden"]:
            detail = f"the state of {row['hidden']} standbys is hidden"
            return Scrape(metrics, [statistics_grant(self.what, session.who, detail)])
        return Scrape([*metrics, gauge("postgres.replication.replicas", row["count"])])


def _lag(row: asyncpg.Record) -> Iterator[Metric]:
    prefix = "standby_" if row["standby"] else ""
    if (size := row[f"{prefix}lag_bytes"]) is not None:
        yield gauge("postgres.replication.lag_bytes", max(0.0, size), "By")
    if (seconds := row[f"{prefix}lag_seconds"]) is not None:
        yield gauge("postgres.replication.lag_seconds", seconds, "s")
