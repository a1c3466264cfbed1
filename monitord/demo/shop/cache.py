"""Cache-aside over Valkey: read it there, else make it and keep it for a while."""

from __future__ import annotations

import json
import logging

from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio

from redis.exceptions import RedisError


log = logging.getLogger("shop.cache")


class Cache:
    """
    JSON values under keys such as `product:17`. A dead cache makes the shop slower, not dead.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client

    async def get_or_make(
        self, key: str, keep_seconds: int, make: Callable[[], Awaitable[Any]]
    ) -> Any:
        """
        Return what is kept under *key*; what *make* returns is kept unless it is None.
        """
        try:
            kept = await self.client.get(key)
        except RedisError as error:
            log.warning("cache unavailable", extra={"key": key, "reason": str(error)})
            return await make()
        if kept is not None:
            return json.loads(kept)
        log.debug("cache miss", extra={"key": key})
        value = await make()
        if value is not None:
            try:
                await self.client.set(key, json.dumps(value), ex=keep_seconds)
            except RedisError as error:
                log.warning("cache unavailable", extra={"key": key, "reason": str(error)})
        return value

    async def forget(self, *keys: str) -> None:
        """
        Remove what is kept under the keys; when the cache is dead it will expire by itself.
        """
        try:
            await self.client.delete(*keys)
        except RedisError as error:
            log.warning("cache unavailable", extra={"key": keys[0], "reason": str(error)})
