"""The servers the other tests are given."""

import asyncpg
import redis.asyncio

from monitord.embedded import EmbeddedPostgres


async def test_database_is_empty(empty_database: str):
    """
    A test's database starts without a table of its own.
    """
    connection = await asyncpg.connect(empty_database)

    try:
        count = await connection.fetchval(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        )
    finally:
        await connection.close()

    assert count == 0


async def test_statements_are_counted(postgres_server: EmbeddedPostgres, empty_database: str):
    """
    The embedded server has pg_stat_statements loaded, so that its extension works.
    """
    connection = await asyncpg.connect(empty_database)

    try:
        await connection.execute("CREATE EXTENSION pg_stat_statements")
        calls = await connection.fetchval("SELECT sum(calls) FROM pg_stat_statements")
    finally:
        await connection.close()

    assert postgres_server.has_statements
    assert calls > 0


async def test_valkey_is_empty(valkey: str):
    """
    A test's cache starts without a key.
    """
    async with redis.asyncio.from_url(valkey) as client:
        size = await client.dbsize()

    assert size == 0
