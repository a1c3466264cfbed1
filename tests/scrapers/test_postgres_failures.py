"""What a PostgreSQL target that gives no session is told as."""

import asyncio
import contextlib
import socket

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from monitord.embedded import EmbeddedPostgres
from monitord.model import Reason, Scrape, ScrapeError
from monitord.scrapers.postgres import PostgresScraper
from monitord.scrapers.postgres.failures import names, place
from monitord.settings import PostgresTarget, Secret


async def once(dsn: str, password: str = "", seconds: float = 5.0) -> Scrape:
    scraper = PostgresScraper(
        PostgresTarget(name="main", dsn=Secret(dsn), password=Secret(password), timeout=seconds)
    )
    try:
        return await scraper.scrape()
    finally:
        await scraper.close()


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[int]:
    """A server that answers the first message with the same bytes, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(1024)
            writer.write(answer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def error(sqlstate: str, text: str) -> bytes:
    """Return an ErrorResponse of PostgreSQL's protocol."""
    fields = f"SFATAL\0VFATAL\0C{sqlstate}\0M{text}\0\0".encode()
    return b"E" + (len(fields) + 4).to_bytes(4, "big") + fields


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (error("57P03", "the database system is starting up"), Reason.LOADING, "starting up"),
        (error("53300", "sorry, too many clients already"), Reason.REFUSED, "too many clients"),
        (error("28000", "no pg_hba.conf entry for host"), Reason.AUTH, "pg_hba.conf"),
        (error("28P01", "password authentication failed"), Reason.AUTH, "authentication failed"),
        (error("42501", "permission denied for database shop"), Reason.PERMISSION, "denied"),
        (error("08P01", "unsupported startup parameter: jit"), Reason.PROTOCOL, "unsupported"),
        (error("XX000", "odd\x1b[31m\nthings"), Reason.ERROR, "odd [31m things"),
        (b"", Reason.PROTOCOL, "connection was closed"),
    ],
)
async def test_answers_that_are_no_session(answer: bytes, reason: Reason, detail: str):
    """
    Each way a server turns a client away is a reason of its own, in printable words.
    """
    async with saying(answer) as port:
        with pytest.raises(ScrapeError) as caught:
            await once(f"postgresql://monitord:s3cret@127.0.0.1:{port}/shop?sslmode=disable")

    assert caught.value.reason is reason
    assert detail in caught.value.detail
    assert "s3cret" not in caught.value.detail + caught.value.remedy


async def test_nothing_listens():
    """
    A closed port is refused, by number and by a name with two addresses.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(ScrapeError) as caught:
            await once(f"postgresql://monitord@{host}:{port}/shop")
        assert caught.value.reason is Reason.REFUSED
        assert f"{host}:{port}" in caught.value.detail


async def test_a_name_that_does_not_exist():
    """
    A host name nobody knows is unreachable.
    """
    with pytest.raises(ScrapeError) as caught:
        await once("postgresql://monitord@no-such-host.invalid/shop")

    assert caught.value.reason is Reason.UNREACHABLE


async def test_a_socket_folder_without_a_server(tmp_path: Path):
    """
    A folder in which no server listens is unreachable, and is told.
    """
    with pytest.raises(ScrapeError) as caught:
        await once(f"postgresql://monitord@/shop?host={tmp_path}")

    assert caught.value.reason is Reason.UNREACHABLE
    assert str(tmp_path) in caught.value.detail


async def test_a_server_that_never_answers():
    """
    A server that accepts and says nothing gives a time-out.
    """
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(ScrapeError) as caught:
            await once(f"postgresql://monitord@127.0.0.1:{port}/shop", seconds=0.2)

    assert caught.value.reason is Reason.TIMEOUT


async def test_a_database_that_does_not_exist(postgres_server: EmbeddedPostgres):
    """
    A missing database is told by name.
    """
    with pytest.raises(ScrapeError) as caught:
        await once(postgres_server.dsn("no such database"))

    assert caught.value.reason is Reason.MISSING
    assert "no such database" in caught.value.detail
    assert 'CREATE DATABASE "no such database";' in caught.value.remedy


async def test_a_wrong_password(quiet_postgres: EmbeddedPostgres, tmp_path: Path):
    """
    A wrong password is told as such and not repeated; the right one works.
    """
    admin = await asyncpg.connect(quiet_postgres.dsn())
    rules = await admin.fetchval("SELECT pg_read_file('pg_hba.conf')")
    await admin.execute("SET password_encryption = 'scram-sha-256'")
    await admin.execute("CREATE ROLE guarded LOGIN PASSWORD 'right s3cret'")
    try:
        await written(admin, f"local all guarded scram-sha-256\n{rules}")
        with pytest.raises(ScrapeError) as wrong:
            await once(quiet_postgres.dsn(user="guarded"), password="wrong s3cret")
        with pytest.raises(ScrapeError) as missing:
            await once(quiet_postgres.dsn(user="guarded"))
        right = await once(quiet_postgres.dsn(user="guarded"), password="right s3cret")
    finally:
        await written(admin, rules)
        await admin.execute("DROP ROLE guarded")
        await admin.close()

    for caught in (wrong, missing):
        assert caught.value.reason is Reason.AUTH
        assert "s3cret" not in caught.value.detail + caught.value.remedy
        assert caught.value.remedy
    assert right.metrics


async def written(admin: "asyncpg.Connection", rules: str) -> None:
    """Put rules into the server's pg_hba.conf and wait until they hold."""
    await admin.execute("CREATE TEMP TABLE IF NOT EXISTS rules (line text)")
    await admin.execute("TRUNCATE rules")
    await admin.executemany("INSERT INTO rules VALUES ($1)", [(x,) for x in rules.splitlines()])
    await admin.execute("COPY (SELECT line FROM rules) TO PROGRAM 'cat > pg_hba.conf'")
    await admin.execute("SELECT pg_reload_conf()")
    await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    ("dsn", "where"),
    [
        ("postgresql://me:pw@db.example:6000/shop", "db.example:6000"),
        ("postgresql://me:pw@db.example/shop", "db.example:5432"),
        ("postgresql://me@/shop?host=/run/postgresql", "/run/postgresql"),
        ("postgresql://me:p:w@db.example:port/shop", "the server"),
        ("postgresql:///shop", "the server"),
    ],
)
def test_where_a_dsn_leads(dsn: str, where: str):
    """
    Messages name host and port and none of a dsn's secrets.
    """
    assert place(dsn) == where


@pytest.mark.parametrize(
    ("dsn", "role", "database"),
    [
        ("postgresql://me:pw@db/shop", "me", "shop"),
        ("postgresql://me@/?host=/run", "me", "me"),
        ("postgresql://o%22dd@db/my%20shop", '"o""dd"', '"my shop"'),
        ("postgresql:///", "…", "…"),
    ],
)
def test_names_in_remedies(dsn: str, role: str, database: str):
    """
    A remedy names role and database so that the statement can be run as it stands.
    """
    assert names(dsn) == (role, database)


async def test_a_dsn_nobody_understands_is_not_repeated():
    """
    A broken dsn is told as broken, without the text that may hold a password.
    """
    with pytest.raises(ScrapeError) as caught:
        await once("postgresql://me:s3c/ret@host:x/shop")

    assert caught.value.reason is Reason.ERROR
    assert "s3c" not in caught.value.detail
