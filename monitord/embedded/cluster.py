"""The data folder of the embedded PostgreSQL: made once, not touched when it is not ours."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitord.embedded.account import Account
from monitord.embedded.binaries import PostgresBinaries
from monitord.embedded.child import Child, tail
from monitord.embedded.lock import foreign
from monitord.errors import EmbeddedError


SUPERUSER = "postgres"
# What a server of ours sees of our environment: no PG* variables, no locale.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@contextmanager
def entered(data: Path) -> Iterator[tuple[str, int]]:
    """
    Give the data folder as a path any account can use, and the descriptor to hand down for it.

    The account a root-started server runs as may not pass through the folders above (a home, a
    private temporary folder). `/proc/self/fd/N` leads straight to the folder, so that none of
    them has to be opened to others.
    """
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}", descriptor
    finally:
        os.close(descriptor)


def check(data: Path, binaries: PostgresBinaries) -> bool:
    """
    Say whether there is a database in *data*; False when it has to be made.

    Raises EmbeddedError: something else is in there, or a database of another major version.
    """
    try:
        made_by = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        if not data.exists():
            return False
        raise EmbeddedError(
            f"{data}: exists but holds no PostgreSQL database; it was left as it is: "
            "move it away, or choose another folder with state_dir: or MONITORD_STATE_DIR"
        ) from None
    except PermissionError as error:
        raise foreign(data) from error
    if made_by != str(binaries.major):
        raise EmbeddedError(_other_version(data, made_by, binaries))
    return True


def _other_version(data: Path, made_by: str, binaries: PostgresBinaries) -> str:
    """
    Return the line that says what was found and how to take the rows along.

    The folder is moved first, since its owner may not reach it where it is; the sockets lie in the
    data folders, which are closed to others. `docs/embedded.md` has the same, more legibly.
    """
    old, new, dump = "/var/tmp/old", "/var/tmp/new", "/var/tmp/monitord.sql"
    start = """pg_ctl -D {0} -w -l {0}/log -o "-k {0} -c listen_addresses=''" start"""
    return (
        f"{data}: was made by PostgreSQL {made_by}, but {binaries.postgres} is PostgreSQL "
        f"{binaries.major}; the folder was left as it is. To keep its rows: `mv {data} {old}`; "
        f"as its owner, with the programs of PostgreSQL {made_by}: `{start.format(old)}`, "
        f"`pg_dumpall -h {old} -U {SUPERUSER} -f {dump}`, `pg_ctl -D {old} stop`; with those in "
        f"{binaries.folder}: `initdb -D {new} -U {SUPERUSER} -A trust -E UTF8 --no-locale`, "
        f"`{start.format(new)}`, `psql -h {new} -U {SUPERUSER} -f {dump} postgres`, "
        f"`pg_ctl -D {new} stop`; then `mv {new} {data}`. To start empty, only move it away"
    )


async def make(
    data: Path, binaries: PostgresBinaries, account: Account | None, log: Path, durable: bool
) -> None:
    """
    Make the database under another name and rename it: a killed start leaves no half database.

    *durable* waits until the disk has it, about 0.2 s more.
    Raises EmbeddedError: initdb failed; the message ends with its last lines.
    """
    half = data.with_name("data.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    if account:
        os.chown(half, account.uid, account.gid)
    with entered(half) as (path, descriptor):
        child = Child.start(
            [*_initdb(binaries, path), *(() if durable else ("--no-sync",))],
            log=log,
            account=account,
            environment=ENVIRONMENT,
            pass_fds=(descriptor,),
        )
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            await child.stop((signal.SIGTERM, 2.0))
            raise
    if code != 0:
        raise EmbeddedError(f"{data}: initdb failed with status {code}: {tail(log)}")
    half.rename(data)


def _initdb(binaries: PostgresBinaries, path: str) -> list[str | Path]:
    switches = ["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions"]
    return [binaries.initdb, "-D", path, *switches]


def running_server(data: Path) -> int | None:
    """
    Return the process id of the server that runs on *data* now, if one does.

    The lock file alone does not tell: after a crash its number may be another process's by now.
    A server's working folder is its data folder.
    """
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        return pid if os.path.samefile(f"/proc/{pid}/cwd", data) else None
    except (OSError, ValueError):
        return None


def forget_dead_server(data: Path) -> None:
    """
    Remove a lock file whose number now belongs to a process that is no server of this folder.

    PostgreSQL sees a dead process by itself, but takes any living one of its user for a server.
    Call it only while holding the folder's lock and when `running_server` found none.
    """
    path = data / "postmaster.pid"
    try:
        pid = int(path.read_text().split("\n", 1)[0])
        os.kill(pid, 0)
    except (OSError, ValueError):
        return
    path.unlink(missing_ok=True)
