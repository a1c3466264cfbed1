"""
One redis-py connection that sends a command and reads its answer. No retries, no deadlines.

The connection is used without the client around it, because a client also sends what a monitor's
rights do not include (HELLO, CLIENT SETINFO, SELECT) and takes answers of any size.
"""

from __future__ import annotations

from typing import Any

from redis._parsers import _AsyncRESP2Parser
from redis.asyncio.connection import AbstractConnection, Connection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import InvalidResponse, RedisError

from monitord.scrapers.redis.address import Address


REPLY_LIMIT_BYTES = 4 * 1024 * 1024


class ReplyError(Exception):
    """The server answered with an error; the text begins with its code, such as NOPERM."""


class NotRedis(Exception):
    """What came back is no answer of a Redis server, or too large a one."""


class BoundedParser(_AsyncRESP2Parser):
    """redis-py's parser, which refuses to wait for more than an INFO can hold."""

    async def _read(self, length: int) -> bytes:
        if not 0 <= length <= REPLY_LIMIT_BYTES:
            raise NotRedis(f"an answer of {length} bytes; the limit is {REPLY_LIMIT_BYTES}")
        return await super()._read(length)


class TcpConnection(Connection):
    """
    A TCP connection with the TLS of our own settings, if any.

    Overrides what redis-py calls private, so pyproject.toml admits tested versions alone.
    """

    def __init__(self, address: Address, **options: Any) -> None:
        super().__init__(host=address.host, port=address.port, **options)
        self._tls = address.tls

    def _connection_arguments(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "ssl": self._tls}


class RedisConnection:
    """
    An open connection.

    `commands` counts those the server has carried out: it counts them too, and they are ours.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self.commands = 0

    @classmethod
    async def open(cls, address: Address) -> RedisConnection:
        """Connect. Raises OSError."""
        options: dict[str, Any] = {
            "protocol": 2,
            "parser_class": BoundedParser,
            "driver_info": None,  # or it would send CLIENT SETINFO
            "socket_timeout": None,
            "socket_connect_timeout": None,
        }
        connection: AbstractConnection = (
            UnixDomainSocketConnection(path=address.path, **options)
            if address.path
            else TcpConnection(address, **options)
        )
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except RedisError as error:
            raise cause(error) from None
        return cls(connection)

    async def is_usable(self) -> bool:
        """Whether the server has not closed the connection meanwhile."""
        try:
            return self._connection.is_connected and not await self._connection.can_read()
        except RedisError:
            return False

    async def drop(self) -> None:
        """Close at once, without a word: the server may be frozen."""
        await self._connection.disconnect(nowait=True)

    async def command(self, *words: str) -> bytes:
        """
        Send one command; return its answer.

        Raises ReplyError (it was refused), NotRedis, and OSError (the connection is lost); only
        after a ReplyError can the connection be used further.
        """
        try:
            await self._connection.send_command(*words)
            answer = await self._connection.read_response(disable_decoding=True)
        except InvalidResponse:
            raise NotRedis("no Redis server answers there") from None
        except RedisError as error:
            raise refusal(error) or cause(error) from None
        except ValueError:  # a length that is no number, a line without an end
            raise NotRedis("no Redis server answers there") from None
        self.commands += 1
        if isinstance(answer, bytes):
            return answer
        raise NotRedis("no Redis server answers there")


def refusal(error: RedisError) -> ReplyError | None:
    """Return what the server itself said, whole again: redis-py has cut known codes off."""
    code = getattr(error, "status_code", None)
    if code:
        return ReplyError(f"{code} {error}")
    return None if isinstance(error, ConnectionLost) else ReplyError(str(error))


def cause(error: RedisError) -> OSError:
    """Return the system's error that redis-py has turned into one of its own."""
    if isinstance(error.__context__, OSError):
        return error.__context__
    return ConnectionResetError("closed by the server")
