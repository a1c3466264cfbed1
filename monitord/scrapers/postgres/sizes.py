"""How large each database is on disk. The server looks at every file: asked seldom."""

from __future__ import annotations

from monitord.model import Scrape
from monitord.scrapers.postgres.question import SELDOM, statistics_grant
from monitord.scrapers.postgres.session import Session
from monitord.scrapers.samples import gauge


# The size of a database one may not connect to raises an error, which would hide all the others.
QUERY = """
    SELECT
        datname::text AS name,
        CASE
            WHEN has_database_privilege(oid, 'CONNECT')
                OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
            THEN pg_database_size(oid)
        END AS bytes
    FROM pg_catalog.pg_database
    WHERE datallowconn
        AND NOT datistemplate
    ORDER BY datname
    LIMIT 100
"""


class Sizes:
    what = "database sizes"
    every = SELDOM

    async def ask(self, session: Session) -> Scrape:
        rows = await session.rows(QUERY)
        metrics = [
            gauge("postgres.database.size_bytes", row["bytes"], "By", database=row["name"])
            for row in rows
            if row["bytes"] is not None
        ]
        hidden = len(rows) - len(metrics)
        if not hidden:
            return Scrape(metrics)
        detail = f"the size of {hidden} of {len(rows)} databases is hidden"
        return Scrape(metrics, [statistics_grant(self.what, session.who, detail)])
