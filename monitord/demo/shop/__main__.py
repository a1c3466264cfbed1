"""`python -m monitord.demo.shop`: serve until SIGINT or SIGTERM."""

from __future__ import annotations

import logging
import os
import socket
import sys

import uvicorn

from monitord import emit
from monitord.demo.shop.app import build
from monitord.demo.shop.settings import ShopSettings, from_environment
from monitord.emit.hooks import watch_asyncpg, watch_redis


GRACE_SECONDS = 1

# What keys of the cache are called; the type of all others stands before their colon.
CACHE_TYPES = {"front:*": "page", "listing:*": "page"}


def main() -> int:
    """
    Run the shop; 2 when its environment is wrong.
    """
    try:
        settings = from_environment(os.environ)
    except ValueError as error:
        sys.stderr.write(f"shop: {error}\n")
        return 2
    set_up_monitoring(settings.version)
    set_up_logging()
    serve(settings)
    return 0


def set_up_monitoring(version: str) -> None:
    """
    Record queries and cache calls, and mark the deploy. Before pools and clients are made.
    """
    emit.configure(service="shop", version=version)
    watch_asyncpg()
    watch_redis(types=CACHE_TYPES)


def set_up_logging() -> None:
    """
    Send every record of the shop, and warnings of everybody else, to monitord.
    """
    logging.basicConfig(level=logging.WARNING, handlers=[emit.MonitordHandler()])
    logging.getLogger("shop").setLevel(logging.DEBUG)
    # The shop logs a failed request itself, with its trace id, which the server does not know.
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: not record.getMessage().startswith("Exception in ASGI application")
    )


def serve(settings: ShopSettings) -> None:
    """
    Listen on the inherited socket, or on the address of the settings.
    """
    config = uvicorn.Config(
        build(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    inherited = settings.listen_descriptor
    sockets = None if inherited is None else [socket.socket(fileno=inherited)]
    uvicorn.Server(config).run(sockets)


if __name__ == "__main__":
    sys.exit(main())
