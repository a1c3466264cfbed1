"""Queries of asyncpg against PostgreSQL, and the spans they leave."""

from __future__ import annotations

import io

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from monitord.emit import Emitter
from monitord.emit.hooks import watch_asyncpg
from tests.emit.hooks.sent import spans
from tests.emit.receiver import Receiver


@pytest.fixture
def watched(emitter: Emitter) -> Iterator[None]:
    """
    asyncpg is watched.
    """
    undo = watch_asyncpg(emitter)
    yield
    undo()


@pytest_asyncio.fixture
async def connection(empty_database: str) -> AsyncIterator[asyncpg.Connection]:
    """
    A connection to a database with a table `orders`.
    """
    own = await asyncpg.connect(empty_database)
    await own.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    yield own
    await own.close()


@pytest.mark.usefixtures("watched")
async def test_a_query(
    connection: asyncpg.Connection, emitter: Emitter, receiver: Receiver, empty_database: str
) -> None:
    """
    Its span hangs on the current one and holds the statement as it was sent, without parameters.
    """
    with emitter.span("page") as page:
        await connection.fetch("SELECT note FROM orders WHERE id = $1", 424_242)

    query, outer = spans(emitter, receiver)
    assert (query["name"], query["kind"]) == ("SELECT orders", "client")
    assert (query["trace_id"], query["parent_id"]) == (page.trace_id, outer["span_id"])
    assert query["attributes"].pop("server.address").startswith("/")  # a Unix socket
    assert query["attributes"] == {
        "db.system.name": "postgresql",
        "db.operation.name": "SELECT",
        "db.collection.name": "orders",
        "db.namespace": urlsplit(empty_database).path[1:],
        "db.query.text": "SELECT note FROM orders WHERE id = $1",
    }
    assert 0 < query["duration_ms"] <= outer["duration_ms"]
    assert "424242" not in str(query)
    assert "error" not in query


@pytest.mark.usefixtures("watched")
async def test_every_way_to_ask(
    connection: asyncpg.Connection, emitter: Emitter, receiver: Receiver
) -> None:
    """
    Each method that sends a statement leaves one span, and its result is what it was.
    """
    with emitter.span("page"):
        assert await connection.execute("INSERT INTO orders VALUES ($1, 'a')", 1) == "INSERT 0 1"
        await connection.executemany(command="INSERT INTO orders VALUES ($1)", args=[(2,), (3,)])
        assert await connection.fetchval("SELECT note FROM orders WHERE id = 1") == "a"
        assert await connection.fetchrow("SELECT id FROM orders WHERE id = 2") == (2,)
        prepared = await connection.prepare("UPDATE orders SET note = $1 RETURNING id")
        assert len(await prepared.fetch("b")) == 3
        await connection.copy_records_to_table("orders", records=[(4, "c")])
        await connection.copy_from_query("SELECT 1", output=io.BytesIO())
        async with connection.transaction():
            pass

    assert [span["name"] for span in spans(emitter, receiver)] == [
        "INSERT orders",
        "INSERT orders",
        "SELECT orders",
        "SELECT orders",
        "UPDATE orders",
        "COPY orders",
        "COPY",
        "BEGIN",
        "COMMIT",
        "page",
    ]


@pytest.mark.usefixtures("watched")
async def test_a_pool(empty_database: str, emitter: Emitter, receiver: Receiver) -> None:
    """
    Queries by a pool are recorded once; what it asks of a connection that comes back is not.
    """
    async with asyncpg.create_pool(empty_database, min_size=1, max_size=1) as pool:
        with emitter.span("page"):
            assert await pool.fetchval("SELECT 1") == 1
            async with pool.acquire() as connection:
                assert await connection.fetchval("SELECT 2") == 2

    *queries, _ = spans(emitter, receiver)
    texts = [query["attributes"]["db.query.text"] for query in queries]
    assert texts == ["SELECT 1", "SELECT 2"]


@pytest.mark.usefixtures("watched")
async def test_a_query_that_fails(
    connection: asyncpg.Connection, emitter: Emitter, receiver: Receiver
) -> None:
    """
    The exception is raised on as it was, and is in the query's span.
    """
    with emitter.span("page"), pytest.raises(asyncpg.UndefinedTableError):
        await connection.execute("DELETE FROM missing")

    [query, page] = spans(emitter, receiver)
    assert (query["name"], query["status"]) == ("DELETE missing", "error")
    assert query["error"]["type"] == "asyncpg.exceptions.UndefinedTableError"
    assert query["error"]["message"] == 'relation "missing" does not exist'
    assert "error" not in page


@pytest.mark.usefixtures("watched")
async def test_outside_of_a_trace(
    connection: asyncpg.Connection, emitter: Emitter, receiver: Receiver
) -> None:
    """
    A query nobody's step is leaves no span.
    """
    assert await connection.fetchval("SELECT 1") == 1

    assert spans(emitter, receiver) == []


async def test_watched_twice_and_undone(
    connection: asyncpg.Connection, emitter: Emitter, receiver: Receiver
) -> None:
    """
    Watched twice records once; what undoes it leaves asyncpg as it was.
    """
    before = dict(vars(asyncpg.Connection))
    undo = watch_asyncpg(emitter)
    watch_asyncpg(emitter)
    with emitter.span("page"):
        await connection.fetch("SELECT 1")
    undo()
    undo()

    assert [span["name"] for span in spans(emitter, receiver)] == ["SELECT", "page"]
    assert dict(vars(asyncpg.Connection)) == before


@pytest.mark.usefixtures("watched")
async def test_called_wrongly(connection: asyncpg.Connection, emitter: Emitter) -> None:
    """
    A call the library refuses fails as it does without us.
    """
    with emitter.span("page"), pytest.raises(TypeError, match="query"):
        await connection.fetch()
