"""Who may bind where, and which Host headers name a listener. Text in, verdict out."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

from aiohttp import web

from monitord.errors import SettingsError


# Asked of the Host header of every request, which is nearly always the same.
@lru_cache(maxsize=1_024)
def is_loopback(host: str) -> bool:
    """Say whether *host*, as written in the settings, can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(host: str, has_token: bool, insecure: bool, key: str = "web") -> None:
    """
    Refuse an address others can reach while nothing asks for a token.

    `key` is the section of the settings to name. Raises SettingsError.
    """
    if is_loopback(host) or has_token or insecure:
        return
    tokens = "ingest.tokens" if key == "ingest" else f"{key}.read_tokens"
    raise SettingsError(
        f"{key}.host: {host or 'every address'} can be reached by other machines, which needs"
        f" {tokens}; set a token, or bind to 127.0.0.1, or say insecure: true"
    )


def allowed_host(header: str | None, names: Iterable[str], port: int) -> bool:
    """
    Say whether a Host header names this listener (the guard against DNS rebinding).

    A loopback literal must carry the listener's own port. A configured name with a port must match
    both; one without a port matches any, since a proxy may serve it on another.
    """
    if header is None or (spoken := _host_and_port(header)) is None:
        return False
    name, spoken_port = spoken
    if is_loopback(name) and (spoken_port == str(port) or (not spoken_port and port in (80, 443))):
        return True
    for allowed in names:
        known = _host_and_port(allowed)
        if known is not None and known[0] == name and known[1] in ("", spoken_port):
            return True
    return False


def _host_and_port(text: str) -> tuple[str, str] | None:
    """Split `name[:port]` or `[v6][:port]`; None when it is neither. Names are compared lower."""
    text = text.strip().lower()
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return None
        port = rest[1:]
    elif text.count(":") > 1:  # an IPv6 address as the settings may spell it
        name, port = text, ""
    else:
        name, _, port = text.partition(":")
    name = name.removesuffix(".")
    if not name or (port and not (port.isascii() and port.isdigit())):
        return None
    return name, port


def local_port(request: web.BaseRequest) -> int:
    """Return the port the request came in on; 0 when its connection is already gone."""
    address = request.get_extra_info("sockname")
    return int(address[1]) if isinstance(address, tuple) else 0
