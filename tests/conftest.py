"""The real servers every test may use. A package's own fixtures live in its own `conftest.py`."""

import itertools

from collections.abc import AsyncIterator, Generator

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio

from monitord.embedded import EmbeddedPostgres, EmbeddedValkey, PostgresOptions


# What the tests' databases hold is worth nothing after a crash.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_numbers = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what a test has logged reach another process, lone surrogates and all."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest_asyncio.fixture(scope="session")
async def postgres_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[EmbeddedPostgres]:
    """
    The embedded PostgreSQL with pg_stat_statements preloaded; `.dsn(database)` is its address.
    """
    folder = tmp_path_factory.mktemp("postgres")
    async with EmbeddedPostgres(folder, PostgresOptions(settings=FAST)) as server:
        yield server


@pytest_asyncio.fixture
async def empty_database(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """
    The address of a fresh, empty database; it is dropped afterwards.
    """
    async for dsn in _database(postgres_server, "template0"):
        yield dsn


@pytest_asyncio.fixture
async def database(postgres_server: EmbeddedPostgres, migrated_template: str) -> AsyncIterator[str]:
    """
    The address of a fresh database with the store's schema; it is dropped afterwards.
    """
    async for dsn in _database(postgres_server, migrated_template):
        yield dsn


@pytest_asyncio.fixture(scope="session")
async def migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """
    The name of a database to which the migrations were applied once, for copying.
    """
    from monitord.store.migrate import migrate  # a test without a store needs no store

    name = "template_monitord"
    await _execute(postgres_server, f"CREATE DATABASE {name}")
    connection = await asyncpg.connect(postgres_server.dsn(name))
    try:
        await migrate(connection)
    finally:
        await connection.close()
    return name


@pytest_asyncio.fixture(scope="session")
async def valkey_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[EmbeddedValkey]:
    """
    The embedded Valkey; `.url` is its address.
    """
    async with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest_asyncio.fixture
async def valkey(valkey_server: EmbeddedValkey) -> str:
    """
    The address of the embedded Valkey, emptied.
    """
    async with redis.asyncio.from_url(valkey_server.url) as client:
        await client.flushall()
    return valkey_server.url


async def _database(server: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    await _execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
    yield server.dsn(name)
    await _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(server: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.dsn())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
