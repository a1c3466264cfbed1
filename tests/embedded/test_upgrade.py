"""Moving a database to another major version, with nothing but the commands the refusal names."""

import os
import re
import subprocess

from pathlib import Path

import asyncpg
import pytest

from monitord.embedded import EmbeddedPostgres, PostgresOptions
from monitord.embedded.account import server_account
from monitord.embedded.binaries import MINIMUM_MAJOR, postgres_folders
from monitord.errors import EmbeddedError


OTHERS = [
    folder
    for folder in postgres_folders("")
    if folder.parent.name.isdigit() and MINIMUM_MAJOR <= int(folder.parent.name) < 18
]


@pytest.mark.skipif(not OTHERS, reason="needs a second PostgreSQL below /usr/lib/postgresql")
async def test_the_commands_named_take_the_rows_along(tmp_path: Path, shared_folder: Path):
    """
    Following the refusal's own commands, the rows are there under the new version.
    """
    old = PostgresOptions(binaries=OTHERS[0], settings={"fsync": "off"})
    async with EmbeddedPostgres(tmp_path / "postgres", old) as server:
        connection = await asyncpg.connect(server.dsn())
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        await connection.close()
    with pytest.raises(EmbeddedError) as caught:
        await EmbeddedPostgres(tmp_path / "postgres").__aenter__()
    programs = [OTHERS[0], next(postgres_folders())]

    commands = re.findall(r"`([^`]+)`", str(caught.value))
    follow(commands, programs, shared_folder)

    async with EmbeddedPostgres(tmp_path / "postgres") as server:
        connection = await asyncpg.connect(server.dsn())
        try:
            assert await connection.fetchval("SELECT answer FROM kept") == 42
        finally:
            await connection.close()
        assert server.major == 18


def follow(commands: list[str], programs: list[Path], folder: Path) -> None:
    """
    Run the commands as the line says: the moves as ourselves, the rest as the data's owner.

    Only the place differs (*folder* for /var/tmp), so that tests do not meet one another there.
    """
    account = server_account(folder)
    folder.chmod(0o777)
    version = 0
    for command in commands:
        version += command.startswith("initdb")
        words = command.replace("/var/tmp", str(folder))
        owner = account if not command.startswith("mv") else None
        done = subprocess.run(
            words,
            shell=True,
            cwd="/",
            user=owner.uid if owner else None,
            group=owner.gid if owner else None,
            extra_groups=[] if owner else None,
            env={"PATH": f"{programs[version]}:{os.environ['PATH']}", "LC_ALL": "C"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (words, done.stderr)
