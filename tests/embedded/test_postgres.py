"""The embedded PostgreSQL in one process: start, death, stop, and folders it must leave alone."""

import asyncio
import os
import signal

from pathlib import Path

import asyncpg
import psutil
import pytest

from monitord.embedded import EmbeddedPostgres, PostgresOptions
from monitord.errors import EmbeddedError

from .conftest import socket_folder


PATIENCE_SECONDS = 30.0


async def write_row(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    finally:
        await connection.close()


async def read_row(dsn: str) -> int:
    """Read the row as soon as the server answers."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                connection = await asyncpg.connect(dsn)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)
                continue
            try:
                return await connection.fetchval("SELECT answer FROM kept")
            finally:
                await connection.close()


def tree(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """Everything about a folder that a careless start could change."""
    paths = [folder, *sorted(folder.rglob("*"))]
    facts = {str(path): path.lstat() for path in paths}
    return {
        path: (info.st_mode, info.st_uid, info.st_size, info.st_mtime_ns)
        for path, info in facts.items()
    }


async def test_never_runs_as_root(tmp_path: Path):
    """
    The server's user is not root, whoever started it.
    """
    async with EmbeddedPostgres(tmp_path / "postgres") as server:
        user = psutil.Process(server.pid).uids().effective

    assert user != 0


async def test_folders_above_keep_their_rights(tmp_path: Path):
    """
    A private folder above the data stays private, and the data itself is private.
    """
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    before = [
        (folder.stat().st_mode, folder.stat().st_uid) for folder in (private, *private.parents)
    ]

    async with EmbeddedPostgres(private / "state" / "postgres"):
        pass

    after = [
        (folder.stat().st_mode, folder.stat().st_uid) for folder in (private, *private.parents)
    ]
    assert after == before
    assert (private / "state" / "postgres" / "data").stat().st_mode & 0o777 == 0o700


async def test_listens_on_its_socket_alone(tmp_path: Path):
    """
    No TCP port is opened; the socket's folder is closed to others.
    """
    async with EmbeddedPostgres(tmp_path / "postgres") as server:
        listening = psutil.Process(server.pid).net_connections("inet")
        sockets = socket_folder(tmp_path / "postgres")
        mode = sockets.stat().st_mode & 0o777

    assert listening == []
    assert mode == 0o700


async def test_environment_of_other_servers_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """
    PG* variables meant for another server lead neither the server nor its clients astray.
    """
    for name, value in {"PGPORT": "1", "PGHOST": "nowhere", "PGUSER": "x", "PGDATA": "/x"}.items():
        monkeypatch.setenv(name, value)

    async with EmbeddedPostgres(tmp_path / "postgres") as server:
        await write_row(server.dsn())

        assert await read_row(server.dsn()) == 42


async def test_killed_server_comes_back_with_its_rows(tmp_path: Path):
    """
    After kill -9 of the server it is started again under the same address; committed rows remain.
    """
    async with EmbeddedPostgres(tmp_path / "postgres") as server:
        first = server.pid
        await write_row(server.dsn())

        os.kill(first, signal.SIGKILL)

        assert await read_row(server.dsn()) == 42
        assert server.pid != first


async def test_stop_is_clean(tmp_path: Path):
    """
    A stop ends every process, removes the socket's folder and lets the next start find its rows.
    """
    folder = tmp_path / "postgres"
    async with EmbeddedPostgres(folder) as server:
        await write_row(server.dsn())
        main = psutil.Process(server.pid)
        processes = [main, *main.children(recursive=True)]
        sockets = socket_folder(folder)

    assert [process for process in processes if process.is_running()] == []
    assert not sockets.exists()
    assert "database system is shut down" in (folder / "postgres.log").read_text()
    async with EmbeddedPostgres(folder) as server:
        assert await read_row(server.dsn()) == 42


async def test_frozen_server_is_ended(tmp_path: Path):
    """
    A server that answers no signal is killed once its patience is over.
    """
    options = PostgresOptions(stop_timeout=0.1)
    async with EmbeddedPostgres(tmp_path / "postgres", options) as server:
        process = psutil.Process(server.pid)
        process.suspend()

    assert not process.is_running()


async def test_dead_lock_file_with_a_living_number(tmp_path: Path):
    """
    A lock file left by a crash does not stop the start when its number is another process's now.
    """
    folder = tmp_path / "postgres"
    async with EmbeddedPostgres(folder) as server:
        await write_row(server.dsn())
        user = psutil.Process(server.pid).uids().effective
    (folder / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder / 'data'}\n")
    os.chown(folder / "data" / "postmaster.pid", user, -1)

    async with EmbeddedPostgres(folder) as server:
        assert await read_row(server.dsn()) == 42


async def test_second_daemon_on_the_folder(tmp_path: Path):
    """
    A second start on a folder in use is refused in one line that names the holder and the remedy.
    """
    folder = tmp_path / "postgres"
    async with EmbeddedPostgres(folder):
        with pytest.raises(EmbeddedError) as caught:
            await EmbeddedPostgres(folder).__aenter__()

    assert str(caught.value) == (
        f"{folder}: another monitord (process {os.getpid()}) uses this folder; "
        "stop it, or choose another one with state_dir: or MONITORD_STATE_DIR"
    )


async def test_data_of_another_major_version(tmp_path: Path):
    """
    A database of another major version is refused untouched; the line says how to keep its rows.
    """
    data = tmp_path / "postgres" / "data"
    async with EmbeddedPostgres(data.parent):
        pass
    (data / "PG_VERSION").write_text("17\n")
    before = tree(data)

    with pytest.raises(EmbeddedError) as caught:
        await EmbeddedPostgres(data.parent).__aenter__()

    message = str(caught.value)
    assert tree(data) == before
    assert message.startswith(f"{data}: was made by PostgreSQL 17, but ")
    assert "pg_dumpall -h /var/tmp/old -U postgres -f /var/tmp/monitord.sql" in message
    assert "psql -h /var/tmp/new -U postgres -f /var/tmp/monitord.sql postgres" in message
    assert "\n" not in message


async def test_folder_of_something_else(tmp_path: Path):
    """
    A data folder that holds no database is refused and left as it is.
    """
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "letters.txt").write_text("dear")
    before = tree(data)

    with pytest.raises(EmbeddedError, match="exists but holds no PostgreSQL database"):
        await EmbeddedPostgres(data.parent).__aenter__()

    assert tree(data) == before


async def test_refused_start_shows_the_servers_words(tmp_path: Path):
    """
    A server that cannot start is reported in one line with the end of its own log.
    """
    options = PostgresOptions(settings={"shared_buffers": "plenty"})

    with pytest.raises(EmbeddedError) as caught:
        await EmbeddedPostgres(tmp_path / "postgres", options).__aenter__()

    assert 'invalid value for parameter "shared_buffers": "plenty"' in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_start_past_its_deadline(tmp_path: Path):
    """
    A server that does not answer in time is ended, and the line says where its log is.
    """
    folder = tmp_path / "postgres"

    with pytest.raises(EmbeddedError, match=r"does not answer after 0 s; .*postgres\.log"):
        await EmbeddedPostgres(folder, PostgresOptions(start_timeout=0.0)).__aenter__()

    data = (folder / "data").stat()
    assert [pid for pid in psutil.pids() if works_in(pid, data)] == []


def works_in(pid: int, folder: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), folder)
    except OSError:
        return False
