"""Who asks, and under which name: the socket's address, or what a trusted proxy says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from msgspec import Struct


Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


class Peer(Struct, frozen=True):
    """The client's address, and the scheme and host by which it reached us."""

    address: str
    scheme: str
    host: str

    @property
    def secure(self) -> bool:
        return self.scheme == "https"


def peer_of(
    remote: str, scheme: str, headers: Mapping[str, str], trusted: Sequence[Network]
) -> Peer:
    """
    Return who asks.

    `X-Forwarded-*` counts only when the socket's other end is a trusted proxy. Of
    `X-Forwarded-For` the last address that is no trusted proxy is taken: what stands before it
    may be anybody's invention.
    """
    host = headers.get("Host", "")
    if not _is_trusted(remote, trusted):
        return Peer(_plain(remote), scheme, host)
    forwarded = _last(headers.get("X-Forwarded-Proto", "")).lower()
    return Peer(
        address=_client(remote, headers.get("X-Forwarded-For", ""), trusted),
        scheme=forwarded if forwarded in ("http", "https") else scheme,
        host=_last(headers.get("X-Forwarded-Host", "")) or host,
    )


def _client(remote: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    found = _plain(remote)
    for text in reversed(forwarded_for.split(",")):
        address = _parse(text)
        if address is None:
            break
        found = str(address)
        if not _is_trusted(found, trusted):
            break
    return found


def _last(text: str) -> str:
    return text.rpartition(",")[2].strip()


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _plain(text: str) -> str:
    address = _parse(text)
    return text if address is None else str(address)


def _is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    address = _parse(text)
    return address is not None and any(address in network for network in trusted)


def same_origin(headers: Mapping[str, str], peer: Peer) -> bool | None:
    """
    Say whether a browser sent the request from one of our own pages; None when no browser did.

    Browsers send `Sec-Fetch-Site` (to HTTPS and loopback) or at least `Origin` with every POST.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("Origin")
    if origin is None:
        return None
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return (parts.scheme, parts.netloc.lower()) == (peer.scheme, peer.host.lower())
