"""The line before the events of a datagram, by which the daemon knows what was lost on the way."""

from __future__ import annotations

import json
import os
import time

from monitord.emit.plain import text


# The daemon's label of a loss: it need not tell apart what only differs beyond this.
SERVICE_CHARS = 100
# The largest number the daemon takes.
MOST = 2**53 - 1


class Envelope:
    """
    Says who sends, how many events it sent before, and how many come now.

    The id belongs to this object, so a process has another one after a fork, and for each target.
    """

    def __init__(self, service: str) -> None:
        name = json.dumps(text(service, SERVICE_CHARS), ensure_ascii=False)
        self._head = f'{{"type":"sender","id":"{os.urandom(8).hex()}","service":{name}'
        self._began = 0.0
        self.most_bytes = len(self._line(MOST, MOST, MOST))

    def line(self, sequence: int, events: int) -> bytes:
        """Return the line of `events` events that follow `sequence` others."""
        now = time.monotonic()
        if not sequence:
            self._began = now
        return self._line(int((now - self._began) * 1000), sequence, events)

    def _line(self, age_ms: int, sequence: int, events: int) -> bytes:
        numbers = f'"age_ms":{age_ms},"sequence":{sequence},"events":{events}'
        return f"{self._head},{numbers}}}\n".encode("utf-8", "replace")
