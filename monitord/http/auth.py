"""Who may do what: bearer tokens and signed cookies, read and admin. Decides; sends nothing."""

from __future__ import annotations

import enum
import hashlib
import hmac
import math
import time

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from monitord.http.sessions import Session, Sessions
from monitord.http.throttle import Throttle
from monitord.settings import Secret, Web


COOKIE = "monitord_session"


class Scope(enum.IntEnum):
    """What a route asks for, and what a caller may; each holds those before it."""

    OPEN = 0
    READ = 1
    ADMIN = 2


class Identity(Struct, frozen=True):
    """Who a caller turned out to be. Only `bearer` is no authority a browser adds by itself."""

    scope: Scope
    via: Literal["nothing", "bearer", "cookie"]
    session: Session | None = None


class Throttled(Exception):
    """Too many wrong tokens came from this address; `seconds` says when to try again."""

    def __init__(self, seconds: float) -> None:
        self.seconds = math.ceil(seconds)
        super().__init__(f"too many wrong tokens; try again in {self.seconds} s")


class Headers(Protocol):
    """The part of a multidict that is read here."""

    def getall(self, key: str, default: Sequence[str], /) -> Sequence[str]: ...


class Gate:
    """
    Knows the tokens, as digests.

    Without any token everybody may do everything: the settings allow that on loopback only, or
    when told so by `insecure`.
    """

    def __init__(
        self,
        web: Web,
        key: bytes,
        now: Callable[[], float] = time.time,
        throttle: Throttle | None = None,
    ) -> None:
        self._digests = [(_digest(t), Scope.READ) for t in web.read_tokens]
        self._digests += [(_digest(t), Scope.ADMIN) for t in web.admin_tokens]
        self._sessions = Sessions(key, web.session, now)
        self._throttle = throttle or Throttle()
        names = ((self._sessions.name_of(digest), scope) for digest, scope in self._digests)
        self._scopes: dict[str, Scope] = {}
        for name, scope in names:
            self._scopes[name] = max(scope, self._scopes.get(name, scope))

    @property
    def closed(self) -> bool:
        """Whether a token is needed at all."""
        return bool(self._digests)

    def identify(self, headers: Headers, cookies: Mapping[str, str], address: str) -> Identity:
        """
        Return who calls; a header counts before a cookie, and a wrong one is not mended by it.

        Raises Throttled: a token was shown from an address with too many wrong ones.
        """
        if not self.closed:
            return Identity(Scope.ADMIN, "nothing")
        sent = headers.getall("Authorization", ())
        if sent:
            return self._bearer(sent, address)
        session = self._sessions.read(cookies.get(COOKIE, ""))
        scope = self._scopes.get(session.token) if session else None
        if session is None or scope is None:
            return Identity(Scope.OPEN, "nothing")
        return Identity(scope, "cookie", session)

    def still(self, identity: Identity) -> bool:
        """Say whether the session it came with counts on: not expired, not logged out."""
        return identity.session is None or self._sessions.is_on(identity.session)

    def log_in(self, token: str, address: str) -> str | None:
        """Return the cookie value of a new session; None: a wrong token. Raises Throttled."""
        digest = self._check(token.encode("utf-8", "surrogateescape"), address)
        return None if digest is None else self._sessions.begin(digest)

    def log_out(self, identity: Identity) -> None:
        """End the caller's session, if it has one."""
        if identity.session is not None:
            self._sessions.end(identity.session)

    def _bearer(self, sent: Sequence[str], address: str) -> Identity:
        scheme, _, token = sent[0].partition(" ")
        if len(sent) > 1 or scheme.lower() != "bearer":
            return Identity(Scope.OPEN, "nothing")
        digest = self._check(token.strip().encode("utf-8", "surrogateescape"), address)
        if digest is None:
            return Identity(Scope.OPEN, "nothing")
        return Identity(self._scopes[self._sessions.name_of(digest)], "bearer")

    def _check(self, token: bytes, address: str) -> bytes | None:
        """Return the token's digest if it is one of ours. Each is compared, whichever it is."""
        seconds = self._throttle.wait(address)
        if seconds:
            raise Throttled(seconds)
        shown = hashlib.sha256(token).digest()
        found = [digest for digest, _ in self._digests if hmac.compare_digest(digest, shown)]
        if not found:
            self._throttle.failed(address)
            return None
        return found[0]


def _digest(secret: Secret) -> bytes:
    return hashlib.sha256(secret.reveal().encode()).digest()


def local_path(text: str) -> str:
    """Return the path if it leads nowhere but to our own pages, else the first page."""
    safe = text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if safe and text.isascii() and text.isprintable() else "/"
