"""What one key cannot say alone: pairs, ports that clash, binds that need a token."""

from __future__ import annotations

import os

from collections.abc import Iterator
from pathlib import Path

from monitord.settings import Settings, Tls


Broken = tuple[str, str]


def broken(settings: Settings) -> Iterator[Broken]:
    """Yield (path of the key, rule) for every rule the settings break."""
    yield from _tls(settings.web.tls, "web.tls")
    yield from _tls(settings.ingest.tls, "ingest.tls")
    yield from _ports(settings)


def _tls(tls: Tls, path: str) -> Iterator[Broken]:
    for name, file, other in (
        ("certificate", tls.certificate, tls.key),
        ("key", tls.key, tls.certificate),
    ):
        if file is None and other is not None:
            yield path, f"expected certificate and key, found no {name}"
        elif file is not None and not _readable(file):
            yield f"{path}.{name}", f"expected a readable file, found '{file}'"


def _readable(file: Path) -> bool:
    return file.is_file() and os.access(file, os.R_OK)


def _ports(settings: Settings) -> Iterator[Broken]:
    if settings.web.port == settings.ingest.port != 0:
        yield "ingest.port", f"expected another port than web.port, found {settings.ingest.port}"
