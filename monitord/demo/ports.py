"""Whether the two ports the demo promises are free, asked before anything is started."""

from __future__ import annotations

import socket

from collections.abc import Iterator

from monitord.errors import SettingsError
from monitord.settings import Settings


def check_free(settings: Settings) -> None:
    """
    Raise SettingsError, one line that names every port that is taken (0 never is) and its setting.
    """
    web, ingest = settings.web, settings.ingest
    asked = (
        ("MONITORD_WEB_PORT", "the page", web.host, web.port, (socket.SOCK_STREAM,)),
        (
            "MONITORD_INGEST_PORT",
            "the ingest",
            ingest.host,
            ingest.port,
            (socket.SOCK_STREAM, socket.SOCK_DGRAM),
        ),
    )
    taken = {
        variable: f"port {port} of {what} ({reason})"
        for variable, what, host, port, kinds in asked
        if (reason := next(_hindrances(host, port, kinds), ""))
    }
    if not taken:
        return
    ports = "a free port" if len(taken) == 1 else "free ports"
    raise SettingsError(
        f"{' and '.join(taken.values())} cannot be used; is another monitord running? Stop the "
        f"other program, or set {' and '.join(taken)} to {ports}"
    )


def _hindrances(host: str, port: int, kinds: tuple[socket.SocketKind, ...]) -> Iterator[str]:
    """Yield why a socket of each kind cannot be had there; nothing for those that can."""
    for kind in kinds:
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:  # as servers do: a port in TIME_WAIT is free
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                yield error.strerror or str(error)
