"""What Linux knows of a UDP socket: the size of its receive buffer, and what it dropped."""

from __future__ import annotations

import os
import socket

from collections.abc import Collection
from pathlib import Path


# <asm-generic/socket.h>; Python has no name for it. Needs CAP_NET_ADMIN.
SO_RCVBUFFORCE = 33

TABLES = (Path("/proc/net/udp"), Path("/proc/net/udp6"))
INODE_COLUMN = 9


def enlarge(sock: socket.socket, asked_bytes: int) -> int:
    """
    Ask for a receive buffer, beyond net.core.rmem_max where that is allowed; return its size.

    The kernel keeps, and reports, twice the size, for its own bookkeeping; here the half counts.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, asked_bytes)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, asked_bytes)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def inode(sock: socket.socket) -> str:
    """Return the socket's inode as the kernel's tables spell it."""
    return str(os.fstat(sock.fileno()).st_ino)


def dropped(inodes: Collection[str]) -> int | None:
    """Return how many datagrams these sockets lost; None where it lists not all of them."""
    drops: dict[str, int] = {}
    for table in TABLES:
        try:
            lines = table.read_text("ascii").splitlines()
        except OSError:
            continue
        for columns in (line.split() for line in lines[1:]):
            if len(columns) > INODE_COLUMN and columns[INODE_COLUMN] in inodes:
                drops[columns[INODE_COLUMN]] = int(columns[-1])
    return sum(drops.values()) if drops.keys() >= set(inodes) else None
