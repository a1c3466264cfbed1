"""
One connection that sends a command and reads its answer (RESP 2). No retries, no deadlines.

A driver would do, but would also send commands a monitor's rights do not include (HELLO, CLIENT
SETINFO, SELECT), take answers of any size, and cost 8 MB of memory.
"""

from __future__ import annotations

import asyncio

from monitord.scrapers.redis.address import Address


REPLY_LIMIT_BYTES = 4 * 1024 * 1024
LINE_LIMIT_BYTES = 64 * 1024


class ReplyError(Exception):
    """The server answered with an error; the text begins with its code, such as NOPERM."""


class NotRedis(Exception):
    """What came back is no answer of a Redis server, or too large a one."""


class RedisConnection:
    """
    An open connection, as the asyncio streams it is made of.

    `commands` counts those the server has carried out: it counts them too, and they are ours.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.commands = 0

    @classmethod
    async def open(cls, address: Address) -> RedisConnection:
        """Connect. Raises OSError."""
        if address.path:
            streams = await asyncio.open_unix_connection(address.path, limit=LINE_LIMIT_BYTES)
        else:
            streams = await asyncio.open_connection(
                address.host, address.port, ssl=address.tls, limit=LINE_LIMIT_BYTES
            )
        return cls(*streams)

    @property
    def is_usable(self) -> bool:
        """Whether the server has not closed the connection meanwhile."""
        return not (self._reader.at_eof() or self._writer.transport.is_closing())

    def drop(self) -> None:
        """Close at once, without a word: the server may be frozen."""
        self._writer.transport.abort()

    async def command(self, *words: str) -> bytes:
        """
        Send one command; return its answer.

        Raises ReplyError (it was refused), NotRedis, and OSError (the connection is lost); only
        after a ReplyError can the connection be used further.
        """
        encoded = [word.encode() for word in words]
        parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded]
        # In one piece: a server that refuses the connection closes it, and to write once more
        # would lose what it said.
        self._writer.write(b"*%d\r\n%b" % (len(parts), b"".join(parts)))
        await self._writer.drain()
        answer = await self._answer()
        self.commands += 1
        return answer

    async def _answer(self) -> bytes:
        try:
            line = await self._reader.readuntil(b"\r\n")
            kind, rest = line[:1], line[1:-2]
            if kind == b"$":
                return (await self._reader.readexactly(_size(rest) + 2))[:-2]
        except asyncio.LimitOverrunError:
            raise NotRedis("an endless line") from None
        except asyncio.IncompleteReadError as error:
            if error.partial and error.partial[:1] not in b"+-:$*":
                raise NotRedis("no Redis server answers there") from None
            raise ConnectionResetError("closed by the server") from None
        if kind in (b"+", b":"):
            return rest
        if kind == b"-":
            raise ReplyError(rest.decode(errors="replace"))
        raise NotRedis("no Redis server answers there")


def _size(text: bytes) -> int:
    """Return the length of the text that follows."""
    if not text.isdigit() or len(text) > 12:
        raise NotRedis("an answer without a length")
    size = int(text)
    if size > REPLY_LIMIT_BYTES:
        raise NotRedis(f"an answer of {size} bytes; the limit is {REPLY_LIMIT_BYTES}")
    return size
