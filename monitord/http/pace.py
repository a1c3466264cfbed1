"""How a live stream is kept open, and when a client is given up."""

from __future__ import annotations

from msgspec import Struct


class Pace(Struct, frozen=True, kw_only=True):
    """
    Times of a live stream, in seconds.

    A comment is sent every `ping_seconds`, which no proxy takes for silence. A client that takes
    nothing for `stalled_seconds` is let go; it comes back with the id of its last line.
    """

    ping_seconds: float = 10.0
    stalled_seconds: float = 12.0
