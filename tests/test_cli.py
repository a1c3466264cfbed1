"""The command line as a user meets it: real processes, real exit codes, one line for a mistake."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys

from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

import monitord

from monitord import __version__
from monitord.embedded.cluster import SUPERUSER


EXIT_CODES = "exit codes:"

# `python -m` finds what lies in its folder first: that must be the package under test.
INSTALLED = Path(monitord.__file__).parent.parent


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment in which nothing of this machine's own monitord is found."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MONITORD_STATE_DIR": str(folder / "state"),
        "MONITORD_WEB_PORT": "0",
        "MONITORD_INGEST_PORT": "0",
        **more,
    }


async def start(folder: Path, *arguments: str, **more: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitord", *arguments),
        env=environment(folder, **more),
        stdout=PIPE,
        stderr=PIPE,
        cwd=INSTALLED,
    )


async def run(folder: Path, *arguments: str, **more: str) -> tuple[int | None, str, str]:
    """Run one command to its end; return its exit code, stdout and stderr."""
    process = await start(folder, *arguments, **more)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def running(folder: Path, *arguments: str, **more: str) -> AsyncIterator[tuple[Process, str]]:
    """Run `monitord run` until the block ends; give the process and the page's address."""
    process = await start(folder, "run", *arguments, **more)
    assert process.stderr is not None
    said = b""
    try:
        async for line in process.stderr:
            said += line
            if b'"monitord.ready"' in line:
                yield process, json.loads(line)["url"]
                return
        pytest.fail(f"ended before it was ready: {said.decode()}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_version(tmp_path: Path) -> None:
    """
    The version is one line on stdout.
    """
    assert await run(tmp_path, "version") == (0, f"monitord {__version__}\n", "")
    assert await run(tmp_path, "--version") == (0, f"monitord {__version__}\n", "")


@pytest.mark.parametrize("command", ["", "run", "check", "demo", "migrate", "version"])
async def test_help_tells_the_exit_codes(tmp_path: Path, command: str) -> None:
    """
    Every --help says what the exit codes mean.
    """
    code, out, _ = await run(tmp_path, *command.split(), "--help")

    assert code == 0
    assert EXIT_CODES in out


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--port", "1"], ["version", "x"]])
async def test_wrong_usage(tmp_path: Path, arguments: list[str]) -> None:
    """
    Wrong usage is exit code 2.
    """
    code, out, err = await run(tmp_path, *arguments)

    assert (code, out) == (2, "")
    assert "usage: monitord" in err


@pytest.mark.parametrize("command", ["run", "check", "migrate"])
async def test_mistakes_in_the_settings(tmp_path: Path, command: str) -> None:
    """
    Each mistake of the file is one line on stderr, no traceback, exit code 2, whatever the command.
    """
    file = tmp_path / "monitord.yaml"
    file.write_text("web:\n  port: http\n  hots: x\n")

    code, out, err = await run(tmp_path, command, "--config", str(file))

    assert (code, out) == (2, "")
    assert err.splitlines()[0] == (
        f"{file}:2: web.port: expected a port from 0 to 65535, found http"
    )
    assert err.splitlines()[1].startswith(f"{file}:3: web.hots: unknown key (did you mean host?)")
    assert len(err.splitlines()) == 2


async def test_open_bind_without_token_is_refused(tmp_path: Path) -> None:
    """
    monitord does not start where others can reach it without a token.
    """
    file = tmp_path / "monitord.yaml"
    file.write_text("web: {host: 0.0.0.0}\n")

    code, _, err = await run(tmp_path, "run", MONITORD_CONFIG=str(file))

    assert code == 2
    assert err == (
        f"{file}:1: web.host: 0.0.0.0 can be reached by other machines, which needs"
        " web.read_tokens; set a token, or bind to 127.0.0.1, or say insecure: true\n"
    )


async def test_check_without_settings(tmp_path: Path) -> None:
    """
    With nothing configured, the embedded store and this machine are tried, and nothing is made.
    """
    code, out, err = await run(tmp_path, "check")

    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["settings", "store", "host"]
    assert "to be made in" in out
    assert os.listdir(tmp_path) == []


async def test_check_says_what_mends(tmp_path: Path, empty_database: str) -> None:
    """
    A target that does not work is told with its reason, the others are tried all the same.
    """
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        file = tmp_path / "monitord.yaml"
        file.write_text(
            f"store: {{dsn: '{empty_database}'}}\n"
            f"targets: {{redis: {{cache: {{url: 'redis://127.0.0.1:{closed.getsockname()[1]}'}}}},"
            f" postgres: {{shop: {{dsn: '{empty_database}'}}}}}}\n"
        )
        code, out, err = await run(tmp_path, "check", "--config", str(file))

    lines = {line.split("  ")[0]: line for line in out.splitlines()}
    assert (code, err) == (1, "")
    assert "migrations to apply" in lines["store"]
    assert "FAILED" in lines["redis cache"]
    assert "connection refused" in out
    assert "postgres shop" in lines
    connection = await asyncpg.connect(empty_database)
    tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert tables == 0


async def test_check_gives_the_grant(tmp_path: Path, empty_database: str) -> None:
    """
    A store role without the right to make tables is told the statement that gives it.
    """
    connection = await asyncpg.connect(empty_database)
    await connection.execute("CREATE ROLE poor LOGIN")
    file = tmp_path / "monitord.yaml"
    file.write_text(f"store: {{dsn: '{empty_database.replace(f'//{SUPERUSER}@', '//poor@')}'}}\n")

    try:
        code, out, _ = await run(tmp_path, "check", "--config", str(file))
    finally:
        await connection.execute("DROP ROLE poor")
        await connection.close()

    assert code == 1
    assert 'mend: GRANT CREATE ON SCHEMA "public" TO "poor";' in out


async def test_migrate(tmp_path: Path, empty_database: str) -> None:
    """
    `migrate` applies what is missing, says so, and the second time finds nothing to do.
    """
    file = tmp_path / "monitord.yaml"
    file.write_text(f"store: {{dsn: '{empty_database}'}}\n")

    first = await run(tmp_path, "migrate", "--config", str(file))
    second = await run(tmp_path, "migrate", "--config", str(file))

    assert first[0] == second[0] == 0
    assert first[1].startswith("applied 0001_")
    assert second == (0, "the schema is up to date\n", "")


async def test_store_that_is_not_there(tmp_path: Path) -> None:
    """
    A command that cannot do without the store says so in one line, exit code 3.
    """
    file = tmp_path / "monitord.yaml"
    file.write_text(f"store: {{dsn: 'postgresql://u:hunter2@/x?host={tmp_path}'}}\n")

    code, out, err = await run(tmp_path, "migrate", "--config", str(file))

    assert (code, out) == (3, "")
    assert err == "store: no server at the socket\n"


async def test_check_of_a_dsn_nobody_can_dial(tmp_path: Path) -> None:
    """
    A store whose dsn parses and names no address is a finding, without the password.
    """
    file = tmp_path / "monitord.yaml"
    file.write_text("store: {dsn: 'postgresql://u:hunter2@a..b/x'}\n")

    _, out, err = await run(tmp_path, "check", "--config", str(file))

    assert "the dsn cannot be understood" in out
    assert "hunter2" not in out + err
    assert "Traceback" not in err


async def test_run_until_a_signal(tmp_path: Path, database: str) -> None:
    """
    `run` serves until SIGTERM, and then ends with exit code 0.
    """
    file = tmp_path / "monitord.yaml"
    file.write_text(f"store: {{dsn: '{database}'}}\nlog: {{format: json}}\n")

    async with (
        running(tmp_path, "--config", str(file)) as (process, url),
        aiohttp.ClientSession() as client,
    ):
        async with client.get(f"{url}healthz") as answer:
            alive = answer.status
        process.send_signal(signal.SIGTERM)
        code = await process.wait()

    assert (alive, code) == (200, 0)


async def test_second_signal_ends_at_once(tmp_path: Path) -> None:
    """
    A stop that takes too long is cut short by a second signal; the exit code is 128 and its number.
    """
    script = """
import asyncio, sys
from monitord import cli

async def work(stop):
    print("started", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.Event().wait()

cli._until_signal(work)
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script), env=environment(tmp_path), stdout=PIPE, cwd=INSTALLED
    )
    assert process.stdout is not None

    said = [await process.stdout.readline()]
    process.send_signal(signal.SIGTERM)
    said.append(await process.stdout.readline())
    process.send_signal(signal.SIGINT)

    assert said == [b"started\n", b"stopping\n"]
    assert await process.wait() == 128 + signal.SIGINT


async def test_taken_port(tmp_path: Path, database: str) -> None:
    """
    A port that is taken is one line, exit code 2.
    """
    file = tmp_path / "monitord.yaml"
    file.write_text(f"store: {{dsn: '{database}'}}\nlog: {{level: error}}\n")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        code, _, err = await run(
            tmp_path, "run", "--config", str(file), MONITORD_WEB_PORT=str(port)
        )

    assert code == 2
    assert err == f"web.port: cannot listen on 127.0.0.1:{port}: Address already in use\n"


async def test_second_monitord_on_one_folder(tmp_path: Path, database: str) -> None:
    """
    Two monitords never share a state folder: the second says who has it, exit code 3.
    """
    file = tmp_path / "monitord.yaml"
    file.write_text(f"store: {{dsn: '{database}'}}\nlog: {{format: json}}\n")

    async with running(tmp_path, "--config", str(file)) as (process, _):
        code, _, err = await run(tmp_path, "run", "--config", str(file))

    assert code == 3
    assert err.splitlines()[-1].startswith(f"{tmp_path / 'state'}: another monitord (process")
    assert str(process.pid) in err
