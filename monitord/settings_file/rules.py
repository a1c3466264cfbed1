"""What one key cannot say alone: pairs, ports that clash, binds that need a token."""

from __future__ import annotations

import os

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from monitord.errors import SettingsError
from monitord.listen import check_bind, is_loopback
from monitord.settings import Ingest, Secret, Settings, Tls


Broken = tuple[str, str]


class _Listener(Struct, frozen=True):
    """What the rules ask of the page and of the ingest alike; `key` is its section."""

    key: str
    host: str
    tokens: tuple[Secret, ...]
    names: tuple[str, ...]
    tls: Tls


def broken(settings: Settings) -> Iterator[Broken]:
    """Yield (path of the key, rule) for every rule the settings break."""
    for listener in _listeners(settings):
        yield from _tls(listener.tls, f"{listener.key}.tls")
    if settings.web.port == settings.ingest.port != 0:
        yield "ingest.port", f"expected another port than web.port, found {settings.ingest.port}"
    for listener in _listeners(settings):
        try:
            check_bind(listener.host, bool(listener.tokens), settings.insecure, listener.key)
        except SettingsError as error:
            place = f"{listener.key}.host"
            yield place, str(error).removeprefix(f"{place}: ")
    yield from _datagrams(settings)


def unwise(settings: Settings) -> Iterator[str]:
    """Yield one line for everything that is allowed and will probably be regretted."""
    for listener in _listeners(settings):
        if is_loopback(listener.host):
            continue
        if not listener.tokens:
            yield f"insecure: whoever reaches {listener.key} on {listener.host} needs no token"
        if not listener.names:
            yield f"{listener.key}.allowed_hosts: empty, so only loopback names are answered"


def _listeners(settings: Settings) -> Iterator[_Listener]:
    web, ingest = settings.web, settings.ingest
    tokens = web.read_tokens + web.admin_tokens
    yield _Listener("web", web.host, tokens, web.allowed_hosts, web.tls)
    yield _Listener("ingest", ingest.host, ingest.tokens, ingest.allowed_hosts, ingest.tls)


def _tls(tls: Tls, path: str) -> Iterator[Broken]:
    pair = {"certificate": tls.certificate, "key": tls.key}
    missing = [name for name, file in pair.items() if file is None]
    if len(missing) == 1:
        yield path, f"expected certificate and key, found no {missing[0]}"
    for name, file in pair.items():
        if file is not None and not _readable(file):
            yield f"{path}.{name}", f"expected a readable file, found '{file}'"


def _readable(file: Path) -> bool:
    return file.is_file() and os.access(file, os.R_OK)


def _datagrams(settings: Settings) -> Iterator[Broken]:
    """`insecure` is about tokens, which no sender of these could show: it changes nothing."""
    ingest, closing = settings.ingest, _closing(settings.ingest)
    if closing and not is_loopback(ingest.host) and not ingest.udp.allow_from:
        yield (
            "ingest.udp.allow_from",
            f"expected networks, for {ingest.host} can be reached by other machines and datagrams,"
            f" syslog and GELF carry no token; or {closing}",
        )


def _closing(ingest: Ingest) -> str:
    """Return what closes all that asks for no token; empty when nothing of it is open."""
    ports = {"syslog_port": ingest.syslog_port, "gelf_port": ingest.gelf_port}
    opened = " and ".join(f"ingest.{name}" for name, port in ports.items() if port is not None)
    further = f"leave out {opened}" if opened else ""
    datagrams = "say ingest.udp.enabled: false" if ingest.udp.enabled else ""
    return " and ".join(filter(None, (datagrams, further)))
