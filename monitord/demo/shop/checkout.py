"""The cart, which lives in the cache, and the order, which takes stock and money."""

from __future__ import annotations

import logging

import asyncpg

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from monitord.demo.shop.jobs import owe_receipt
from monitord.demo.shop.payments import CardDeclined, Provider
from monitord.demo.shop.services import (
    CART_SECONDS,
    body,
    read_cart,
    services,
    signed_in,
    token,
)


log = logging.getLogger("shop.checkout")

LOW_STOCK = 20

TAKE = """
UPDATE products
SET stock = stock - $2
WHERE id = $1 AND stock >= $2
RETURNING price_cents, stock
"""
PLACE = "INSERT INTO orders (customer_id, total_cents) VALUES ($1, 0) RETURNING id"
ADD_LINE = """
INSERT INTO order_lines (order_id, product_id, quantity, price_cents)
VALUES ($1, $2, $3, $4)
"""
FINISH = "UPDATE orders SET total_cents = $2, receipt = $3 WHERE id = $1"


class OutOfStock(Exception):
    """Somebody was faster."""


async def cart(request: Request) -> JSONResponse:
    """The cart of this session."""
    await signed_in(request)
    return JSONResponse(
        {str(number): count for number, count in (await read_cart(request)).items()}
    )


async def put_in_cart(request: Request) -> Response:
    """Set how many of a product are in the cart; 0 takes it out."""
    await signed_in(request)
    quantity = (await body(request, quantity=int))["quantity"]
    if not 0 <= quantity <= 99:
        raise HTTPException(422, "quantity: expected 0 to 99")
    key, number = f"cart:{token(request)}", str(request.path_params["product_id"])
    client = services(request).cache.client
    if quantity:
        await client.hset(key, number, str(quantity))
        await client.expire(key, CART_SECONDS)
    else:
        await client.hdel(key, number)
    return Response(status_code=204)


async def place_order(request: Request) -> JSONResponse:
    """
    Turn the cart into an order: 402 when the card is declined, 409 when there is nothing to sell.
    """
    customer = await signed_in(request)
    card = (await body(request, card=str))["card"]
    items = await read_cart(request)
    if not items:
        raise HTTPException(409, "the cart is empty")
    shop = services(request)
    try:
        async with shop.database.acquire() as connection, connection.transaction():
            order, cents = await _take(connection, shop.provider, customer, items, card)
    except CardDeclined as error:
        log.warning("card declined", extra={"customer_id": customer, "reason": str(error)})
        raise HTTPException(402, str(error)) from error
    except OutOfStock as error:
        raise HTTPException(409, str(error)) from error
    await owe_receipt(shop.cache, order)
    await shop.cache.forget(f"cart:{token(request)}", *(f"product:{number}" for number in items))
    log.info(
        "order placed",
        extra={"order_id": order, "customer_id": customer, "cents": cents, "lines": len(items)},
    )
    return JSONResponse({"id": order, "total_cents": cents}, 201)


async def _take(
    connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record],
    provider: Provider,
    customer: int,
    items: dict[int, int],
    card: str,
) -> tuple[int, int]:
    """
    Take the stock, then the money, while the rows stay locked: two carts in another order meet.
    """
    order = await connection.fetchval(PLACE, customer)
    total_cents = 0
    for number, quantity in items.items():
        taken = await connection.fetchrow(TAKE, number, quantity)
        if taken is None:
            log.warning("out of stock", extra={"product_id": number})
            raise OutOfStock(f"product {number} is out of stock")
        if taken["stock"] < LOW_STOCK:
            log.warning("stock is low", extra={"product_id": number, "stock": taken["stock"]})
        await connection.execute(ADD_LINE, order, number, quantity, taken["price_cents"])
        total_cents += quantity * taken["price_cents"]
    receipt = await provider.charge(card, total_cents)
    await connection.execute(FINISH, order, total_cents, receipt)
    return order, total_cents
