"""Where events go: the address, the service's name and the token, from arguments or environment."""

from __future__ import annotations

import logging
import os
import time

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from monitord.emit.process_group import begun_at


DEFAULT_PORT = 9125
DEFAULT_ADDRESS = f"127.0.0.1:{DEFAULT_PORT}"
DEFAULT_SERVICE = "app"

# Loopback has no path MTU to respect; elsewhere a datagram must fit an Ethernet frame with room
# for tunnels. Both count the UDP payload.
LOOPBACK_DATAGRAM_BYTES = 8_192
DATAGRAM_BYTES = 1_400

Scheme = Literal["udp", "http", "https"]
SCHEMES: tuple[Scheme, ...] = ("udp", "http", "https")


@dataclass(frozen=True, slots=True)
class Address:
    """
    One daemon. `udp` means datagrams, and HTTP to the same port for what does not fit one.

    `http` and `https` never use a datagram.
    """

    host: str
    port: int
    scheme: Scheme = "udp"

    @property
    def loopback(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def datagram_bytes(self) -> int:
        return LOOPBACK_DATAGRAM_BYTES if self.loopback else DATAGRAM_BYTES


@dataclass(frozen=True, slots=True)
class Target:
    """
    Everything the sender must know. Without an `address` nothing is sent and nothing kept.

    A `version` is what began to run at `since`, in Unix seconds, in a process group that began at
    `group_since`.
    """

    address: Address | None
    service: str
    token: str | None = None
    version: str | None = None
    since: float = 0.0
    group_since: float = 0.0


def target(
    address: str | None, service: str | None, token: str | None, version: str | None = None
) -> Target:
    """
    Fill what is not given from MONITORD_ADDRESS, MONITORD_SERVICE, MONITORD_TOKEN and
    MONITORD_VERSION; OTEL_SERVICE_VERSION will do for the last.

    Raises ValueError: the argument `address` is not an address. A mistake in the environment is
    logged instead and switches the emitter off: monitoring never stops an application.
    """
    since = time.time()
    return Target(
        parse(address) if address is not None else _from_environment(),
        service or os.environ.get("MONITORD_SERVICE") or DEFAULT_SERVICE,
        token or os.environ.get("MONITORD_TOKEN") or None,
        version or _version() or None,
        since,
        begun_at() or since,
    )


def _version() -> str | None:
    return os.environ.get("MONITORD_VERSION") or os.environ.get("OTEL_SERVICE_VERSION")


def parse(text: str) -> Address | None:
    """
    Read `host:port`, `host` or `[::1]:9125`, also behind `http://` or `https://`; None for `off`.

    Raises ValueError: it is none of these; the message names what was found.
    """
    if text.strip().lower() == "off":
        return None
    try:
        parts = urlsplit(text if "://" in text else f"udp://{text}")
        host, port, scheme = parts.hostname, parts.port, parts.scheme
    except ValueError:
        host, port, scheme = None, None, ""
    known: Scheme | None = next((each for each in SCHEMES if each == scheme), None)
    if not host or known is None or parts.path.strip("/") or port == 0:
        raise ValueError(f"expected a monitord address such as {DEFAULT_ADDRESS!r}, got {text!r}")
    return Address(host, port or DEFAULT_PORT, known)


def _from_environment() -> Address | None:
    try:
        return parse(os.environ.get("MONITORD_ADDRESS") or DEFAULT_ADDRESS)
    except ValueError as error:
        logging.getLogger("monitord.emit").warning("MONITORD_ADDRESS: %s; nothing is sent", error)
        return None
