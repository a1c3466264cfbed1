"""What the shop has to be told, from its environment, as any twelve-factor application."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


VERSION = "1.8.2"


class ShopSettings(Struct, frozen=True, kw_only=True):
    """
    Where the shop's servers are and where it listens.

    `listen_descriptor` is a listening socket inherited from the parent; it goes over host and port.
    `version` is this build's.
    """

    database: str
    cache: str
    host: str = "127.0.0.1"
    port: int = 8000
    listen_descriptor: int | None = None
    version: str = VERSION


def from_environment(environ: Mapping[str, str]) -> ShopSettings:
    """
    Read SHOP_DATABASE, SHOP_CACHE, SHOP_HOST, SHOP_PORT, SHOP_VERSION and
    SHOP_LISTEN_DESCRIPTOR.

    Raises ValueError: the first two are missing, or a number is none.
    """
    missing = [name for name in ("SHOP_DATABASE", "SHOP_CACHE") if not environ.get(name)]
    if missing:
        raise ValueError(f"set {' and '.join(missing)}")
    descriptor = environ.get("SHOP_LISTEN_DESCRIPTOR")
    return ShopSettings(
        database=environ["SHOP_DATABASE"],
        cache=environ["SHOP_CACHE"],
        host=environ.get("SHOP_HOST", "127.0.0.1"),
        port=int(environ.get("SHOP_PORT", "8000")),
        listen_descriptor=int(descriptor) if descriptor else None,
        version=environ.get("SHOP_VERSION") or VERSION,
    )
