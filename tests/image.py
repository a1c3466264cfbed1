"""
The Dockerfile without a container engine: `python -m tests.image [FOLDER]`.

Runs its own COPY, RUN and CMD instructions in a clean folder, in which /src, /build, /wheels,
/opt/monitord and /var/lib/monitord are folders of their own, with this machine's Python (or that
of $PYTHON) in place of the base image's. Then starts the result, as an ordinary user, against a
real PostgreSQL, and asks its health check. Not covered: the base image, its users, the read-only
root, and `docker compose` itself.
"""

# ruff: noqa: T201 - a script talks on stdout
from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from monitord.embedded import EmbeddedPostgres


ROOT = Path(__file__).parent.parent
NOT_COPIED = shutil.ignore_patterns("__pycache__", "dist", "node_modules", "compose")
OURS = re.compile(r"(?<![\w.])/(?=(?:src|build|wheels|opt/monitord|var/lib/monitord)\b)")
NEEDS_AN_IMAGE = ("groupadd",)
START_SECONDS = 30
UID = 10001


def instructions() -> Iterator[tuple[str, str]]:
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line and line[0] != "#":
            instruction, _, rest = line.partition(" ")
            yield instruction, rest


class Image:
    """One folder that plays every stage: the stages use the same paths for the same things."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workdir = folder
        self.skipped: list[str] = []
        self.stage = ""
        self.started: dict[str, list[str]] = {}
        self.health: list[str] = []
        # The base image's python and pip.
        python = os.environ.get("PYTHON", sys.executable)
        subprocess.run([python, "-m", "venv", str(folder / "base")], check=True)
        self.python = (folder / "base" / "bin" / "python").resolve()
        # Proxies and certificates of this machine stay; its packages and its monitord do not.
        foreign = ("MONITORD_", "PYTHON", "VIRTUAL_ENV", "SHOP_")
        self.environ = {n: v for n, v in os.environ.items() if not n.startswith(foreign)}
        self.environ["PATH"] = f"{folder / 'base' / 'bin'}:/usr/bin:/bin"

    def moved(self, text: str) -> str:
        return OURS.sub(f"{self.folder}/", text)

    def do(self, instruction: str, rest: str) -> None:
        """Follow one instruction; what needs an engine is noted."""
        match instruction:
            case "WORKDIR":
                self.workdir = Path(self.moved(rest))
                self.workdir.mkdir(parents=True, exist_ok=True)
            case "ENV":
                for pair in self.moved(rest).split():
                    name, _, value = pair.partition("=")
                    self.environ[name] = value.replace("$PATH", self.environ["PATH"])
            case "COPY" if not rest.startswith("--from="):
                *sources, target = rest.split()
                for source in sources:
                    self.copy(ROOT / source, self.workdir / target)
            case "RUN" if not any(word in rest for word in NEEDS_AN_IMAGE):
                print(f"RUN {rest[:100]}", flush=True)
                subprocess.run(
                    ["sh", "-c", self.moved(rest)], cwd=self.workdir, env=self.environ, check=True
                )
            case "FROM":
                self.stage = rest.rpartition(" AS ")[2]
            case "ENTRYPOINT" | "CMD":
                self.started[self.stage] = [*self.started.get(self.stage, []), *json.loads(rest)]
            case "HEALTHCHECK":
                self.health = json.loads(rest.partition(" CMD ")[2])
            case "RUN" | "USER":
                self.skipped.append(f"{instruction} {rest[:60]}")

    def copy(self, source: Path, target: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, target, ignore=NOT_COPIED, dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)

    def call(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env={**self.environ, **more}, cwd="/", capture_output=True, text=True
        )


async def proves_itself(image: Image) -> None:
    """Start what was built, as another user where we are root, and wait until it is healthy."""
    told = image.call("monitord", "version")
    shop = image.call(*image.started["shop"])
    print(f"CMD of shop, unconfigured: exit code {shop.returncode}, {shop.stderr.strip()}")
    print(f"ENTRYPOINT of monitord with 'version': {told.stdout.strip()}")
    assert (told.returncode, shop.returncode) == (0, 2)
    async with EmbeddedPostgres(image.folder / "postgres") as server:
        # Another user may use its socket; its folder is private to who started it.
        (image.folder / "postgres").chmod(0o755)
        os.chmod(unquote(parse_qs(urlsplit(server.dsn()).query)["host"][0]), 0o755)
        await becomes_healthy(image, server.dsn())


async def becomes_healthy(image: Image, store: str) -> None:
    user: dict[str, Any] = {}  # our own, unless we are root and the other one can run our Python
    if os.geteuid() == 0 and all(f.stat().st_mode & 1 for f in image.python.parents):
        os.chown(image.folder / "var" / "lib" / "monitord", UID, UID)
        user = {"user": UID, "group": UID, "extra_groups": []}
    process = await asyncio.create_subprocess_exec(
        *image.started["monitord"],
        env=image.environ
        | {"MONITORD_STORE": store, "MONITORD_CONFIG": str(image.folder / "monitord.yaml")}
        | {"MONITORD_WEB_PORT": "0", "MONITORD_INGEST_PORT": "0"},
        cwd="/",
        stderr=asyncio.subprocess.PIPE,
        **user,
    )
    assert process.stderr is not None
    said = b""
    try:
        async with asyncio.timeout(START_SECONDS):
            async for line in process.stderr:
                said += line
                if b'"monitord.ready"' in line:
                    break
            port = str(json.loads(line)["web_port"])
            while image.call(*image.health, MONITORD_WEB_PORT=port).returncode:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        print(f"CMD of monitord as uid {user.get('user', os.getuid())}: healthy on port {port}")
    finally:
        if process.returncode is None:
            process.terminate()
        said += await process.stderr.read()
        code = await process.wait()
    print(f"SIGTERM: exit code {code}")
    assert code == 0, said.decode()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="monitord-image-") as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        image = Image(folder)
        for instruction, rest in instructions():
            image.do(instruction, rest)
        shutil.copy(ROOT / "monitord.yaml", folder)
        (folder / "var" / "lib" / "monitord").mkdir(mode=0o700, parents=True, exist_ok=True)
        asyncio.run(proves_itself(image))
        for line in image.skipped:
            print(f"not run, needs an engine: {line}")


if __name__ == "__main__":
    main()
