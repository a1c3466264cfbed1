"""What every handler needs: the database, the cache, and who is asking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import asyncpg
import redis.asyncio

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request

from monitord.demo.shop.cache import Cache
from monitord.demo.shop.payments import Provider
from monitord.demo.shop.settings import ShopSettings


HERE = Path(__file__).parent
CART_SECONDS = 1800


class Services(Struct, frozen=True):
    """The shop's connections, open from its start to its end."""

    database: asyncpg.Pool[asyncpg.Record]
    cache: Cache
    provider: Provider


@asynccontextmanager
async def open_services(settings: ShopSettings) -> AsyncIterator[Services]:
    """
    Open everything, and fill an empty database first.
    """
    async with (
        asyncpg.create_pool(
            settings.database, min_size=2, max_size=12, command_timeout=15, timeout=10
        ) as database,
        redis.asyncio.from_url(settings.cache, client_name="shop") as client,
    ):
        async with database.acquire() as connection:
            await fill(connection)
        yield Services(database, Cache(client), Provider())


async def fill(connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
    """
    Make the tables and their rows, all or nothing, unless they are there.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(20261123)")
        if await connection.fetchval("SELECT to_regclass('public.products')") is None:
            await connection.execute((HERE / "schema.sql").read_text())
            await connection.execute((HERE / "seed.sql").read_text())


def services(request: Request) -> Services:
    """Return what the application opened at its start."""
    return cast(Services, request.state.services)


def page_number(request: Request) -> int:
    """
    Return the query's page, 1 when it has none. Raises HTTPException 400: it is no number.
    """
    text = request.query_params.get("page", "1")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1000:
        raise HTTPException(400, "page: expected a number from 1 to 1000")
    return int(text)


async def body(request: Request, **fields: type) -> dict[str, Any]:
    """
    Return the request's JSON object. Raises HTTPException 422: a field is missing or no such thing.
    """
    try:
        data = await request.json()
    except ValueError:
        raise HTTPException(422, "expected a JSON object") from None
    for name, kind in fields.items():
        if not isinstance(data, dict) or not isinstance(data.get(name), kind):
            raise HTTPException(422, f"{name}: expected {kind.__name__}")
    return cast(dict[str, Any], data)


def token(request: Request) -> str:
    """Return the session's token, or an empty text."""
    return request.headers.get("authorization", "").removeprefix("Bearer ").strip()


async def signed_in(request: Request) -> int:
    """
    Return the customer whose session this is. Raises HTTPException 401: it is nobody's.
    """
    customer = None
    if secret := token(request):
        customer = await services(request).cache.client.get(f"session:{secret}")
    if customer is None:
        raise HTTPException(401, "sign in first")
    return int(customer)


async def read_cart(request: Request) -> dict[int, int]:
    """Return product -> quantity of the session's cart, in the order they were put in."""
    items = await services(request).cache.client.hgetall(f"cart:{token(request)}")
    return {int(product): int(quantity) for product, quantity in items.items()}
