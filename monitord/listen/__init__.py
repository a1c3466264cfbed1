"""What both HTTP listeners share: who may bind, who may speak, and deadlines aiohttp lacks."""

from monitord.listen.body import read_body
from monitord.listen.hosts import allowed_host, check_bind, is_loopback, local_port
from monitord.listen.server import HttpServer
from monitord.listen.sockets import bound_sockets, bound_unix_socket, tls_context
from monitord.listen.tokens import TokenSet, bearer


__all__ = [
    "HttpServer",
    "TokenSet",
    "allowed_host",
    "bearer",
    "bound_sockets",
    "bound_unix_socket",
    "check_bind",
    "is_loopback",
    "local_port",
    "read_body",
    "tls_context",
]
