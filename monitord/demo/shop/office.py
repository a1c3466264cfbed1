"""The people behind the shop: they restock and want reports."""

from __future__ import annotations

import logging

from typing import Any

import asyncpg

from starlette.requests import Request
from starlette.responses import JSONResponse

from monitord.demo.shop.services import body, services


log = logging.getLogger("shop.office")

RESTOCK = "UPDATE products SET stock = stock + $2 WHERE id = $1 AND stock < 5000 RETURNING id"
SALES = """
SELECT
    categories.slug,
    date_trunc('week', orders.placed_at) AS week,
    sum(order_lines.quantity * order_lines.price_cents) AS cents,
    count(DISTINCT orders.customer_id) AS customers
FROM orders
JOIN order_lines ON order_lines.order_id = orders.id
JOIN products ON products.id = order_lines.product_id
JOIN categories ON categories.id = products.category_id
GROUP BY categories.slug, week
ORDER BY week DESC, cents DESC
LIMIT 50
"""


async def restock(request: Request) -> JSONResponse:
    """Add stock, product by product, in the order of the delivery note."""
    data = await body(request, products=list, quantity=int)
    shop = services(request)
    filled = []
    async with shop.database.acquire() as connection, connection.transaction():
        for number in data["products"][:100]:
            if await connection.fetchval(RESTOCK, int(number), data["quantity"]):
                filled.append(int(number))
    if filled:
        await shop.cache.forget(*(f"product:{number}" for number in filled))
    log.info("restocked", extra={"products": len(filled), "quantity": data["quantity"]})
    return JSONResponse({"restocked": len(filled)})


async def sales(request: Request) -> JSONResponse:
    """Sales by category and week: it reads every order line there is, and sorts them on disk."""
    rows = await services(request).database.fetch(SALES)
    return JSONResponse([_sale(row) for row in rows])


def _sale(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "category": row["slug"],
        "week": row["week"].date().isoformat(),
        "cents": int(row["cents"]),
        "customers": row["customers"],
    }
