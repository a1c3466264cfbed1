"""Secrets in every place of every event, and then a look at everything monitord keeps or shows."""

from __future__ import annotations

import asyncio
import json
import socket
import time

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from tests.acceptance.house import House, house


# No canary is a word of English: it is in nothing unless it was let through.
CANARIES = [f"c4nary{number:02}Zq" for number in range(40)]
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjNG5hcnkifQ.c4naryJwtZq"
BASIC = "YzRuYXJ5OnNlY3JldA=="
AWS = "AKIAC4NARY7EXAMPLE00"
EVERY_CANARY = [*CANARIES, "c4nary", JWT.split(".")[1], BASIC, AWS]
PATIENCE_SECONDS = 60.0
PAGES = (
    "/",
    "/ui/monitoring/advanced",
    "/itself",
    "/partials/itself",
    "/partials/overview",
    "/metrics",
    "/api/v1/logs?limit=200",
    "/api/v1/metrics",
    "/api/v1/overview",
    "/api/v1/endpoints",
    "/api/v1/self",
    "/api/monitoring/advanced/summary",
)


def events(way: str) -> list[dict[str, Any]]:
    """Return one event of each type and more logs, which hold the canaries and `harmless` words."""
    c = iter(CANARIES)
    shared: dict[str, Any] = {"time": time.time(), "service": f"harmless-{way}"}
    frames = [
        {
            "path": "app.py",
            "line": 1,
            "function": "f",
            "source": f'password = "{next(c)}"  # harmless',
        },
        {"path": "app.py", "line": 2, "function": "g", "source": f"connect(token='{next(c)}')"},
    ]
    error = {"type": "ValueError", "message": f"harmless token={next(c)} here", "frames": frames}
    ids = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}
    messages = [
        f"password={next(c)} harmless",
        f'{{"user_password": "{next(c)}", "a": "harmless"}}',
        f"{{'x-api-key': '{next(c)}', 'a': 'harmless'}}",
        f"GET /harmless?access_token={next(c)}&page=2",
        f"Authorization: Bearer {next(c)} harmless",
        f"Authorization: Basic {BASIC} harmless",
        f"Cookie: a={next(c)}; b={next(c)} harmless",
        f"connecting to postgres://harmless:{next(c)}@db/shop",
        f"-----BEGIN RSA PRIVATE KEY-----\n{next(c)}\n-----END RSA PRIVATE KEY----- harmless",
        f"harmless {JWT} and {AWS}",
        f"harmless [(b'x-api-key', b'{next(c)}')]",
        f"harmless password=SecretStr('a {next(c)}')",
    ]
    fields = {
        "a": "harmless",
        "Authorization": next(c),
        "nested": {"list": [{"clientSecret": next(c), "b": "harmless"}]},
        "headers": [["set-cookie", next(c)], ["host", "harmless"]],
        "text": f"api_key: {next(c)}, harmless",
    }
    literals = f"'{next(c)}' AND b = $x${next(c)}$x$ -- {next(c)}"
    attributes = {
        "db.query.text": f"UPDATE harmless SET a = {literals}",  # noqa: S608 - nobody runs it
        "db.query.parameter.0": next(c),
        "sql": [f"SELECT '{next(c)}' AS harmless"],
        "http.request.header.cookie": [next(c)],
        "url.full": f"https://harmless:{next(c)}@h/",
    }
    strings = {"private_key": next(c), "a": "harmless"}
    request = {"method": "GET", "route": "/harmless", "status": 500, "duration_ms": 1.0}
    return [
        *({"type": "log", "level": "INFO", "message": text, **shared} for text in messages),
        {"type": "log", "level": "ERROR", "message": "harmless", "fields": fields, "error": error}
        | shared,
        {"type": "log", "level": "ERROR", "message": f"refused, harmless, secret={next(c)}"}
        | shared,
        {"type": "request", "error": error, **request, **ids, **shared},
        {"type": "span", "name": f"harmless token={next(c)}", "attributes": attributes}
        | {"duration_ms": 1.0, "error": error, **ids, **shared},
        {"type": "metric", "name": "harmless", "value": 1.0, "attributes": strings, **shared},
        {"type": "annotation", "title": f"harmless session_id={next(c)}", "attributes": strings}
        | {"text": f"harmless passwd: {next(c)}", **shared},
    ]


async def test_no_canary_is_kept_or_shown(tmp_path: Path) -> None:
    """
    Neither spool nor dead letters nor tables nor log nor API nor page nor stream has one of them,
    and each of them has the harmless words beside it.
    """
    async with (
        house(tmp_path, small_disks=False) as built,
        aiohttp.ClientSession() as session,
        streamed(session, built) as stream,
    ):
        await until(session, built, "\nmonitord_store_up 1.0\n")
        async with locked(built):
            await push(session, built)
            spooled = text_of(built.state / "spool")
        await until(session, built, "\nmonitord_spool_pending_events 0.0\n")
        pages = {path: await page(session, built, path) for path in PAGES}
        rows = await every_row(built)

    shown = {"spool": spooled, "rows": rows, "stream": "".join(stream), **pages}
    for name, text in shown.items():
        assert [canary for canary in EVERY_CANARY if canary in text] == [], name
    for path in every_file(tmp_path):
        written = path.read_bytes()
        assert [canary for canary in EVERY_CANARY if canary.encode() in written] == [], path
    for name in ("spool", "rows", "stream", "/api/v1/logs?limit=200"):
        assert shown[name].count("harmless") >= 20, name
    assert "refused, harmless, secret=[redacted]" in text_of(built.state / "dead_letters.jsonl")
    assert "monitord_redacted_values_total 0.0" not in pages["/metrics"]


async def push(session: aiohttp.ClientSession, built: House) -> None:
    """Send the events over HTTP, which answers when they are on disk, and as datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for event in events("udp"):
            host, port = built.ingest.removeprefix("http://").split(":")
            sender.sendto(json.dumps(event).encode(), (host, int(port)))
    async with session.post(f"{built.ingest}/v1/ingest", json=events("http")) as reply:
        assert (reply.status, (await reply.json())["rejected"]) == (202, 0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "harmless-udp" not in text_of(built.state / "spool"):  # noqa: ASYNC110 - it is a file
            await asyncio.sleep(0.05)


async def until(session: aiohttp.ClientSession, built: House, line: str) -> None:
    """Wait until monitord says this of itself."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while line not in await page(session, built, "/metrics"):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.1)


async def page(session: aiohttp.ClientSession, built: House, path: str) -> str:
    async with session.get(f"{built.web}{path}") as reply:
        assert reply.status == 200, path
        return await reply.text()


@asynccontextmanager
async def locked(built: House) -> AsyncIterator[None]:
    """Keep the store from taking anything, so that all of it is in the spool; then refuse one."""
    connection = await asyncpg.connect(built.dsn)
    try:
        await connection.execute("ALTER TABLE logs ADD CHECK (message NOT LIKE 'refused%')")
        async with connection.transaction():
            await connection.execute("LOCK TABLE logs, requests, spans")
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def streamed(session: aiohttp.ClientSession, built: House) -> AsyncIterator[list[str]]:
    """Follow the live log; the list grows."""
    lines: list[str] = []
    async with session.get(f"{built.web}/api/v1/logs/stream") as reply:
        assert reply.status == 200
        following = asyncio.create_task(follow(reply, lines))
        try:
            yield lines
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following


async def follow(reply: aiohttp.ClientResponse, lines: list[str]) -> None:
    async for line in reply.content:
        lines.append(line.decode())


async def every_row(built: House) -> str:
    """Return all rows of all tables as text."""
    connection = await asyncpg.connect(built.dsn)
    try:
        tables = await connection.fetch(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND NOT relispartition"
            " AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')"
        )
        found = [
            await connection.fetch(f"SELECT t::text FROM {table} AS t")  # noqa: S608 - its own names
            for [table] in tables
        ]
    finally:
        await connection.close()
    return "\n".join(row[0] for rows in found for row in rows)


def text_of(path: Path) -> str:
    """Return what is in a file, or in all files of a folder, as it is there."""
    return "".join(each.read_bytes().decode("latin-1") for each in every_file(path))


def every_file(path: Path) -> Iterator[Path]:
    yield from [path] if path.is_file() else (one for one in path.rglob("*") if one.is_file())
