"""The examples of the section "Hooks" do what is said of them, each against the real thing."""

from __future__ import annotations

import ast
import inspect
import re
import threading

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import aiohttp
import asyncpg
import celery
import httpx
import psycopg
import pytest
import redis
import rq
import sqlalchemy

from monitord.emit import Emitter, configure, default, hooks
from tests.emit.hooks.jobs import add
from tests.emit.hooks.sent import spans
from tests.emit.receiver import Receiver


PAGE = Path(__file__).parents[3] / "docs" / "emit.md"
SECTION = PAGE.read_text().partition("\n## Hooks\n")[2].partition("\n## ")[0]
EXAMPLES = {
    match[1]: text
    for text in re.findall(r"^```python\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    if (match := re.search(r"import (watch_\w+)", text))
}


@pytest.fixture
def emitting(receiver: Receiver) -> Iterator[Emitter]:
    """
    The process's own emitter, sending to the receiver.
    """
    yield configure(receiver.address, service="shop")
    default().flush(5)
    configure("off")


async def run(name: str, names: dict[str, Any]) -> None:
    """Execute an example in a trace, and undo what it watches."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: CodeType = compile(EXAMPLES[name], str(PAGE), "exec", flags)
    try:
        with default().span("page"):
            result = FunctionType(code, names)()
            if inspect.isawaitable(result):
                await result
    finally:
        getattr(hooks, name)()()


def test_every_hook_has_an_example() -> None:
    """
    Whatever can be watched is shown.
    """
    assert set(EXAMPLES) == set(hooks.__all__)


async def test_queries(empty_database: str, emitting: Emitter, receiver: Receiver) -> None:
    """
    Three libraries, the same query, the same name.
    """
    async with asyncpg.create_pool(empty_database) as pool:
        await pool.execute("CREATE TABLE orders (id int)")
    dsn = empty_database.replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(dsn)

    await run("watch_asyncpg", {"asyncpg": asyncpg, "dsn": empty_database})
    await run("watch_psycopg", {"psycopg": psycopg, "dsn": empty_database})
    await run("watch_sqlalchemy", {"sqlalchemy": sqlalchemy, "engine": engine})
    hooks.watch_sqlalchemy(engine)()
    engine.dispose()

    names = [span["name"] for span in spans(emitting, receiver)]
    assert names == ["SELECT orders", "page"] * 3


async def test_a_cache(valkey: str, emitting: Emitter, receiver: Receiver) -> None:
    """
    The spans have the names that the comments give them.
    """
    with redis.Redis.from_url(valkey) as cache:
        cache.ping()
        await run("watch_redis", {"cache": cache})

    names = [span["name"] for span in spans(emitting, receiver)]
    assert names == ["GET cart", "GET session", "page"]


async def test_requests(emitting: Emitter, receiver: Receiver) -> None:
    """
    Both clients hand the trace on.
    """
    traces: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            traces.append(self.headers["traceparent"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        await run("watch_httpx", {"httpx": httpx, "url": url})
        await run("watch_aiohttp_client", {"aiohttp": aiohttp, "url": url})
        server.shutdown()
        thread.join()

    requests = [span for span in spans(emitting, receiver) if span["name"] == "GET 127.0.0.1"]
    assert traces == [f"00-{each['trace_id']}-{each['span_id']}-01" for each in requests]
    assert len(traces) == 2


async def test_jobs(valkey: str, emitting: Emitter, receiver: Receiver) -> None:
    """
    The task is a step of the trace in which it was asked for.
    """
    app = celery.Celery("shop", set_as_current=False)
    app.conf.task_always_eager = True
    task = app.task(add, name="add", shared=False)
    with redis.Redis.from_url(valkey) as connection:
        queue = rq.Queue("mail", connection=connection, is_async=False)
        await run("watch_celery", {"add": task})
        await run("watch_rq", {"add": add, "queue": queue})

    names = [span["name"] for span in spans(emitting, receiver)]
    assert names == ["add", "page", "tests.emit.hooks.jobs.add", "page"]
