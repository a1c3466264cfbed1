"""The embedded servers seen from outside the process that started them: its death, its user."""

import os
import pwd

from pathlib import Path

import asyncpg
import psutil
import pytest

from monitord.embedded.account import Account

from .conftest import Serve, socket_folder


PATIENCE_SECONDS = 30.0

NOBODY = Account("nobody", pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


def family(pids: dict[str, int]) -> list[psutil.Process]:
    """The servers and all their processes."""
    servers = [psutil.Process(pid) for pid in pids.values()]
    return servers + [child for server in servers for child in server.children(recursive=True)]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run once nothing changes any more, or the patience is over."""
    _, running = psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)
    return running


async def answer(dsn: str, query: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_kill_9_of_the_parent_ends_the_servers(tmp_path: Path, serve: Serve, loop: str):
    """
    When the process that started them is killed with -9 no server is left, and no row is lost.
    """
    parent = serve(tmp_path, loop)
    processes = family(parent.said["pids"])
    await answer(parent.said["dsn"], "CREATE TABLE kept AS SELECT 42 AS answer")
    left = socket_folder(tmp_path / "postgres")

    parent.process.kill()

    assert alive(processes) == []
    again = serve(tmp_path, loop)
    assert await answer(again.said["dsn"], "SELECT answer FROM kept") == 42
    assert not left.exists()
    assert again.end() == 0


async def test_immediate_restart_after_kill_9(tmp_path: Path, serve: Serve):
    """
    A start right after kill -9 waits for the dying server instead of failing.
    """
    parent = serve(tmp_path)
    await answer(parent.said["dsn"], "CREATE TABLE kept AS SELECT 42 AS answer")

    parent.process.kill()
    again = serve(tmp_path)

    assert await answer(again.said["dsn"], "SELECT answer FROM kept") == 42
    assert again.end() == 0


def test_second_process_on_the_folder(tmp_path: Path, serve: Serve):
    """
    A second process is refused in one line that names the first.
    """
    first = serve(tmp_path)

    second = serve(tmp_path)

    assert (
        f"another monitord (process {first.process.pid}) uses this folder" in second.said["error"]
    )
    assert first.end() == 0


@as_root
async def test_ordinary_user(shared_folder: Path, serve: Serve):
    """
    An ordinary user's servers run as that user, end with it, and keep its rows.
    """
    os.chown(shared_folder, NOBODY.uid, NOBODY.gid)
    parent = serve(shared_folder, user=NOBODY)
    processes = family(parent.said["pids"])
    users = {process.uids().effective for process in processes}
    await answer(parent.said["dsn"], "CREATE TABLE kept AS SELECT 42 AS answer")

    parent.process.kill()

    assert users == {NOBODY.uid}
    assert alive(processes) == []
    again = serve(shared_folder, user=NOBODY)
    assert await answer(again.said["dsn"], "SELECT answer FROM kept") == 42
    assert again.end() == 0


@as_root
def test_data_of_another_user(tmp_path: Path, shared_folder: Path, serve: Serve):
    """
    An ordinary user on a folder that root made is told so in one line.
    """
    assert serve(shared_folder).end() == 0

    refused = serve(shared_folder, user=NOBODY)

    assert refused.said["error"] == (
        f"{shared_folder / 'postgres'}: belongs to another user (monitord may have run as root "
        "before); start it as before, or choose another folder with "
        "state_dir: or MONITORD_STATE_DIR"
    )
