"""What went wrong at the store, told apart by what helps against it."""

from __future__ import annotations

import enum
import struct

import asyncpg

from monitord.errors import StoreError, StoreUnreachable


class Failure(enum.Enum):
    """The three kinds of failure; the value says what helps."""

    PASSING = "trying again later"
    STORE = "somebody mending the store or its settings"
    ROW = "leaving the row out"


# asyncpg's errors have no common root: the server's, its own two, the socket's, and the clock's.
ROOTS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    EOFError,
)

# A value that cannot be encoded is refused on our side of the wire.
ENCODING = (UnicodeError, OverflowError, TypeError, ValueError, struct.error)

# SQLSTATE classes: data exception, integrity constraint, program limit (an index row too long).
ROW_CLASSES = frozenset({"22", "23", "54"})

# Authorization, unknown database, unknown schema, access rule or undefined object, not supported.
STORE_CLASSES = frozenset({"28", "3D", "3F", "42", "0A"})


def judge(error: BaseException) -> Failure | None:
    """Return the kind of failure, or None for an error that is not the store's."""
    if isinstance(error, StoreUnreachable):
        return Failure.PASSING
    if isinstance(error, StoreError | asyncpg.exceptions.ClientConfigurationError):
        return Failure.STORE
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return Failure.PASSING  # a migration has changed a table; a new session sees it as it is
    if isinstance(error, asyncpg.PostgresError):
        kind = (error.sqlstate or "")[:2]
        if kind in ROW_CLASSES:
            return Failure.ROW
        return Failure.STORE if kind in STORE_CLASSES else Failure.PASSING
    if isinstance(error, ROOTS):
        return Failure.PASSING
    return Failure.ROW if isinstance(error, ENCODING) else None


def describe(error: BaseException) -> str:
    """Return one line of at most 200 characters for people; it never holds the dsn."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, FileNotFoundError):
        return "no server at the socket"
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return "the dsn cannot be understood"  # its text may quote the password
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()[:200]
    lines = str(error).splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
