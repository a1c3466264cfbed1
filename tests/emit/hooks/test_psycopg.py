"""Queries of psycopg 3 against PostgreSQL, and the spans they leave."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from psycopg import sql

from monitord.emit import Emitter
from monitord.emit.hooks import watch_psycopg
from tests.emit.hooks.sent import spans
from tests.emit.receiver import Receiver


TABLE = "CREATE TABLE orders (id int PRIMARY KEY, note text)"


@pytest.fixture
def watched(emitter: Emitter) -> Iterator[None]:
    """
    psycopg is watched.
    """
    undo = watch_psycopg(emitter)
    yield
    undo()


@pytest.mark.usefixtures("watched")
async def test_blocking_queries(empty_database: str, emitter: Emitter, receiver: Receiver) -> None:
    """
    Each statement leaves one span without its parameters, whichever way it is sent.
    """
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(TABLE)
        with emitter.span("page") as page:
            connection.execute("INSERT INTO orders VALUES (%s, %s)", (424_242, "secret"))
            with connection.cursor() as cursor:
                cursor.executemany("UPDATE orders SET note = %s", [("a",), ("b",)])
                with cursor.copy("COPY orders TO STDOUT") as copy:
                    assert list(copy) == [b"424242\tb\n"]
                assert cursor.execute(b"SELECT note FROM orders").fetchone() == ("b",)
            with connection.transaction(), connection.cursor("named") as server_side:
                assert server_side.execute("SELECT id FROM orders").fetchall() == [(424_242,)]

    *queries, _ = spans(emitter, receiver)
    assert [query["name"] for query in queries] == [
        "INSERT orders",
        "UPDATE orders",
        "COPY orders",
        "SELECT orders",
        "SELECT orders",
    ]
    assert {query["parent_id"] for query in queries} == {page.span_id}
    assert {query["kind"] for query in queries} == {"client"}
    attributes = queries[0]["attributes"]
    assert attributes["db.query.text"] == "INSERT INTO orders VALUES (%s, %s)"
    assert attributes["db.namespace"] == urlsplit(empty_database).path[1:]
    assert attributes["server.address"].startswith("/")
    assert "secret" not in str(queries)
    assert "424242" not in str(queries)


@pytest.mark.usefixtures("watched")
async def test_asyncio_queries(empty_database: str, emitter: Emitter, receiver: Receiver) -> None:
    """
    The same holds for asyncio's connections.
    """
    async with await psycopg.AsyncConnection.connect(empty_database) as connection:
        await connection.execute(TABLE)
        with emitter.span("page") as page:
            async with connection.cursor() as cursor:
                await cursor.execute("INSERT INTO orders VALUES (1, 'a')")
                await cursor.executemany("DELETE FROM orders WHERE id = %s", [(1,), (2,)])
                async with cursor.copy("COPY orders FROM STDIN") as copy:
                    await copy.write_row((3, "c"))
                await (await cursor.execute("SELECT id FROM orders")).fetchall()

    *queries, _ = spans(emitter, receiver)
    assert [query["name"] for query in queries] == [
        "INSERT orders",
        "DELETE orders",
        "COPY orders",
        "SELECT orders",
    ]
    assert {query["parent_id"] for query in queries} == {page.span_id}


@pytest.mark.usefixtures("watched")
async def test_a_composed_statement(
    empty_database: str, emitter: Emitter, receiver: Receiver
) -> None:
    """
    Values that psycopg.sql writes into the statement are left out of the span.
    """
    statement = sql.SQL("SELECT {} AS one FROM {}").format(
        sql.Literal("secret"), sql.Identifier("t")
    )
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (a int)")
        with emitter.span("page"):
            connection.execute(statement)

    query, _ = spans(emitter, receiver)
    assert query["name"] == "SELECT t"
    assert query["attributes"]["db.query.text"] == 'SELECT ? AS one FROM "t"'


@pytest.mark.usefixtures("watched")
async def test_queries_that_fail(empty_database: str, emitter: Emitter, receiver: Receiver) -> None:
    """
    The exception is raised on, and is in the query's span; so it is with what breaks a COPY off.
    """
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(TABLE)
        with emitter.span("page"):
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute("SELECT 1 FROM missing")
            with pytest.raises(LookupError), connection.cursor().copy("COPY orders FROM STDIN"):
                raise LookupError("no more rows")

    failed, broken, _ = spans(emitter, receiver)
    assert (failed["name"], failed["status"]) == ("SELECT missing", "error")
    assert failed["error"]["type"] == "psycopg.errors.UndefinedTable"
    assert (broken["name"], broken["error"]["type"]) == ("COPY orders", "LookupError")


@pytest.mark.usefixtures("watched")
async def test_a_connection_that_is_lost(
    empty_database: str, emitter: Emitter, receiver: Receiver
) -> None:
    """
    The query that finds it lost has a span all the same, and so have those after it.
    """
    cursor = psycopg.connect(empty_database, autocommit=True).cursor()
    with emitter.span("page"):
        for text in ("SELECT pg_terminate_backend(pg_backend_pid())", "SELECT 1"):
            with pytest.raises(psycopg.OperationalError):
                cursor.execute(text)

    ended, lost, _ = spans(emitter, receiver)
    assert (ended["status"], lost["status"]) == ("error", "error")
    assert lost["attributes"]["db.query.text"] == "SELECT 1"


async def test_watched_twice_and_undone(
    empty_database: str, emitter: Emitter, receiver: Receiver
) -> None:
    """
    Watched twice records once, outside of a trace nothing is; undone, psycopg is as it was.
    """
    before = dict(vars(psycopg.Cursor))
    watch_psycopg(emitter)
    undo = watch_psycopg(emitter)
    with psycopg.connect(empty_database) as connection:
        connection.execute("SELECT 1")
        with emitter.span("page"):
            connection.execute("SELECT 2")
    undo()

    assert [span["name"] for span in spans(emitter, receiver)] == ["SELECT", "page"]
    assert dict(vars(psycopg.Cursor)) == before
