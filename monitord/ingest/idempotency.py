"""A sender's name for one body: what it may be, and what it is known by in the store."""

from __future__ import annotations

import hashlib

from aiohttp import web


HEADER = "Idempotency-Key"
# What is kept is longer by the digest: model.IdempotencyKey has room for both.
KEY_CHARACTERS = 200
DIGEST_BYTES = 16


def idempotency_key(request: web.Request) -> str:
    """Return the header's value, empty without one. Raises HTTPBadRequest."""
    key = request.headers.get(HEADER, "")
    if len(key) > KEY_CHARACTERS or not key.isascii() or not key.isprintable():
        raise web.HTTPBadRequest(
            text=f"{HEADER}: expected at most {KEY_CHARACTERS} printable ASCII characters"
        )
    return key


def bound(key: str, body: bytes) -> str:
    """
    Return the key and what it was given to: of two bodies that have both alike one is stored.

    A key that comes again with another body is a sender's mistake, which must not cost its events.
    """
    if not key:
        return ""
    return f"{key} {hashlib.blake2b(body, digest_size=DIGEST_BYTES).hexdigest()}"
