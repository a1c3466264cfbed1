"""Whether the two ports the demo promises are free, asked before anything is started."""

from __future__ import annotations

import socket

from monitord.errors import SettingsError
from monitord.settings import Settings


def check_free(settings: Settings) -> None:
    """
    Raise SettingsError, one line, when the page's or the ingest port is taken (0 is never).
    """
    web, ingest = settings.web, settings.ingest
    _check(web.host, web.port, socket.SOCK_STREAM, "web", "MONITORD_WEB_PORT")
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        _check(ingest.host, ingest.port, kind, "ingest", "MONITORD_INGEST_PORT")


def _check(host: str, port: int, kind: socket.SocketKind, what: str, variable: str) -> None:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:  # as servers do: a port in TIME_WAIT is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"{what}.port: {host}:{port} cannot be used ({error.strerror}; is another monitord "
                f"running?); stop the other program, or set {variable} to a free port"
            ) from error
