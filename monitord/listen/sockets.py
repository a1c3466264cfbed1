"""Bound sockets and TLS contexts; what cannot be used is named by its place in the settings."""

import asyncio
import errno
import socket
import ssl

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monitord.errors import SettingsError
from monitord.settings import Tls


BIND_ATTEMPTS = 5


def tls_context(tls: Tls, key: str = "web") -> ssl.SSLContext | None:
    """
    Return the context for *tls*, or None when it names no files.

    Raises SettingsError: one of the two files is not given, not readable, or no such PEM.
    """
    if tls.certificate is None and tls.key is None:
        return None
    if tls.certificate is None or tls.key is None:
        raise SettingsError(f"{key}.tls: needs both certificate and key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # The empty password makes an encrypted key an error; without it OpenSSL asks on the tty.
        context.load_cert_chain(tls.certificate, tls.key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{key}.tls: cannot use {tls.certificate} with {tls.key}: {error}"
        ) from error
    return context


async def bound_sockets(
    kind: socket.SocketKind, host: str, port: int, key: str
) -> list[socket.socket]:
    """
    Return non-blocking sockets bound to every address of *host*, all on one port number.

    Port 0 lets the kernel choose. Raises SettingsError: no such host, or the port is taken.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host or None, port, type=kind, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise SettingsError(f"{key}.host: {host}: {error.strerror or error}") from error
    addresses = list(dict.fromkeys((family, address[:2]) for family, _, _, _, address in found))
    for attempt in range(BIND_ATTEMPTS):
        try:
            return _bind_all(kind, addresses, port)
        except OSError as error:
            # A second family may find the number the kernel chose for the first one taken.
            if port == 0 and error.errno == errno.EADDRINUSE and attempt + 1 < BIND_ATTEMPTS:
                continue
            raise SettingsError(
                f"{key}.port: cannot listen on {host}:{port}: {error.strerror or error}"
            ) from error
    raise AssertionError("unreachable: the last attempt returns or raises")


def bound_unix_socket(path: Path, key: str) -> socket.socket:
    """
    Return a non-blocking datagram socket at a path, in place of one a crash has left there.

    Others may write to it and no more. Raises SettingsError: it cannot be made, or something else
    is there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if path.is_socket():
            path.unlink()
        sock.bind(str(path))
        path.chmod(0o722)
    except OSError as error:
        sock.close()
        raise SettingsError(f"{key}: cannot listen at {path}: {error.strerror or error}") from error
    return sock


def _bind_all(
    kind: socket.SocketKind, addresses: Sequence[tuple[socket.AddressFamily, Any]], port: int
) -> list[socket.socket]:
    bound: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in addresses:
            try:
                sock = _bind(kind, family, (address[0], port))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error  # such as ::1 of "localhost" where IPv6 is switched off
                continue
            bound.append(sock)
            port = sock.getsockname()[1]
        if not bound:
            raise missing or OSError(errno.EADDRNOTAVAIL, "no address to listen on")
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bind(
    kind: socket.SocketKind, family: socket.AddressFamily, address: tuple[str, int]
) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock
