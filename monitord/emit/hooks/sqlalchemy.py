"""The queries of SQLAlchemy's engines as spans, by its own events."""

from __future__ import annotations

import importlib

from time import perf_counter_ns
from typing import Any

from monitord.emit.emitter import Emitter
from monitord.emit.hooks.patches import Patches, Undo
from monitord.emit.hooks.statement import query
from monitord.emit.hooks.step import Args, Kwargs, Recorder, Step, tracing


# Dialect -> OpenTelemetry's name where it is another.
SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}

BEGAN = "_monitord_began_ns"

# On the engine itself.
PATCHES = "_monitord_patches"


def watch_sqlalchemy(engine: Any = None, emitter: Emitter | None = None) -> Undo:
    """
    Record the queries of this Engine or AsyncEngine, of all of them without one; returns what
    ends that.

    The driver below it should not be watched as well, or each query is recorded twice.
    """
    event = importlib.import_module("sqlalchemy.event")
    every = importlib.import_module("sqlalchemy.engine").Engine
    target = every if engine is None else getattr(engine, "sync_engine", engine)
    patches: Patches | None = vars(target).get(PATCHES)
    if patches is None:
        patches = Patches()
        setattr(target, PATCHES, patches)
    patches.undo()
    for name, listener in _listeners(Recorder(emitter)).items():
        event.listen(target, name, listener)
        patches.add(_removal(event, target, name, listener))
    return patches.undo


def _removal(event: Any, target: Any, name: str, listener: Any) -> Undo:
    return lambda: event.remove(target, name, listener)


def _listeners(recorder: Recorder) -> dict[str, Any]:
    def before(
        conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        if context is not None and tracing():
            setattr(context, BEGAN, perf_counter_ns())

    def after(
        conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        ended(context, conn, statement)

    def failed(failure: Any) -> None:
        error = failure.original_exception
        ended(failure.execution_context, failure.connection, failure.statement, error)

    def ended(context: Any, conn: Any, statement: Any, error: BaseException | None = None) -> None:
        began_ns = vars(context).pop(BEGAN, None) if context is not None else None
        if began_ns is not None:
            recorder.record(_told, (conn, statement), {}, began_ns, error)

    return {
        "before_cursor_execute": before,
        "after_cursor_execute": after,
        "handle_error": failed,
    }


def _told(args: Args, kwargs: Kwargs) -> Step:
    conn, statement = args
    url, dialect = conn.engine.url, conn.dialect.name
    return query(statement, SYSTEMS.get(dialect, dialect), url.database, url.host, url.port)
