"""
The browser's session: a signed cookie value, and the key it is signed with. No server-side table.

A value is `expires.nonce.token.mac`: Unix seconds, a random name, which token was shown at log-in,
and an HMAC-SHA256 of these. Taking a token out of the settings ends the sessions it began.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import stat

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from monitord.errors import MonitordError


KEY_BYTES = 32
KEY_FILE = "web-session.key"
REVOKED_LIMIT = 10_000

_VALUE = re.compile(r"(\d{1,12})\.([0-9a-f]{32})\.([0-9a-f]{16})\.([0-9a-f]{64})", re.ASCII)


class Session(Struct, frozen=True):
    """A log-in: until when it counts (Unix seconds), its name, and its token's name."""

    expires: float
    nonce: str
    token: str


class Sessions:
    """Signs and reads cookie values; remembers which were logged out."""

    def __init__(self, key: bytes, seconds: float, now: Callable[[], float]) -> None:
        self._key = key
        self._seconds = seconds
        self._now = now
        self._revoked: OrderedDict[str, None] = OrderedDict()

    def name_of(self, digest: bytes) -> str:
        """Return a name for a token, from its digest; the name tells nothing of the token."""
        return hmac.new(self._key, b"token\0" + digest, hashlib.sha256).hexdigest()[:16]

    def begin(self, digest: bytes) -> str:
        """Return the cookie value of a new session."""
        expires = f"{self._now() + self._seconds:.0f}"
        text = f"{expires}.{secrets.token_hex(16)}.{self.name_of(digest)}"
        return f"{text}.{self._mac(text)}"

    def read(self, value: str) -> Session | None:
        """Return the session, or None: not ours, changed, expired or logged out."""
        match = _VALUE.fullmatch(value)
        if match is None:
            return None
        expires, nonce, token, mac = match.groups()
        if not hmac.compare_digest(mac, self._mac(f"{expires}.{nonce}.{token}")):
            return None
        session = Session(float(expires), nonce, token)
        return session if self.is_on(session) else None

    def is_on(self, session: Session) -> bool:
        """Say whether the session counts: not expired, not logged out."""
        return session.expires > self._now() and session.nonce not in self._revoked

    def end(self, session: Session) -> None:
        """Let the session count no more; a copy of its cookie neither, until monitord restarts."""
        self._revoked[session.nonce] = None
        if len(self._revoked) > REVOKED_LIMIT:
            self._revoked.popitem(last=False)

    def _mac(self, text: str) -> str:
        return hmac.new(self._key, b"session\0" + text.encode("ascii"), hashlib.sha256).hexdigest()


def session_key(state_dir: Path) -> bytes:
    """
    Return the key, which is made on first use and readable by nobody else.

    A key that others could have read, or of a wrong length, is replaced: that ends all sessions.
    Raises MonitordError: the state folder cannot be used.
    """
    path = state_dir / KEY_FILE
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _read(path) or _make(path)
    except OSError as error:
        raise MonitordError(f"{path}: cannot be used: {error.strerror or error}") from error


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(file.fileno())
        key = file.read(KEY_BYTES + 1)
    private = stat.S_ISREG(mode.st_mode) and not mode.st_mode & 0o077
    return key if private and len(key) == KEY_BYTES else None


def _make(path: Path) -> bytes:
    """Write a new key under another name and put it in place, so that no reader sees half of it."""
    key = secrets.token_bytes(KEY_BYTES)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    return key
