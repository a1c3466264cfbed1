"""Lines packed into parcels and handed to one carrier in order, with a pause while it fails."""

from __future__ import annotations

from collections import Counter, deque

from monitord.emit.carrier import Carrier, Later, Refused
from monitord.emit.envelope import Envelope


FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
WAITING_BYTES = 1_048_576

# Why an event did not reach the daemon; the `reason` of monitord.emit.dropped.
UNREACHABLE = "unreachable"
REFUSED = "refused"
REJECTED = "rejected"


class Lane:
    """
    Packs lines into parcels of at most `parcel_bytes`; one longer line travels alone. An `envelope`
    is put before each parcel, within the same bytes.

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
        self._sealed: deque[tuple[bytes, int]] = deque()
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
        parcel = (b"".join(self._open), len(self._open))
        self._open, self._open_bytes = [], 0
        self._sealed.append(parcel)
        self._sealed_bytes += len(parcel[0])
        while self._sealed_bytes > WAITING_BYTES and len(self._sealed) > 1:
            self._lost[UNREACHABLE] += self._take()

    def tell(self) -> None:
        """Send the envelope alone: what went before may be lost while nothing follows."""
        self.seal()
        if self._envelope is not None and self.sent:
            self._sealed.append((b"", 0))

    def push(self, now: float) -> bool:
        """Send what is sealed; False when something still waits. `now` is monotonic seconds."""
        while self._sealed and now >= self.retry_at:
            try:
                rejected = self.carrier.send(self._parcel())
            except Later as later:
                if later.before:
                    self._lost[UNREACHABLE] += self._before
                    self.sent -= self._before
                self._before = 0
                self.retry_at = now + self._pause_s
                self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
                return False
            except Refused:
                self._lost[REFUSED] += self._take()
            else:
                self._before = self._take()
                self.sent += self._before
                self._lost[REJECTED] += rejected
                self._pause_s = FIRST_PAUSE_S
        return not self._sealed

    def _parcel(self) -> bytes:
        data, events = self._sealed[0]
        # Made as late as this: what was dropped here is told otherwise and leaves no gap.
        return data if self._envelope is None else self._envelope.line(self.sent, events) + data

    def _take(self) -> int:
        data, events = self._sealed.popleft()
        self._sealed_bytes -= len(data)
        return events
