"""
Queries, cache calls, calls to other services and jobs recorded as spans, for who asks for it.

A library is imported when it is to be watched. Each `watch_…` may be called again, which replaces
what the last call set; it returns a function that undoes it.
"""

from monitord.emit.hooks.aiohttp_client import watch_aiohttp_client
from monitord.emit.hooks.asyncpg import watch_asyncpg
from monitord.emit.hooks.celery import watch_celery
from monitord.emit.hooks.httpx import watch_httpx
from monitord.emit.hooks.psycopg import watch_psycopg
from monitord.emit.hooks.redis import watch_redis
from monitord.emit.hooks.rq import watch_rq
from monitord.emit.hooks.sqlalchemy import watch_sqlalchemy


__all__ = [
    "watch_aiohttp_client",
    "watch_asyncpg",
    "watch_celery",
    "watch_httpx",
    "watch_psycopg",
    "watch_redis",
    "watch_rq",
    "watch_sqlalchemy",
]
