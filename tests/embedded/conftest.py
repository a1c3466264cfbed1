"""A monitord-like process of its own, so that it can be killed or run as somebody else."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import monitord

from monitord.embedded.account import Account, reaches


SERVE = Path(__file__).with_name("serve.py")
CHECKOUT = Path(monitord.__file__).parent.parent


def socket_folder(folder: Path) -> Path:
    """Return the folder of the socket of the server whose state is in *folder*."""
    return Path((folder / "sockets").read_text().strip())


class Parent:
    """The process that started the servers, and what it said about them."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        line = process.stdout.readline() if process.stdout else ""
        self.said: dict[str, Any] = json.loads(line or "{}")

    def end(self) -> int:
        """Close its stdin, upon which it stops, and return its exit status."""
        self.process.communicate()
        return self.process.returncode


Serve = Callable[..., Parent]


def python_for(user: Account) -> str | None:
    """
    Return an interpreter that *user* may run with our packages, or None: all lie out of reach.
    """
    packages = Path(msgspec.__file__).parent
    if not all(reaches(user, place) for place in (CHECKOUT, packages)):
        return None
    system = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    for program in (Path(sys.executable), system):
        if program.exists() and reaches(user, program.resolve().parent):
            return str(program)
    return None


@pytest.fixture
def serve() -> Iterator[Serve]:
    """
    Start the servers on a folder from another process: `serve(folder, loop, user)`.

    The test is skipped where that user cannot run Python with our packages.
    """
    parents: list[Parent] = []

    def start(folder: Path, loop: str = "asyncio", user: Account | None = None) -> Parent:
        python = python_for(user) if user else sys.executable
        if python is None:
            pytest.skip("Python or this checkout lies where other users may not go")
        packages = os.pathsep.join([str(CHECKOUT), str(Path(msgspec.__file__).parent.parent)])
        process = subprocess.Popen(
            [python, str(SERVE), str(folder), loop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            env={**os.environ, "PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        parents.append(Parent(process))
        return parents[-1]

    yield start
    for parent in parents:
        parent.process.kill()
        parent.process.communicate()


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """
    A folder that every user of the machine may enter (pytest's own are private).
    """
    folder = Path(tempfile.mkdtemp(prefix="monitord-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
