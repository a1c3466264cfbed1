"""The queries of psycopg 3's cursors as spans, blocking and asyncio."""

from __future__ import annotations

import contextlib
import functools
import importlib

from collections.abc import AsyncIterator, Iterator
from time import perf_counter_ns
from typing import Any

from monitord.emit.emitter import Emitter
from monitord.emit.hooks.patches import Method, Patches, Undo
from monitord.emit.hooks.statement import query
from monitord.emit.hooks.step import Args, Kwargs, Recorder, Step, tracing


QUERIES = ("execute", "executemany")
# How the first argument is called.
FIRST = ("query", "statement")

_patches = Patches()


def watch_psycopg(emitter: Emitter | None = None) -> Undo:
    """
    Record the queries of every cursor from now on; returns what ends that.

    `Connection.execute` makes a cursor. `stream` is left out, and the BEGIN and COMMIT that psycopg
    sends by itself. A COPY lasts until its block ends.
    """
    _patches.undo()
    psycopg = importlib.import_module("psycopg")
    recorder = Recorder(emitter)
    for name in QUERIES:
        for cursor in (psycopg.Cursor, psycopg.ServerCursor):
            _patches.replace(cursor, name, recorder.blocking(_sent))
        for cursor in (psycopg.AsyncCursor, psycopg.AsyncServerCursor):
            _patches.replace(cursor, name, recorder.awaited(_sent))
    _patches.replace(psycopg.Cursor, "copy", functools.partial(_copying, recorder))
    _patches.replace(psycopg.AsyncCursor, "copy", functools.partial(_copying_async, recorder))
    return _patches.undo


def _sent(args: Args, kwargs: Kwargs) -> Step:
    given = args[1] if len(args) > 1 else next(kwargs[name] for name in FIRST if name in kwargs)
    return query(_text(given), "postgresql", *_place(args[0]))


def _place(cursor: Any) -> tuple[str, str, int] | tuple[None]:
    try:
        about = cursor.connection.info
        return about.dbname, about.host, about.port
    except Exception:  # noqa: BLE001 - a connection that is lost no longer knows where it led
        return (None,)


def _text(given: Any) -> str:
    """Return the statement as text, with `?` for each value that was written into it."""
    if isinstance(given, str):
        return given
    if isinstance(given, bytes):
        return given.decode("utf-8", "replace")
    if strings := getattr(given, "strings", None):  # a template string
        return "?".join(strings)
    kind = type(given).__name__
    if kind == "Composed":
        return "".join(map(_text, given))
    return "?" if kind == "Literal" else str(given.as_string(None))


def _copying(recorder: Recorder, original: Method) -> Method:
    @contextlib.contextmanager
    def recorded(*args: Any, **kwargs: Any) -> Iterator[Any]:
        began_ns = perf_counter_ns()
        try:
            with original(*args, **kwargs) as copy:
                yield copy
        except BaseException as error:
            recorder.record(_sent, args, kwargs, began_ns, error)
            raise
        recorder.record(_sent, args, kwargs, began_ns)

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        return (recorded if tracing() else original)(*args, **kwargs)

    return watched


def _copying_async(recorder: Recorder, original: Method) -> Method:
    @contextlib.asynccontextmanager
    async def recorded(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        began_ns = perf_counter_ns()
        try:
            async with original(*args, **kwargs) as copy:
                yield copy
        except BaseException as error:
            recorder.record(_sent, args, kwargs, began_ns, error)
            raise
        recorder.record(_sent, args, kwargs, began_ns)

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        return (recorded if tracing() else original)(*args, **kwargs)

    return watched
