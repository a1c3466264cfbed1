"""Brings the store's schema up to date from `sql/migrations`, once, and only forward."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re

from collections.abc import Callable, Sequence
from pathlib import Path

import asyncpg

from msgspec import Struct

from monitord import assets
from monitord.errors import StoreError
from monitord.store.connection import Connection
from monitord.store.failures import ROOTS


OLDEST_SERVER = 150_000

# Any constant: who holds it migrates. The second key is the schema, so that two monitords in two
# schemas of one database do not wait for each other.
LOCK = 0x6D6F6E69  # "moni"

FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
NO_TRANSACTION = "-- migrate: no-transaction"

# A migration may rewrite a large table; only the operator ends it.
NO_DEADLINE_SECONDS = 86_400.0

# The lock goes with the session anyhow.
UNLOCK_TIMEOUT_SECONDS = 2.0

RECORDS = """
CREATE TABLE IF NOT EXISTS monitord_migrations (
    version int4 PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class Migration(Struct, frozen=True):
    """One file of `sql/migrations`."""

    version: int
    name: str
    sha256: str
    sql: str

    @property
    def in_transaction(self) -> bool:
        """Whether it runs in a transaction; else the file is one statement that may be repeated."""
        return not self.sql.startswith(NO_TRANSACTION)


def migrations(folder: Path | None = None) -> list[Migration]:
    """
    Return the migrations of a folder (the product's own unless told), lowest version first.

    Raises StoreError: a file is misnamed, or the versions are not 1, 2, 3, ….
    """
    found = []
    for path in sorted((folder or assets.folder("sql/migrations")).glob("*.sql")):
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            raise StoreError(f"{path}: expected a name such as 0001_requests.sql")
        text = path.read_bytes()
        digest = hashlib.sha256(text).hexdigest()
        found.append(Migration(int(match[1]), match[2], digest, text.decode()))
    if [one.version for one in found] != list(range(1, len(found) + 1)):
        raise StoreError(
            f"sql/migrations: the numbers must run 1, 2, 3, …; found {len(found)} files"
        )
    return found


def nothing() -> None:
    """Do nothing."""


async def migrate(
    connection: Connection, folder: Path | None = None, waiting: Callable[[], None] = nothing
) -> list[str]:
    """
    Apply what is missing; return the names of what was applied, in order.

    The connection is the caller's and must not be in a transaction. Several may call this at the
    same time on the same database: one works, the others wait and find nothing to do. `waiting`
    is called when another one is at work.

    Raises StoreError: the server is too old, an applied file was edited, or the database was
    migrated by a newer monitord.
    """
    wanted = migrations(folder)
    await require_version(connection)
    await lock(connection, waiting)
    try:
        missing = await pending(connection, wanted)
        for migration in missing:
            await apply(connection, migration)
        return [f"{one.version:04}_{one.name}" for one in missing]
    finally:
        if not connection.is_closed():
            with contextlib.suppress(*ROOTS):
                await connection.execute(
                    "SELECT pg_advisory_unlock($1, hashtext(current_schema()))",
                    LOCK,
                    timeout=UNLOCK_TIMEOUT_SECONDS,
                )


async def require_version(connection: Connection) -> None:
    """Raises StoreError: the server is older than the oldest one monitord can store in."""
    number = int(await connection.fetchval("SHOW server_version_num"))
    if number < OLDEST_SERVER:
        version = await connection.fetchval("SHOW server_version")
        raise StoreError(
            f"store: PostgreSQL 15 or newer is needed to store in, this server is {version}"
        )


async def lock(connection: Connection, waiting: Callable[[], None], every: float = 0.1) -> None:
    """
    Take the migration lock of this schema, asking every so many seconds.

    It asks instead of waiting inside the server: a waiting statement holds a snapshot, which
    `CREATE INDEX CONCURRENTLY` of the one at work would wait for in turn.

    Raises StoreError: no schema of the search path exists.
    """
    if await connection.fetchval("SELECT current_schema()") is None:
        path = await connection.fetchval("SHOW search_path")
        raise StoreError(
            f"store: no schema of search_path {path!r} exists; create it or change the dsn"
        )
    while not await connection.fetchval(
        "SELECT pg_try_advisory_lock($1, hashtext(current_schema()))", LOCK
    ):
        waiting()
        await asyncio.sleep(every)


async def pending(connection: Connection, wanted: Sequence[Migration]) -> list[Migration]:
    """
    Return the migrations not yet applied, having compared the others with what was applied.

    Raises StoreError: as `migrate`, or the role may not create tables here.
    """
    try:
        await connection.execute(RECORDS)
    except asyncpg.InsufficientPrivilegeError as error:
        role = await connection.fetchval("SELECT current_user")
        raise StoreError(f"store: role {role!r} may not create tables: {error}") from error
    applied = {
        row["version"]: row
        for row in await connection.fetch("SELECT version, name, sha256 FROM monitord_migrations")
    }
    newer = sorted(set(applied) - {one.version for one in wanted})
    if newer:
        raise StoreError(
            f"store: the database has migration {newer[-1]:04}, this monitord knows"
            f" {len(wanted):04} at most; start the newer monitord"
        )
    for one in wanted:
        if one.version in applied and applied[one.version]["sha256"] != one.sha256:
            raise StoreError(
                f"sql/migrations/{one.version:04}_{one.name}.sql: was edited after it had been"
                " applied; restore the file and put the change in a new migration"
            )
    return [one for one in wanted if one.version not in applied]


async def apply(connection: Connection, migration: Migration) -> None:
    """
    Run one migration and record it, together where the migration allows.

    Raises StoreError: the server refused a statement; nothing of the migration remains.
    """
    name = f"sql/migrations/{migration.version:04}_{migration.name}.sql"
    try:
        if migration.in_transaction:
            async with connection.transaction():
                await connection.execute(
                    "SET LOCAL statement_timeout = 0", timeout=NO_DEADLINE_SECONDS
                )
                await connection.execute(migration.sql, timeout=NO_DEADLINE_SECONDS)
                await record(connection, migration)
        else:
            await connection.execute("SET statement_timeout = 0")
            await connection.execute(migration.sql, timeout=NO_DEADLINE_SECONDS)
            await connection.execute("RESET statement_timeout")
            await record(connection, migration)
    except asyncpg.DuplicateTableError as error:
        raise StoreError(
            f"{name}: {error}, and it is not monitord's; give monitord a database of its own, or a"
            " schema of its own with '?search_path=monitord' at the end of the dsn"
        ) from error
    except (asyncpg.SyntaxOrAccessError, asyncpg.FeatureNotSupportedError) as error:
        raise StoreError(f"{name}: {error}") from error


async def record(connection: Connection, migration: Migration) -> None:
    await connection.execute(
        "INSERT INTO monitord_migrations (version, name, sha256) VALUES ($1, $2, $3)",
        migration.version,
        migration.name,
        migration.sha256,
    )
