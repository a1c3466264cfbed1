"""The shop as an ASGI application: its routes, and the one line that times its requests."""

from __future__ import annotations

import contextlib
import logging

from collections.abc import AsyncIterator
from typing import TypedDict

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from monitord.demo.shop import account, catalog, checkout, office
from monitord.demo.shop.jobs import at_work
from monitord.demo.shop.services import Services, open_services
from monitord.demo.shop.settings import ShopSettings
from monitord.emit import MonitordMiddleware


log = logging.getLogger("shop")

ROUTES = [
    Route("/", catalog.front),
    Route("/categories/{category}", catalog.listing),
    Route("/products/{product_id:int}", catalog.product),
    Route("/products/{product_id:int}/reviews", catalog.reviews, methods=["GET"]),
    Route("/products/{product_id:int}/reviews", catalog.add_review, methods=["POST"]),
    Route("/search", catalog.search),
    Route("/customers/{customer_id:int}/recommendations", catalog.recommendations),
    Route("/session", account.sign_in, methods=["POST"]),
    Route("/session", account.sign_out, methods=["DELETE"]),
    Route("/orders", account.orders, methods=["GET"]),
    Route("/orders", checkout.place_order, methods=["POST"]),
    Route("/orders/{order_id:int}", account.order),
    Route("/cart", checkout.cart),
    Route("/cart/{product_id:int}", checkout.put_in_cart, methods=["PUT"]),
    Route("/office/restock", office.restock, methods=["POST"]),
    Route("/office/sales", office.sales),
]


class State(TypedDict):
    """What a request finds in its state."""

    services: Services


def build(settings: ShopSettings) -> Starlette:
    """
    Return the application; its servers are opened when it starts and closed when it ends.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        async with open_services(settings) as services, at_work(services):
            log.info("shop opened")
            yield {"services": services}

    return Starlette(
        routes=[*ROUTES, Route("/healthz", healthy)],
        lifespan=lifespan,
        middleware=[
            # The shop logs its failures itself, with what it knows of them.
            Middleware(MonitordMiddleware, log_errors=False),
            Middleware(FailureLog),
        ],
        exception_handlers={HTTPException: refused, Exception: failed},
    )


async def healthy(_: Request) -> Response:
    """Answer as soon as the servers are open; the middleware leaves this route out."""
    return PlainTextResponse("ok")


async def refused(_: Request, error: Exception) -> Response:
    """Say what was wrong with the request."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    return JSONResponse({"error": getattr(error, "detail", str(error))}, status)


async def failed(_: Request, __: Exception) -> Response:
    """Tell the visitor nothing of what nobody caught."""
    return JSONResponse({"error": "something broke on our side"}, 500)


class FailureLog:
    """Logs what no handler caught, while the request's trace id is still known."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:
            log.exception("request failed", extra={"path": scope.get("path", "")})
            raise
