"""The queries of asyncpg's connections, pools and prepared statements as spans."""

from __future__ import annotations

import importlib

from typing import Any

from monitord.emit.emitter import Emitter
from monitord.emit.hooks.patches import Patches, Undo
from monitord.emit.hooks.statement import query
from monitord.emit.hooks.step import Args, Kwargs, Recorder, Step, Told


QUERIES = ("execute", "executemany", "fetch", "fetchmany", "fetchrow", "fetchval")
# Method -> the statement it sends, as far as it is known.
COPIES = {
    "copy_from_query": "COPY ({given}) TO STDOUT",
    "copy_from_table": "COPY {given} TO STDOUT",
    "copy_to_table": "COPY {given} FROM STDIN",
    "copy_records_to_table": "COPY {given} FROM STDIN",
}
# How the first argument is called.
FIRST = ("query", "command", "table_name")

_patches = Patches()


def watch_asyncpg(emitter: Emitter | None = None) -> Undo:
    """
    Record the queries of every connection from now on, also of pools; returns what ends that.

    Cursors are left out, and what a pool asks of a connection that comes back.
    """
    _patches.undo()
    asyncpg = importlib.import_module("asyncpg")
    statements = importlib.import_module("asyncpg.prepared_stmt").PreparedStatement
    awaited = Recorder(emitter).awaited
    for name in QUERIES:
        _patches.replace(asyncpg.Connection, name, awaited(_sent))
        _patches.replace(statements, name, awaited(_prepared))
    for name, form in COPIES.items():
        _patches.replace(asyncpg.Connection, name, awaited(_copied(form)))
    return _patches.undo


def _sent(args: Args, kwargs: Kwargs) -> Step | None:
    text = _first(args, kwargs)
    # Compared as an object: the same words sent by the application are its own.
    return None if text is getattr(args[0], "_reset_query", None) else _query(text, args[0])


def _prepared(args: Args, kwargs: Kwargs) -> Step:
    return _query(args[0].get_query(), args[0]._connection)


def _copied(form: str) -> Told:
    def told(args: Args, kwargs: Kwargs) -> Step:
        given = _first(args, kwargs)
        schema = kwargs.get("schema_name")
        return _query(form.format(given=f"{schema}.{given}" if schema else given), args[0])

    return told


def _first(args: Args, kwargs: Kwargs) -> str:
    given = args[1] if len(args) > 1 else next(kwargs[name] for name in FIRST if name in kwargs)
    return given if type(given) is str else str(given)


def _query(text: str, connection: Any) -> Step:
    address = connection._addr
    host, port = address if isinstance(address, tuple) else (address, None)
    return query(text, "postgresql", connection._params.database, host, port)
