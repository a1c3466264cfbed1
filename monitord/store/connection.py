"""How one connection to the store is opened: its settings and its deadlines. No state here."""

from __future__ import annotations

from typing import TypeAlias

import asyncpg


# asyncpg's own class takes no type argument at run time; its stubs do.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

APPLICATION_NAME = "monitord"


def server_settings(timeout: float) -> dict[str, str]:
    """
    Return the session's settings for calls that may take `timeout` seconds.

    The server's own deadlines are the second net: they end what a dead daemon left behind.
    """
    milliseconds = str(int(timeout * 1000))
    return {
        "application_name": APPLICATION_NAME,
        "timezone": "UTC",
        "jit": "off",
        "statement_timeout": milliseconds,
        "idle_in_transaction_session_timeout": milliseconds,
    }
