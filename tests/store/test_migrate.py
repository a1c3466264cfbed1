"""The migration runner on a real server: once, together, and never over an edited file."""

import asyncio
import re

from pathlib import Path

import asyncpg
import pytest

from monitord.embedded import EmbeddedPostgres
from monitord.errors import StoreError
from monitord.store.migrate import migrate, migrations, require_version


DUMP = """
SELECT table_name, column_name, data_type, is_nullable, column_default, ordinal_position
FROM information_schema.columns
WHERE table_schema = 'public' AND table_name <> 'monitord_migrations'
UNION ALL
SELECT tablename, indexname, indexdef, '', '', 0
FROM pg_indexes
WHERE schemaname = 'public' AND tablename <> 'monitord_migrations'
ORDER BY 1, 2
"""


async def connect(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(dsn)


def write(folder: Path, *texts: str) -> Path:
    """Fill a folder with migrations of these texts."""
    for number, text in enumerate(texts, 1):
        (folder / f"{number:04}_step.sql").write_text(text)
    return folder


async def test_second_run_does_nothing(empty_database: str) -> None:
    """
    Everything is applied once; the next run finds nothing to do.
    """
    connection = await connect(empty_database)

    first = await migrate(connection)
    second = await migrate(connection)

    assert [f"{one.version:04}_{one.name}" for one in migrations()] == first
    assert second == []
    await connection.close()


async def test_several_at_once_apply_everything_once(empty_database: str) -> None:
    """
    Of several daemons that start together, one migrates and the others wait for it.
    """
    connections = [await connect(empty_database) for _ in range(4)]

    results = await asyncio.gather(*(migrate(one) for one in connections))

    assert sorted(map(len, results)) == [0, 0, 0, len(migrations())]
    for connection in connections:
        await connection.close()


async def test_edited_file_is_refused(empty_database: str, tmp_path: Path) -> None:
    """
    A file that was edited after it had been applied stops the run, in one line that names it.
    """
    connection = await connect(empty_database)
    folder = write(tmp_path, "CREATE TABLE a (x int4)")
    await migrate(connection, folder)
    write(folder, "CREATE TABLE a (x int8)")

    with pytest.raises(StoreError) as caught:
        await migrate(connection, folder)

    assert re.match(r"sql/migrations/0001_step\.sql: was edited", str(caught.value))
    assert "\n" not in str(caught.value)
    await connection.close()


async def test_newer_database_is_refused(empty_database: str, tmp_path: Path) -> None:
    """
    A database that a newer monitord has migrated is not touched by an older one.
    """
    connection = await connect(empty_database)
    await migrate(connection, write(tmp_path, "SELECT 1", "SELECT 2"))
    (tmp_path / "0002_step.sql").unlink()

    with pytest.raises(StoreError, match="0002, this monitord knows 0001"):
        await migrate(connection, tmp_path)

    await connection.close()


async def test_failing_migration_leaves_nothing(empty_database: str, tmp_path: Path) -> None:
    """
    A migration that fails is undone as a whole and not recorded; those before it stay.
    """
    connection = await connect(empty_database)
    folder = write(tmp_path, "CREATE TABLE a (x int4)", "CREATE TABLE b (x int4); SELECT no_such()")

    with pytest.raises(StoreError, match=r"0002_step\.sql: .*no_such"):
        await migrate(connection, folder)

    assert await connection.fetchval("SELECT to_regclass('a') IS NOT NULL")
    assert await connection.fetchval("SELECT to_regclass('b') IS NULL")
    assert await connection.fetchval("SELECT array_agg(version) FROM monitord_migrations") == [1]
    await connection.close()


async def test_statement_outside_a_transaction_runs(empty_database: str, tmp_path: Path) -> None:
    """
    A file that says so runs outside a transaction, as CREATE INDEX CONCURRENTLY must.
    """
    connection = await connect(empty_database)
    folder = write(
        tmp_path,
        "CREATE TABLE a (x int4)",
        "-- migrate: no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_x ON a (x)",
    )

    await migrate(connection, folder)

    assert await connection.fetchval("SELECT to_regclass('a_x') IS NOT NULL")
    await connection.close()


async def test_upgraded_database_equals_a_fresh_one(
    postgres_server: EmbeddedPostgres, empty_database: str, database: str, tmp_path: Path
) -> None:
    """
    Applying the migrations one release at a time gives the tables and indexes of a fresh database.
    """
    upgraded, fresh = await connect(empty_database), await connect(database)
    for one in migrations():
        (tmp_path / f"{one.version:04}_{one.name}.sql").write_text(one.sql)
        assert len(await migrate(upgraded, tmp_path)) == 1

    assert await upgraded.fetch(DUMP) == await fresh.fetch(DUMP)
    await upgraded.close()
    await fresh.close()


async def test_foreign_table_of_the_same_name_is_named(empty_database: str) -> None:
    """
    In an application's own database a clash is reported with the two ways out of it.
    """
    connection = await connect(empty_database)
    await connection.execute("CREATE TABLE requests (id int4)")

    with pytest.raises(StoreError, match=r"\"requests\" already exists.*search_path=monitord"):
        await migrate(connection)

    await connection.close()


async def test_schema_of_its_own_is_respected(empty_database: str) -> None:
    """
    With a search path in the dsn everything goes into that schema.
    """
    connection = await connect(empty_database)
    await connection.execute("CREATE TABLE requests (id int4); CREATE SCHEMA monitord")
    inside = await connect(f"{empty_database}&search_path=monitord")

    await migrate(inside)

    schemas = "SELECT array_agg(schemaname) FROM pg_tables WHERE tablename = 'endpoints'"
    assert await connection.fetchval(schemas) == ["monitord"]
    await inside.close()
    await connection.close()


async def test_missing_schema_is_named(empty_database: str) -> None:
    """
    A search path that leads nowhere is reported before anything is tried.
    """
    connection = await connect(f"{empty_database}&search_path=nowhere")

    with pytest.raises(StoreError, match="no schema of search_path 'nowhere' exists"):
        await migrate(connection)

    await connection.close()


class OldServer:
    """Answers the two questions about the version as PostgreSQL 14 does."""

    async def fetchval(self, query: str) -> str:
        return {"SHOW server_version_num": "140009", "SHOW server_version": "14.9"}[query]


async def test_old_server_is_refused() -> None:
    """
    PostgreSQL below 15 is refused in one line that says what was found.
    """
    with pytest.raises(
        StoreError, match=r"PostgreSQL 15 or newer is needed .* this server is 14\.9"
    ):
        await require_version(OldServer())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["1_a.sql", "0001-a.sql", "0002_a.sql"])
def test_misnamed_file_is_refused(tmp_path: Path, name: str) -> None:
    """
    A file that does not fit the numbering is a mistake, not a file to skip.
    """
    (tmp_path / name).write_text("SELECT 1")

    with pytest.raises(StoreError):
        migrations(tmp_path)
