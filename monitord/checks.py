"""`monitord check`: tries the store and every target once, and says what mends what is wrong."""

from __future__ import annotations

import os

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg

from msgspec import Struct
from msgspec.structs import replace

from monitord.embedded import EmbeddedPostgres, cluster
from monitord.embedded.account import server_account
from monitord.embedded.binaries import find_postgres, postgres_folders
from monitord.errors import EmbeddedError, MonitordError
from monitord.listen import tls_context
from monitord.logs import escaped
from monitord.model import Problem
from monitord.scrapers import open_scrapers
from monitord.scrapers.diagnose import Diagnosis, diagnose
from monitord.settings import Settings
from monitord.store.connection import Connection, connect
from monitord.store.failures import ENCODING, ROOTS, describe
from monitord.store.migrate import migrations, pending, require_version
from monitord.telemetry import Telemetry


# monitord watches itself too; that needs no trying.
SELF = "monitord"

RIGHT_TO_CREATE = """
SELECT
    current_user,
    current_schema(),
    has_schema_privilege(current_schema(), 'CREATE')
"""


class Detail(Struct, frozen=True):
    """One thing that is not as it should be, and the statement or setting that mends it."""

    text: str
    remedy: str = ""


class Finding(Struct, frozen=True):
    """What is known of the store or of one target; `complete` means that nothing is missing."""

    name: str
    state: str
    text: str
    complete: bool = True
    details: Sequence[Detail] = ()


async def check(settings: Settings) -> list[Finding]:
    """
    Try everything the settings name; nothing is changed by it.

    Raises SettingsError: a certificate or an address cannot be used.
    """
    tls_context(settings.web.tls, "web")
    tls_context(settings.ingest.tls, "ingest")
    jobs = open_scrapers(settings.targets, Telemetry())
    diagnoses = await diagnose(jobs)
    targets = [_finding(one) for one in diagnoses if one.kind != SELF]
    return [await _store(settings), *targets]


def lines(settings: Settings, findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the report: one line each, and below it what is missing and how to mend it."""
    width = max(len("settings"), *(len(finding.name) for finding in findings))
    yield f"{'settings':{width}}  ok      {settings.source or 'defaults; no file was named'}"
    for warning in settings.warnings:
        yield from _detail(Detail(warning))
    for finding in findings:
        yield escaped(f"{finding.name:{width}}  {finding.state:6}  {finding.text}".rstrip())
        for detail in finding.details:
            yield from _detail(detail)


def _detail(detail: Detail) -> Iterator[str]:
    yield f"    {escaped(detail.text)}"
    if detail.remedy:
        yield f"      mend: {escaped(detail.remedy)}"


def _finding(diagnosis: Diagnosis) -> Finding:
    name = diagnosis.kind
    if diagnosis.target != diagnosis.kind:
        name = f"{diagnosis.kind} {diagnosis.target}"
    details = [_told(problem) for problem in (*diagnosis.problems, *diagnosis.warnings)]
    if not diagnosis.up:
        return Finding(name, "FAILED", "", complete=False, details=details)
    works = ", ".join(diagnosis.works)
    state = "partly" if diagnosis.problems else "ok"
    return Finding(name, state, works, complete=not diagnosis.problems, details=details)


def _told(problem: Problem) -> Detail:
    words = [problem.what, str(problem.reason), problem.detail]
    return Detail(": ".join(word for word in words if word), problem.remedy)


async def _store(settings: Settings) -> Finding:
    dsn = settings.store.dsn.reveal()
    try:
        if dsn:
            return await _schema(dsn, settings.store.timeout)
        return await _embedded(settings)
    except (MonitordError, *ROOTS) as error:
        text = str(error) if isinstance(error, MonitordError) else describe(error)
        return _failed(text.removeprefix("store: "), _remedy(error, dsn) if dsn else "")
    except ENCODING:
        return _failed("the dsn cannot be understood")


def _failed(text: str, remedy: str = "") -> Finding:
    return Finding("store", "FAILED", "", complete=False, details=[Detail(text, remedy)])


async def _schema(dsn: str, within: float) -> Finding:
    """
    Say which server it is and how far its schema is.

    Raises StoreError: it cannot be used as it is; any root of asyncpg's errors: it does not answer.
    """
    connection = await connect(dsn, within=within, per_call=within)
    try:
        await require_version(connection)
        version = await connection.fetchval("SHOW server_version")
        role, schema, allowed = await connection.fetchrow(RIGHT_TO_CREATE) or ("", None, False)
        if schema is None:
            return _failed("no schema of the search_path exists", f"CREATE SCHEMA {_name(role)};")
        if not allowed:
            grant = f"GRANT CREATE ON SCHEMA {_name(schema)} TO {_name(role)};"
            return _failed(f"role {role!r} may not create tables", grant)
        missing = await _pending(connection)
    finally:
        connection.terminate()
    state = f"migrations to apply: {missing}" if missing else "the schema is up to date"
    return Finding("store", "ok", f"PostgreSQL {version.split()[0]}, {state}")


async def _pending(connection: Connection) -> int:
    """Return how many migrations are missing; none is applied, no table made."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        return len(await pending(connection, migrations()))
    finally:
        await transaction.rollback()


async def _embedded(settings: Settings) -> Finding:
    """Say what the embedded server is, or will be. Raises EmbeddedError: it cannot run."""
    folder = settings.state_dir / "postgres"
    data = folder / "data"
    if pid := cluster.running_server(data):
        return Finding("store", "ok", f"PostgreSQL of its own, running now (process {pid})")
    binaries = await find_postgres(server_account(data), postgres_folders())
    if cluster.check(data, binaries):
        async with EmbeddedPostgres(folder) as server:
            found = await _schema(server.dsn(), settings.store.timeout)
        return replace(found, text=f"{found.text}, in {folder}")
    _require_writable(settings.state_dir)
    return Finding("store", "ok", f"PostgreSQL {binaries.major}, to be made in {folder}")


def _require_writable(folder: Path) -> None:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise EmbeddedError(
            f"{existing}: may not be written to; name another folder with state_dir: or"
            " MONITORD_STATE_DIR"
        )


def _remedy(error: BaseException, dsn: str) -> str:
    """Return the statement that mends what the store refuses; empty where none is known."""
    parts = urlsplit(dsn)
    role = _name(unquote(parts.username or "monitord"))
    database = _name(parts.path.strip("/") or "postgres")
    match error:
        case asyncpg.InvalidCatalogNameError():
            return f"CREATE DATABASE {database} OWNER {role};"
        case asyncpg.InsufficientPrivilegeError():
            return f"GRANT CONNECT ON DATABASE {database} TO {role};"
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return f"set the right password in store.dsn, or: ALTER ROLE {role} PASSWORD '…';"
    return ""


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
