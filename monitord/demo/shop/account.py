"""Signing in and out, and a customer's own orders."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from monitord.demo.shop.services import body, services, signed_in, token


log = logging.getLogger("shop.account")

SESSION_SECONDS = 900

CUSTOMER = "SELECT id, password_hash FROM customers WHERE email = $1"
ORDERS = """
SELECT id, total_cents, placed_at
FROM orders
WHERE customer_id = $1
ORDER BY placed_at DESC
LIMIT 20
"""
ORDER = "SELECT id, customer_id, total_cents, placed_at FROM orders WHERE id = $1"
LINES = """
SELECT order_lines.product_id, products.title, order_lines.quantity, order_lines.price_cents
FROM order_lines
JOIN products ON products.id = order_lines.product_id
WHERE order_lines.order_id = $1
ORDER BY order_lines.product_id
"""


async def sign_in(request: Request) -> JSONResponse:
    """Open a session; 401 for a wrong password."""
    data = await body(request, email=str, password=str)
    row = await services(request).database.fetchrow(CUSTOMER, data["email"])
    given = hashlib.sha256(f"{data['email']}:{data['password']}".encode()).digest()
    if row is None or not hmac.compare_digest(row["password_hash"], given):
        log.warning("sign-in refused", extra={"email": data["email"]})
        raise HTTPException(401, "no such customer or another password")
    secret = secrets.token_hex(16)
    await services(request).cache.client.set(f"session:{secret}", row["id"], ex=SESSION_SECONDS)
    log.info("signed in", extra={"customer_id": row["id"]})
    return JSONResponse({"token": secret, "customer_id": row["id"]}, 201)


async def sign_out(request: Request) -> Response:
    """Close the session and empty its cart."""
    await signed_in(request)
    await services(request).cache.forget(f"session:{token(request)}", f"cart:{token(request)}")
    return Response(status_code=204)


async def orders(request: Request) -> JSONResponse:
    """The customer's last orders with their lines, one query each (the classical N+1)."""
    customer = await signed_in(request)
    database = services(request).database
    found = await database.fetch(ORDERS, customer)
    return JSONResponse(
        [_order(order, await database.fetch(LINES, order["id"])) for order in found]
    )


async def order(request: Request) -> JSONResponse:
    """One order; 404 when there is none, 403 when it is somebody else's."""
    customer = await signed_in(request)
    database = services(request).database
    found = await database.fetchrow(ORDER, request.path_params["order_id"])
    if found is None:
        raise HTTPException(404, "no such order")
    if found["customer_id"] != customer:
        log.warning("foreign order asked for", extra={"customer_id": customer})
        raise HTTPException(403, "this order is not yours")
    return JSONResponse(_order(found, await database.fetch(LINES, found["id"])))


def _order(order: Any, lines: list[Any]) -> dict[str, Any]:
    return {
        "id": order["id"],
        "total_cents": order["total_cents"],
        "placed_at": order["placed_at"].isoformat(),
        "lines": [dict(line) for line in lines],
    }
