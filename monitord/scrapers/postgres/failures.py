"""What PostgreSQL's and asyncpg's errors mean to who reads the page, and what mends them."""

from __future__ import annotations

import ssl

import asyncpg

from msgspec import Struct

from monitord.model import Problem, Reason, ScrapeError
from monitord.scrapers.network import connection_failure
from monitord.scrapers.text import one_line


class Meaning(Struct, frozen=True):
    """Of an SQLSTATE. `remedy` may be empty: then the server's own words have to do."""

    reason: Reason
    remedy: str = ""


# https://www.postgresql.org/docs/current/errcodes-appendix.html
CONNECTING = {
    "28P01": Meaning(Reason.AUTH, "set the target's password"),
    "28000": Meaning(
        Reason.AUTH, "create the role, or let it in with a line in pg_hba.conf and reload"
    ),
    "3D000": Meaning(Reason.MISSING, "name a database that exists in the target's dsn"),
    "42501": Meaning(Reason.PERMISSION, "GRANT CONNECT ON DATABASE … TO …;"),
    "53300": Meaning(Reason.REFUSED, "raise max_connections, or the role's CONNECTION LIMIT"),
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


def session_failure(error: BaseException, where: str) -> ScrapeError | None:
    """
    Return why there is no connection, or no longer one; None for what is no such error.

    asyncpg's errors have unrelated roots; text of those about the dsn may hold its password.
    """
    if isinstance(error, asyncpg.PostgresError):
        meaning = CONNECTING.get(error.sqlstate or "", Meaning(Reason.ERROR))
        return ScrapeError(meaning.reason, f"{where}: {one_line(error)}", meaning.remedy)
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
