"""
The one connection to a target, kept from scrape to scrape.

Every session setting that could let a monitor hurt its target is set when it is opened: read-only,
short deadlines, no path on which somebody else's functions lie.
"""

from __future__ import annotations

import json

from typing import TypeAlias

import asyncpg

from msgspec import Struct

from monitord.settings import PostgresTarget


# asyncpg's own class takes no type argument at run time; its stubs do.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

APPLICATION_NAME = "monitord"
LOCK_TIMEOUT = "500ms"
# Three slow answers fit in one scrape's deadline.
SLOW_ANSWERS = 3
FIRST_QUERY_ID = 140_000

WHO = """
    SELECT
        quote_ident(current_user::text) AS role,
        quote_ident(current_database()::text) AS database,
        current_database()::text AS database_name,
        current_setting('server_version_num')::int AS version
"""


class Who(Struct, frozen=True):
    """Who monitord is there. `role` and `database` are quoted where a statement needs it."""

    role: str
    database: str
    database_name: str
    version: int


class Session:
    """
    An open connection. Queries raise what asyncpg raises.

    Each query is a transaction of its own: a failed one costs nothing else. `queries` counts them,
    for the server counts them too and they are not the application's.
    """

    def __init__(self, connection: Connection, who: Who) -> None:
        self._connection = connection
        self._asked: dict[str, tuple[object, ...]] = {}
        self._query_ids: dict[str, int | None] = {}
        self.who = who
        self.queries = 1  # who are we?

    @classmethod
    async def open(cls, target: PostgresTarget) -> Session:
        """Connect. Raises what asyncpg raises: five unrelated kinds of errors."""
        connection = await asyncpg.connect(
            target.dsn.reveal(),
            password=target.password.reveal() or None,
            timeout=target.timeout,
            max_cached_statement_lifetime=0,  # always the same few: never planned anew
            server_settings=server_settings(target.timeout),
        )
        try:
            row = await connection.fetchrow(WHO)
            assert row is not None  # a select without a table has one row
            return cls(connection, Who(**dict(row)))
        except BaseException:
            connection.terminate()
            raise

    @property
    def is_closed(self) -> bool:
        return self._connection.is_closed()

    def drop(self) -> None:
        """Close at once, without a word: the server may be frozen."""
        self._connection.terminate()

    async def row(self, query: str, *arguments: object) -> asyncpg.Record:
        """Return the one row of an aggregate."""
        rows = await self.rows(query, *arguments)
        return rows[0]

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        self.queries += 1
        rows = await self._connection.fetch(query, *arguments)
        self._asked[query] = arguments
        return rows

    async def own_query_ids(self) -> list[int]:
        """
        Return the ids under which pg_stat_statements keeps what this session asks.

        Planning a query tells its id (PostgreSQL 14); nothing is run for it.
        """
        if self.who.version < FIRST_QUERY_ID:
            return []
        for query, arguments in list(self._asked.items()):
            if query not in self._query_ids:
                self._query_ids[query] = await self._query_id(query, arguments)
        return [number for number in self._query_ids.values() if number is not None]

    async def _query_id(self, query: str, arguments: tuple[object, ...]) -> int | None:
        self.queries += 1
        plan = await self._connection.fetchval(
            f"EXPLAIN (VERBOSE, FORMAT JSON) {query}", *arguments
        )
        found = json.loads(plan)[0].get("Query Identifier")
        return found if isinstance(found, int) else None


def server_settings(deadline: float) -> dict[str, str]:
    """Return the session's settings for scrapes of `deadline` seconds."""
    return {
        "application_name": APPLICATION_NAME,
        "default_transaction_read_only": "on",
        "search_path": "pg_catalog",
        "statement_timeout": str(int(deadline * 1000 / SLOW_ANSWERS)),
        "lock_timeout": LOCK_TIMEOUT,
        "idle_in_transaction_session_timeout": str(int(deadline * 1000)),
        "jit": "off",
        "client_min_messages": "error",
    }
