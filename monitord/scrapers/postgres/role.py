"""The role monitord connects as: which rights it has, and the one it should have."""

from __future__ import annotations

from collections.abc import Sequence

from monitord.model import Problem, Reason
from monitord.scrapers.postgres.session import Session


QUERY = """
    SELECT
        rolsuper AS superuser,
        pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS reads_statistics
    FROM pg_catalog.pg_roles
    WHERE rolname = current_user
"""

# The least that every question can be answered with.
RECIPE = (
    "CREATE ROLE monitord LOGIN PASSWORD '…' CONNECTION LIMIT 3;",
    "GRANT pg_read_all_stats TO monitord;",
    "ALTER ROLE monitord SET default_transaction_read_only = on;",
    "ALTER ROLE monitord SET statement_timeout = '5s';",
    "ALTER ROLE monitord SET lock_timeout = '500ms';",
    "ALTER ROLE monitord SET search_path = pg_catalog;",
)


async def advice(session: Session) -> Sequence[Problem]:
    """Return a problem for a role that may do more than read statistics."""
    row = await session.row(QUERY)
    if not row["superuser"]:
        return []
    detail = f"monitord connects as {session.who.role}, a superuser, who may do anything"
    return [Problem("role", Reason.PERMISSION, detail, " ".join(RECIPE))]
