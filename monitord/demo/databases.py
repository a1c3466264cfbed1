"""The demo's databases and who may do what in them. Everything may run again at each start."""

from __future__ import annotations

import asyncpg

from monitord.embedded import EmbeddedPostgres


STORE = "monitord"
SHOP = "shop"
WATCHER = "monitord_watch"

# The least a watcher needs: it reads all statistics and no row. A copy of what `monitord check`
# asks of a real database; the limits hold even if monitord asked for something expensive.
WATCHER_GRANTS = (
    f"GRANT pg_read_all_stats TO {WATCHER}",
    f"ALTER ROLE {WATCHER} CONNECTION LIMIT 3",
    f"ALTER ROLE {WATCHER} SET default_transaction_read_only = on",
    f"ALTER ROLE {WATCHER} SET statement_timeout = '5s'",
    f"ALTER ROLE {WATCHER} SET lock_timeout = '500ms'",
    f"ALTER ROLE {WATCHER} SET idle_in_transaction_session_timeout = '10s'",
    f"ALTER ROLE {WATCHER} SET search_path = pg_catalog",
)
# Nobody ever tuned the shop: its big sorts go to disk, which the page shows.
SHOP_HABITS = (f"ALTER ROLE {SHOP} SET work_mem = '256kB'",)


async def make_databases(server: EmbeddedPostgres) -> None:
    """
    Make the store's and the shop's databases with an owner each, and the watcher's role.
    """
    connection = await asyncpg.connect(server.dsn())
    try:
        for role in (STORE, SHOP, WATCHER):
            await _make_role(connection, role)
        for statement in (*WATCHER_GRANTS, *SHOP_HABITS):
            await connection.execute(statement)
        for database in (STORE, SHOP):
            await _make_database(connection, database)
    finally:
        await connection.close()
    if server.has_statements:
        await _count_statements(server)


async def _make_role(connection: asyncpg.Connection[asyncpg.Record], role: str) -> None:
    known = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
    if not known:
        await connection.execute(f"CREATE ROLE {role} LOGIN")


async def _make_database(connection: asyncpg.Connection[asyncpg.Record], name: str) -> None:
    """Make the database *name*, owned by the role of that name."""
    known = await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name)
    if not known:
        await connection.execute(f"CREATE DATABASE {name} OWNER {name}")


async def _count_statements(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.dsn(SHOP))
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    finally:
        await connection.close()
