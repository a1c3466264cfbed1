"""Lines packed into parcels and handed to one carrier in order, with a pause while it fails."""

from __future__ import annotations

import os
import time

from collections import Counter, deque
from typing import NamedTuple

from monitord.emit.carrier import Carrier, Later, Refused
from monitord.emit.envelope import Envelope


FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
# In each of two lanes, beside an open parcel: together less than 2 MB.
WAITING_BYTES = 720_896
KEY_BYTES = 16

# Why an event did not reach the daemon; the `reason` of monitord.emit.dropped.
UNREACHABLE = "unreachable"
REFUSED = "refused"
REJECTED = "rejected"


class Parcel(NamedTuple):
    """
    Lines closed for good, and the key they have with a carrier that takes one.

    It stays the same however often it is sent: whoever may have taken it once will know it again.
    """

    data: bytes
    events: int
    key: str = ""


class Lane:
    """
    Packs lines into parcels of at most `parcel_bytes`; one longer line travels alone. An `envelope`
    is put before each parcel, within the same bytes; it is for a carrier of datagrams alone.

    At most WAITING_BYTES wait for a carrier that fails, the oldest go first. Losses are added to
    `lost` by reason, `sent` counts the events handed over.
    """

    def __init__(
        self,
        carrier: Carrier,
        parcel_bytes: int,
        lost: Counter[str],
        envelope: Envelope | None = None,
    ) -> None:
        self.carrier = carrier
        self.sent = 0
        self.retry_at = 0.0
        self.line_bytes = parcel_bytes - (envelope.most_bytes if envelope is not None else 0)
        self._envelope = envelope
        self._lost = lost
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._sealed: deque[Parcel] = deque()
        self._sealed_bytes = 0
        self._pause_s = FIRST_PAUSE_S
        self._before = 0

    @property
    def empty(self) -> bool:
        return not self._open and not self._sealed

    def add(self, line: bytes) -> bool:
        """Pack the line; True when a parcel became full and waits for `push`."""
        full = self._open_bytes + len(line) > self.line_bytes and bool(self._open)
        if full:
            self.seal()
        self._open.append(line)
        self._open_bytes += len(line)
        return full

    def seal(self) -> None:
        """Close the open parcel, full or not."""
        if not self._open:
            return
        key = os.urandom(KEY_BYTES).hex() if self.carrier.keyed else ""
        parcel = Parcel(b"".join(self._open), len(self._open), key)
        self._open, self._open_bytes = [], 0
        self._sealed.append(parcel)
        self._sealed_bytes += len(parcel.data)
        while self._sealed_bytes > WAITING_BYTES and len(self._sealed) > 1:
            self._lost[UNREACHABLE] += self._take()

    def flush(self, now: float) -> None:
        """Send everything, the open parcel too; what cannot be sent goes on filling it."""
        if self.push(now):
            self.seal()
            self.push(now)

    def abandon(self) -> None:
        """Count what waits as lost: nobody will send it any more."""
        self.seal()
        while self._sealed:
            self._lost[UNREACHABLE] += self._take()

    def tell(self) -> None:
        """Send the envelope alone: what went before may be lost while nothing follows."""
        self.seal()
        if self._envelope is not None and self.sent:
            self._sealed.append(Parcel(b"", 0))

    def push(self, now: float) -> bool:
        """Send what is sealed; False when something still waits. `now` is monotonic seconds."""
        while self._sealed and now >= self.retry_at:
            try:
                rejected = self.carrier.send(self._data(), self._sealed[0].key)
            except Later as later:
                self._put_off(later, now)
                return False
            except Refused:
                self._lost[REFUSED] += self._take()
            else:
                self._before = self._take()
                self.sent += self._before
                self._lost[REJECTED] += rejected
                self._pause_s = FIRST_PAUSE_S
        return not self._sealed

    def _put_off(self, later: Later, now: float) -> None:
        if later.before:
            self._lost[UNREACHABLE] += self._before
            self.sent -= self._before
        self._before = 0
        # What the daemon asks for begins with its answer, which may have been long in coming.
        self.retry_at = max(now + self._pause_s, time.monotonic() + later.wait_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def _data(self) -> bytes:
        parcel = self._sealed[0]
        if self._envelope is None:
            return parcel.data
        # Made as late as this: what was dropped here is told otherwise and leaves no gap. It makes
        # two sendings differ, so no parcel with a key has one: the daemon binds a key to the bytes.
        return self._envelope.line(self.sent, parcel.events) + parcel.data

    def _take(self) -> int:
        parcel = self._sealed.popleft()
        self._sealed_bytes -= len(parcel.data)
        return parcel.events
