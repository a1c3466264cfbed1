"""Queries of SQLAlchemy's engines, and the spans they leave."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import sqlalchemy

from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine

from monitord.emit import Emitter
from monitord.emit.hooks import watch_sqlalchemy
from tests.emit.hooks.sent import spans
from tests.emit.receiver import Receiver


def url(dsn: str, driver: str) -> str:
    return dsn.replace("postgresql://", f"postgresql+{driver}://")


async def test_an_engine(empty_database: str, emitter: Emitter, receiver: Receiver) -> None:
    """
    A query leaves a span with the statement as the driver got it; one that fails, its exception.
    """
    engine = sqlalchemy.create_engine(url(empty_database, "psycopg"))
    undo = watch_sqlalchemy(engine, emitter)
    with engine.connect() as connection, emitter.span("page") as page:
        text = sqlalchemy.text("SELECT relname FROM pg_class WHERE relname = :name")
        assert connection.execute(text, {"name": "secret"}).all() == []
        with pytest.raises(ProgrammingError):
            connection.exec_driver_sql("SELECT 1 FROM missing")
    undo()
    engine.dispose()

    query, failed, _ = spans(emitter, receiver)
    assert (query["name"], query["kind"]) == ("SELECT pg_class", "client")
    assert query["parent_id"] == page.span_id
    assert query["attributes"]["db.system.name"] == "postgresql"
    assert query["attributes"]["db.namespace"] == urlsplit(empty_database).path[1:]
    assert query["attributes"]["db.query.text"].startswith("SELECT relname FROM pg_class WHERE")
    assert "secret" not in str(query)
    assert (failed["name"], failed["status"]) == ("SELECT missing", "error")
    assert failed["error"]["type"] == "psycopg.errors.UndefinedTable"


async def test_an_asyncio_engine(empty_database: str, emitter: Emitter, receiver: Receiver) -> None:
    """
    An AsyncEngine is watched like an Engine.
    """
    engine = create_async_engine(url(empty_database, "asyncpg"))
    undo = watch_sqlalchemy(engine, emitter)
    async with engine.connect() as connection:
        with emitter.span("page") as page:
            await connection.execute(sqlalchemy.text("SELECT 1 FROM pg_class"))
    undo()
    await engine.dispose()

    query, _ = spans(emitter, receiver)
    assert (query["name"], query["parent_id"]) == ("SELECT pg_class", page.span_id)


async def test_all_engines(emitter: Emitter, receiver: Receiver) -> None:
    """
    Without an engine every one is watched, once each; undone, none is.
    """
    engine = sqlalchemy.create_engine("sqlite://")
    own = watch_sqlalchemy(engine, emitter)
    watch_sqlalchemy(emitter=emitter)
    undo = watch_sqlalchemy(emitter=emitter)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 0")
        with emitter.span("page"):
            connection.exec_driver_sql("SELECT 1")
        own()
        with emitter.span("page"):
            connection.exec_driver_sql("SELECT 2")
        undo()
        with emitter.span("page"):
            connection.exec_driver_sql("SELECT 3")
    engine.dispose()

    found = [span["attributes"] for span in spans(emitter, receiver) if span["name"] != "page"]
    assert [each["db.query.text"] for each in found] == ["SELECT 1", "SELECT 2"]
    assert found[0]["db.system.name"] == "sqlite"
