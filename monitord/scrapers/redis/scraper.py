"""One Redis or Valkey server, read over one connection that is kept from scrape to scrape."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Callable, Sequence

from monitord.model import Metric, Problem, Reason, Scrape, ScrapeError
from monitord.scrapers.increments import Counters
from monitord.scrapers.network import connection_failure
from monitord.scrapers.redis import info, refusals
from monitord.scrapers.redis.address import Address, parse
from monitord.scrapers.redis.connection import NotRedis, RedisConnection, ReplyError
from monitord.settings import RedisTarget


CLIENT_NAME = "monitord"
CONNECT_SECONDS = 3.0
FIRST_ACL_MAJOR = 6


class RedisScraper:
    """
    Sends AUTH and CLIENT SETNAME once a connection and INFO once a scrape; nothing else.

    In a cluster it reads the node it is connected to. The caller sets the deadline: a scrape that
    is cancelled drops its connection.
    """

    def __init__(
        self, target: RedisTarget, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._address: Address = parse(target)
        self._connect_seconds = min(CONNECT_SECONDS, 0.6 * target.timeout)
        self._monotonic = monotonic
        self._connection: RedisConnection | None = None
        self._problems: list[Problem] = []
        self._counters = Counters()
        self._commands_before = 0

    async def scrape(self) -> Scrape:
        """Return the server's numbers. Raises ScrapeError; a lost connection is made anew."""
        try:
            connection = await self._connected()
            return Scrape(self._metrics(connection, await self._info(connection)), self._problems)
        except OSError as error:
            await self._drop()
            raise connection_failure(error, str(self._address)) from error
        except NotRedis as error:
            await self._drop()
            raise ScrapeError(Reason.PROTOCOL, f"{self._address}: {error}") from error
        except BaseException:
            await self._drop()
            raise

    async def advise(self) -> Sequence[Problem]:
        """Return what is unwise: monitord with the rights of everybody."""
        found = info.parse(await self._info(await self._connected()))
        major = info.number(found.get("redis_version", "").partition(".")[0])
        if self._address.user or not major or major < FIRST_ACL_MAJOR:
            return []
        return [
            Problem(
                "user",
                Reason.PERMISSION,
                "monitord is the server's default user, who may do anything",
                f"ACL SETUSER monitord on >PASSWORD {refusals.ACL}",
            )
        ]

    async def close(self) -> None:
        await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.drop()

    async def _connected(self) -> RedisConnection:
        if self._connection is not None and await self._connection.is_usable():
            return self._connection
        await self._drop()
        self._connection = connection = await self._open()
        self._commands_before = 0
        self._problems = []
        if self._address.password:
            user = (self._address.user,) if self._address.user else ()
            await self._run(connection, "AUTH", *user, self._address.password.reveal())
        await self._name(connection)
        return connection

    async def _open(self) -> RedisConnection:
        try:
            async with asyncio.timeout(self._connect_seconds):
                return await RedisConnection.open(self._address)
        except TimeoutError as error:
            if error.errno is not None:  # the kernel gave up before us
                raise
            detail = f"{self._address}: no connection within {self._connect_seconds:g} s"
            raise ScrapeError(Reason.UNREACHABLE, detail) from None

    async def _name(self, connection: RedisConnection) -> None:
        """Make monitord known in CLIENT LIST; a server that refuses loses nothing else."""
        try:
            await connection.command("CLIENT", "SETNAME", CLIENT_NAME)
        except ReplyError as error:
            refused = refusals.failure(error, self._address, "client|setname")
            if refused.reason not in (Reason.PERMISSION, Reason.MISSING):
                raise refused from None
            self._problems = [
                Problem("client name", refused.reason, refused.detail, refused.remedy)
            ]

    async def _info(self, connection: RedisConnection) -> bytes:
        return await self._run(connection, "INFO")

    async def _run(self, connection: RedisConnection, *words: str) -> bytes:
        try:
            return await connection.command(*words)
        except ReplyError as error:
            raise refusals.failure(error, self._address, words[0].lower()) from None

    def _metrics(self, connection: RedisConnection, reply: bytes) -> list[Metric]:
        found = info.parse(reply)
        if "redis_version" not in found and "used_memory" not in found:
            raise NotRedis("INFO without a version or memory")
        metrics = [*info.gauges(found), *info.replication(found)]
        interval = self._counters.advance(info.totals(found), self._monotonic())
        if interval is not None:
            own = connection.commands - self._commands_before
            metrics += info.increments(interval, own)
        self._commands_before = connection.commands
        return metrics
