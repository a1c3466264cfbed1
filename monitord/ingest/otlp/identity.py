"""What tells a series from every other: a digest of all it stands under, taken step by step."""

from __future__ import annotations

import hashlib


def digest_of(*parts: bytes) -> hashlib.blake2b:
    """Return the digest of these parts, in this order."""
    return extended(hashlib.blake2b(digest_size=16), *parts)


def extended(digest: hashlib.blake2b, *parts: bytes) -> hashlib.blake2b:
    """Return the digest with more parts; the one given stays as it is, for others to begin with."""
    found = digest.copy()
    # With its length before it no part can run into the next.
    found.update(b"".join([b"%d:%b" % (len(part), part) for part in parts]))
    return found
