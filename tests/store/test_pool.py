"""The store's connections on a real server that goes away, freezes, refuses and comes back."""

import asyncio
import contextlib
import os
import signal

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from monitord import settings
from monitord.embedded import EmbeddedPostgres
from monitord.errors import StoreError, StoreUnreachable
from monitord.store.failures import Failure, describe, judge
from monitord.store.migrate import LOCK
from monitord.store.pool import Store, open_pool
from monitord.telemetry import Telemetry


PATIENCE_SECONDS = 30.0


async def until(store: Store, up: bool) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while store.up is not up:  # noqa: ASYNC110 - a poll needs no hook in the product
            await asyncio.sleep(0.02)


async def run(store: Store, *statements: str) -> None:
    """Run statements in one transaction."""
    async with store.transaction() as connection:
        for statement in statements:
            await connection.execute(statement)


@contextlib.contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """Stop the server's processes where they are, connections open, until the block ends."""
    parent = psutil.Process(server.pid)
    parent.suspend()  # first, so that it starts no child that would go on
    processes = [parent, *parent.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


async def test_store_that_is_down_at_start_is_no_error(
    tmp_path: Path, config: settings.Store, telemetry: Telemetry
) -> None:
    """
    Without a server the store is down with a reason, and asking it fails at once.
    """
    dsn = f"postgresql://nobody@/nothing?host={tmp_path}"

    async with open_pool(config, dsn, "test", telemetry) as store:
        await until(store, False)

        assert store.detail == "no server at the socket"
        with pytest.raises(StoreUnreachable, match="no server at the socket"):
            async with store.connection():
                pass
        with pytest.raises(StoreUnreachable):
            _ = store.host_id


async def test_store_that_appears_later_is_migrated_and_used(
    own_server: EmbeddedPostgres, tmp_path: Path, config: settings.Store, telemetry: Telemetry
) -> None:
    """
    A server that comes up after the daemon gets its schema and is used without a restart.
    """
    folder = Path(parse_qs(urlsplit(own_server.dsn()).query)["host"][0])
    link = tmp_path / "socket"
    async with open_pool(
        config, f"postgresql://postgres@/postgres?host={link}", "test", telemetry
    ) as store:
        await until(store, False)
        link.symlink_to(folder)

        await until(store, True)

        async with store.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM hosts") == 1
        assert store.detail == ""


@pytest.mark.parametrize(
    "dsn", ["postgresql://u:hunter2@a..b/x", "postgresql://u:hunter2@127.0.0.1:99999/x"]
)
async def test_dsn_nobody_can_dial_is_said(
    config: settings.Store, telemetry: Telemetry, dsn: str
) -> None:
    """
    A dsn that parses and names no address is a store that is down, and says why.
    """
    async with open_pool(config, dsn, "test", telemetry) as store:
        await until(store, False)

        assert store.detail == "the dsn cannot be understood"


async def test_lock_of_another_session_is_said_and_can_be_stopped(
    own_server: EmbeddedPostgres, config: settings.Store, telemetry: Telemetry
) -> None:
    """
    While another session migrates, the store says so; a server that then freezes is noticed, and
    does not hold up the stop.
    """
    other = await asyncpg.connect(own_server.dsn())
    await other.execute("SELECT pg_advisory_lock($1, hashtext(current_schema()))", LOCK)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with open_pool(config, own_server.dsn(), "test", telemetry) as store:
            await until(store, False)
            assert store.detail == "another session migrates the store; waiting for it"
            with frozen(own_server):
                while store.detail != "timed out":  # noqa: ASYNC110 - needs no hook
                    await asyncio.sleep(0.02)
    await other.close()


async def test_server_that_freezes_in_a_migration_is_noticed(
    own_server: EmbeddedPostgres, config: settings.Store, telemetry: Telemetry
) -> None:
    """
    A migration has no deadline, the server has: when it stops answering, the store says so, and
    migrates once it goes on.
    """
    other = await asyncpg.connect(own_server.dsn())
    transaction = other.transaction()
    await transaction.start()
    await other.execute("CREATE TABLE hosts (id int4)")  # the first migration waits for its end
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with open_pool(config, own_server.dsn(), "test", telemetry) as store:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await other.fetchval(waiting):  # noqa: ASYNC110 - needs no hook
                await asyncio.sleep(0.02)
            with frozen(own_server):
                while store.detail != "timed out":  # noqa: ASYNC110 - needs no hook
                    await asyncio.sleep(0.02)
        await transaction.rollback()

        await until(store, True)
    await other.close()


async def test_what_was_remembered_is_forgotten_after_a_reconnect(
    own_server: EmbeddedPostgres, config: settings.Store, telemetry: Telemetry
) -> None:
    """
    A store that comes back may be another one: its epoch is new though nothing was migrated.
    """
    async with open_pool(config, own_server.dsn(), "test", telemetry) as store:
        await store.ready()
        before = store.epoch
        assert own_server.pid is not None
        os.kill(own_server.pid, signal.SIGKILL)
        await until(store, False)
        await until(store, True)

        assert store.epoch > before


async def test_killed_server_is_reconnected(
    own_server: EmbeddedPostgres, config: settings.Store, telemetry: Telemetry
) -> None:
    """
    After kill -9 of the server a call fails as unreachable, and the store comes back by itself.
    """
    async with open_pool(config, own_server.dsn(), "test", telemetry) as store:
        await store.ready()
        assert own_server.pid is not None
        os.kill(own_server.pid, signal.SIGKILL)
        with pytest.raises(StoreUnreachable):
            await run(store, "SELECT pg_sleep(30)")

        await until(store, False)
        await until(store, True)

        async with store.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_frozen_server_is_noticed_and_used_again(
    own_server: EmbeddedPostgres, config: settings.Store, telemetry: Telemetry
) -> None:
    """
    A server that stops answering with its sockets open ends the calls waiting for it, and the
    store is used again once it goes on.
    """
    async with open_pool(config, own_server.dsn(), "test", telemetry) as store:
        await store.ready()
        with frozen(own_server):
            with pytest.raises(StoreUnreachable):
                await run(store, "SELECT 1")
            await until(store, False)
            assert store.detail == "timed out"

        await until(store, True)

        async with store.transaction() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_closing_does_not_wait_for_a_frozen_server(
    own_server: EmbeddedPostgres, config: settings.Store, telemetry: Telemetry
) -> None:
    """
    Leaving the block ends calls that wait for a frozen server, instead of waiting with them.
    """
    async with open_pool(config, own_server.dsn(), "test", telemetry) as store:
        await store.ready()
        async with store.connection() as connection:
            await connection.fetchval("SELECT 1")
        with frozen(own_server):
            call = asyncio.create_task(run(store, "SELECT 1"))
            await asyncio.sleep(0.1)
            store_task = next(one for one in asyncio.all_tasks() if one.get_name() == "store")
            store_task.cancel()

            with pytest.raises(StoreUnreachable):
                await asyncio.wait_for(call, 1)


async def test_ended_backend_costs_one_call(store: Store) -> None:
    """
    When one session is terminated its call fails, the next one succeeds and the store stays up.
    """
    with pytest.raises(StoreUnreachable, match="terminating connection"):
        await run(store, "SELECT pg_terminate_backend(pg_backend_pid())")

    await run(store, "SELECT 1")
    assert store.up is True


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT 1/0", asyncpg.DivisionByZeroError),
        ("SELECT no_such()", StoreError),
        (None, KeyError),
    ],
)
async def test_transaction_is_undone_by_an_error(
    store: Store,
    sql: "asyncpg.Connection[asyncpg.Record]",
    statement: str | None,
    kind: type[Exception],
) -> None:
    """
    Whatever is raised inside a transaction, a refused row or a fault of our own, undoes it.
    """
    insert = "INSERT INTO writers (host_id, writer) VALUES (1, {})"

    async def fault() -> None:
        async with store.transaction() as connection:
            await connection.execute(insert.format(1))
            if statement is None:
                raise KeyError
            await connection.execute(statement)

    with pytest.raises(kind):
        await fault()
    await run(store, insert.format(2))

    assert await sql.fetchval("SELECT array_agg(writer) FROM writers") == [2]


async def test_instance_keeps_its_number(
    database: str, config: settings.Store, telemetry: Telemetry
) -> None:
    """
    An instance finds its number again; another one gets the next.
    """
    numbers = []
    for instance in ("one", "two", "one"):
        async with open_pool(config, database, instance, telemetry) as store:
            await store.ready()
            numbers.append(store.host_id)

    assert numbers == [1, 2, 1]


async def test_session_is_known_by_its_settings(store: Store) -> None:
    """
    A session says who it is, compiles nothing and has deadlines on the server's side too.
    """
    async with store.connection() as connection:
        found = [
            await connection.fetchval("SELECT current_setting($1)", name)
            for name in ("application_name", "jit", "TimeZone", "statement_timeout")
        ]

    assert found == ["monitord", "off", "UTC", "5s"]


async def test_refusal_to_write_shows_until_it_ends(store: Store) -> None:
    """
    A store that answers but refuses what is written is not up, and says why.
    """
    store.report_writing("permission denied for table requests")
    refused = (store.up, store.detail)
    store.report_writing("")

    assert refused == (False, "permission denied for table requests")
    assert (store.up, store.detail) == (True, "")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.DataError("x"), Failure.ROW),
        (asyncpg.CheckViolationError("x"), Failure.ROW),
        (asyncpg.ProgramLimitExceededError("x"), Failure.ROW),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), Failure.ROW),
        (asyncpg.InsufficientPrivilegeError("x"), Failure.STORE),
        (asyncpg.InvalidPasswordError("x"), Failure.STORE),
        (asyncpg.UndefinedTableError("x"), Failure.STORE),
        (StoreError("x"), Failure.STORE),
        (asyncpg.DiskFullError("x"), Failure.PASSING),
        (asyncpg.TooManyConnectionsError("x"), Failure.PASSING),
        (asyncpg.CannotConnectNowError("x"), Failure.PASSING),
        (asyncpg.AdminShutdownError("x"), Failure.PASSING),
        (asyncpg.ReadOnlySQLTransactionError("x"), Failure.PASSING),
        (asyncpg.DeadlockDetectedError("x"), Failure.PASSING),
        (asyncpg.InterfaceError("x"), Failure.PASSING),
        (ConnectionResetError("x"), Failure.PASSING),
        (TimeoutError(), Failure.PASSING),
        (StoreUnreachable("x"), Failure.PASSING),
        (KeyError("x"), None),
        (asyncio.CancelledError(), None),
    ],
)
def test_failure_is_judged_by_what_helps(error: BaseException, kind: Failure | None) -> None:
    """
    Errors of four unrelated roots are told apart: wait, mend the store, or leave the row out.
    """
    assert judge(error) is kind


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError(), "timed out"),
        (ConnectionRefusedError(111, "Connect call failed"), "connection refused"),
        (OSError(113, "No route to host"), "no route to host"),
        (asyncpg.PostgresError("first\nsecond"), "first"),
        (asyncpg.exceptions.ClientConfigurationError("hunter2"), "the dsn cannot be understood"),
    ],
)
def test_failure_is_said_in_one_line(error: BaseException, text: str) -> None:
    """
    The reason shown on the page is one short line without the dsn's secrets.
    """
    assert describe(error) == text
