"""One number for the same exception wherever it happens again."""

from __future__ import annotations

import hashlib

from monitord.model import ErrorInfo


def fingerprint(error: ErrorInfo) -> int:
    """
    Return a signed 64-bit number for an exception's type and the functions it passed in our code.

    Line numbers and messages are left out: a release moves the ones, every request changes the
    others. Without a frame in the application's own code all frames count.
    """
    own = [frame for frame in error.frames if frame.in_app] or error.frames
    parts = [error.type, *(f"{frame.path}\0{frame.function}" for frame in own)]
    data = "\0\0".join(parts).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=True)
