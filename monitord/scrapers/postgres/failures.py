"""What PostgreSQL's and asyncpg's errors mean to who reads the page, and what mends them."""

from __future__ import annotations

import re
import ssl

from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg

from msgspec import Struct

from monitord.model import Problem, Reason, ScrapeError
from monitord.scrapers.network import connection_failure
from monitord.scrapers.text import one_line


PORT = 5432

_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class Meaning(Struct, frozen=True):
    """Of an SQLSTATE. `remedy` may be empty: then the server's own words have to do."""

    reason: Reason
    remedy: str = ""


# https://www.postgresql.org/docs/current/errcodes-appendix.html
CONNECTING = {
    "28P01": Meaning(Reason.AUTH, "set the target's password, or: ALTER ROLE {role} PASSWORD '…';"),
    "28000": Meaning(
        Reason.AUTH,
        "CREATE ROLE {role} LOGIN PASSWORD '…'; and let it in with a line in pg_hba.conf",
    ),
    "3D000": Meaning(
        Reason.MISSING, "name another database in the target's dsn, or: CREATE DATABASE {database};"
    ),
    "42501": Meaning(Reason.PERMISSION, "GRANT CONNECT ON DATABASE {database} TO {role};"),
    "53300": Meaning(
        Reason.REFUSED, "raise max_connections, or: ALTER ROLE {role} CONNECTION LIMIT 3;"
    ),
    "57P03": Meaning(Reason.LOADING),
    "57P01": Meaning(Reason.LOADING),
    "57P02": Meaning(Reason.LOADING),
    "08003": Meaning(Reason.PROTOCOL),
    "08006": Meaning(Reason.PROTOCOL),
    # What a pooler says to the session settings a monitor needs.
    "08P01": Meaning(Reason.PROTOCOL, "point the dsn at PostgreSQL itself, not at its pooler"),
}

ASKING = {
    "42501": Meaning(Reason.PERMISSION),
    "57014": Meaning(Reason.TIMEOUT),
    "55P03": Meaning(Reason.TIMEOUT),
    "42P01": Meaning(Reason.MISSING),
    "42703": Meaning(Reason.MISSING),
    "42883": Meaning(Reason.MISSING),
    "55000": Meaning(Reason.MISSING),
    "0A000": Meaning(Reason.MISSING),
}

# The server ended the session: an administrator, a shutdown, a crash.
SESSION_ENDED = ("57P01", "57P02", "57P03", "57P05", "25P03", "08")


def session_failure(error: BaseException, dsn: str) -> ScrapeError | None:
    """
    Return why there is no connection, or no longer one; None for what is no such error.

    asyncpg's errors have unrelated roots; text of those about the dsn may hold its password.
    """
    where = place(dsn)
    if isinstance(error, asyncpg.PostgresError):
        meaning = CONNECTING.get(error.sqlstate or "", Meaning(Reason.ERROR))
        role, database = names(dsn)
        remedy = meaning.remedy.format(role=role, database=database)
        return ScrapeError(meaning.reason, f"{where}: {one_line(error)}", remedy)
    if isinstance(error, TimeoutError) and error.errno is None:
        return ScrapeError(Reason.TIMEOUT, f"{where}: no answer")
    if isinstance(error, ConnectionError) and error.errno is None:
        return ScrapeError(Reason.PROTOCOL, f"{where}: {_closed(error)}")
    if isinstance(error, ssl.SSLError | OSError):
        return connection_failure(error, where)
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return ScrapeError(Reason.ERROR, f"{where}: {one_line(error)}")
    if isinstance(error, ValueError | TypeError):
        return ScrapeError(Reason.ERROR, f"{where}: the dsn cannot be understood")
    return None


def place(dsn: str) -> str:
    """Return where a dsn leads, in words that hold none of its secrets."""
    try:
        url = urlsplit(dsn)
        host, port = url.hostname, url.port or PORT
    except ValueError:
        return "the server"
    return f"{host}:{port}" if host else dict(parse_qsl(url.query)).get("host", "the server")


def names(dsn: str) -> tuple[str, str]:
    """Return role and database of a dsn, quoted as a statement needs them; `…` if it has none."""
    try:
        url = urlsplit(dsn)
    except ValueError:
        return "…", "…"
    role = unquote(url.username or "")
    return _quoted(role), _quoted(unquote(url.path).strip("/") or role)


def question_problem(what: str, error: Exception) -> Problem:
    """Return why one question has no answer, while others may have."""
    if isinstance(error, asyncpg.PostgresError):
        meaning = ASKING.get(error.sqlstate or "", Meaning(Reason.ERROR))
        return Problem(what, meaning.reason, one_line(error), meaning.remedy)
    return Problem(what, Reason.ERROR, one_line(f"{type(error).__name__}: {error}"))


def ended_session(error: Exception) -> bool:
    """Say whether the server has ended the session, or will at once."""
    sqlstate = getattr(error, "sqlstate", None) or ""
    return isinstance(error, OSError) or sqlstate.startswith(SESSION_ENDED)


def _closed(error: ConnectionError) -> str:
    text = one_line(error)
    return text if "SSL" in text else "the server closed the connection"


def _quoted(name: str) -> str:
    if not name or _PLAIN_NAME.fullmatch(name):
        return name or "…"
    return '"' + one_line(name).replace('"', '""') + '"'
