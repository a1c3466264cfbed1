"""Text a target sent, made fit to be shown: one line, printable, short."""

from __future__ import annotations


LIMIT = 200


def one_line(text: object, limit: int = LIMIT) -> str:
    """Return at most `limit` characters; what is not printable becomes a blank."""
    plain = "".join(c if c.isprintable() else " " for c in str(text)[: 2 * limit])
    plain = " ".join(plain.split())
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"
