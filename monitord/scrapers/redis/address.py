"""Where a Redis server listens and who monitord is there, out of the target's address."""

from __future__ import annotations

import ssl

from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

from monitord.errors import SettingsError
from monitord.settings import RedisTarget, Secret


PORT = 6379
SCHEMES = ("redis", "rediss", "unix")
# As redis-py names them; `db` says nothing to a monitor.
OPTIONS = ("db", "ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_keyfile")


class Address(Struct, frozen=True, kw_only=True):
    """Host and port, or the path of a unix socket. Without a `user`, the server's `default`."""

    host: str = ""
    port: int = PORT
    path: str = ""
    tls: ssl.SSLContext | None = None
    user: str = ""
    password: Secret = Secret()

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"


def parse(target: RedisTarget) -> Address:
    """
    Return the address of a target; certificates are read here.

    Raises SettingsError: the address or its certificates cannot be used; no secret is repeated.
    """
    where = f"targets.redis.{target.name}.url"
    try:
        url = urlsplit(target.url.reveal())
        port = url.port
    except ValueError:
        raise SettingsError(f"{where}: expected redis://HOST:PORT, found another form") from None
    if url.scheme not in SCHEMES:
        raise SettingsError(f"{where}: expected one of {', '.join(SCHEMES)}, found {url.scheme!r}")
    options = dict(parse_qsl(url.query))
    for name in options:
        if name not in OPTIONS:
            raise SettingsError(
                f"{where}: unknown option {name!r}; known options are {', '.join(OPTIONS)}"
            )
    return Address(
        host=url.hostname or "localhost",
        port=PORT if port is None else port,
        path=unquote(url.path) if url.scheme == "unix" else "",
        tls=_tls(options, where) if url.scheme == "rediss" else None,
        user=unquote(url.username or ""),
        password=_password(url, target),
    )


def _password(url: SplitResult, target: RedisTarget) -> Secret:
    return Secret(unquote(url.password)) if url.password else target.password


def _tls(options: dict[str, str], where: str) -> ssl.SSLContext:
    check = options.get("ssl_cert_reqs", "required")
    if check not in ("required", "none"):
        raise SettingsError(f"{where}: ssl_cert_reqs: expected required or none, found {check!r}")
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:
        text = error.strerror or error
        raise SettingsError(f"{where}: its certificates cannot be read: {text}") from error
    if check == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
