"""How connections to the store are opened and lent. Whether the store is up is not known here."""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg


# asyncpg's own class takes no type argument at run time; its stubs do.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

APPLICATION_NAME = "monitord"


def server_settings(timeout: float) -> dict[str, str]:
    """
    Return the session's settings for calls that may take `timeout` seconds; 0 is no limit.

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


async def connect(dsn: str, *, within: float, per_call: float) -> Connection:
    """
    Open one connection within so many seconds; a call on it may take `per_call` (0: for ever).

    Raises: any root of asyncpg's errors.
    """
    return await asyncpg.connect(
        dsn,
        timeout=within,
        command_timeout=per_call or None,
        server_settings=server_settings(per_call),
    )


class Connections:
    """
    Open connections, kept for the next borrower.

    asyncpg's pool is not used: it lends proxies that raise when the pool is ended under them, and
    it spends a round trip on resetting a session in which monitord leaves nothing behind.
    """

    def __init__(self, dsn: str, *, within: float, per_call: float) -> None:
        self._dsn = dsn
        self._within = within
        self._per_call = per_call
        self._idle: list[Connection] = []
        self._lent: set[Connection] = set()
        self._ended = False

    @contextlib.asynccontextmanager
    async def lend(self) -> AsyncIterator[Connection]:
        """
        Lend a connection. The borrower ends it when its state has become unknown.

        Raises: any root of asyncpg's errors, from opening a new one.
        """
        connection = await self._take()
        self._lent.add(connection)
        try:
            yield connection
        finally:
            self._lent.discard(connection)
            if self._ended or connection.is_closed():
                connection.terminate()
            else:
                self._idle.append(connection)

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            connection.terminate()
        return await connect(self._dsn, within=self._within, per_call=self._per_call)

    def end(self) -> None:
        """End every connection now, lent ones too: what waits on them fails at once."""
        self._ended = True
        for connection in (*self._idle, *self._lent):
            connection.terminate()
        self._idle.clear()


@contextlib.asynccontextmanager
async def turn(semaphore: asyncio.Semaphore, within: float) -> AsyncIterator[None]:
    """
    Hold one of the semaphore's places.

    Raises TimeoutError: none became free within so many seconds.
    """
    async with asyncio.timeout(within):
        await semaphore.acquire()
    try:
        yield
    finally:
        semaphore.release()
