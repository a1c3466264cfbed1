"""What each sender says it sent, held against what arrived: the rest was lost on the way."""

from __future__ import annotations

import time

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitord.ingest.envelope import Envelope
from monitord.telemetry import Telemetry


# How long a gap may be filled before it is a loss: longer than a full receive buffer takes to be
# read, for a count that is exposed cannot be taken back.
GRACE_SECONDS = 5.0
SENDERS = 1_000
# Open gaps of one sender; of more, the oldest counts at once.
GAPS = 256
# Labels of the counter; further services share the last.
SERVICES = 100
OVERFLOW = "__overflow__"


@dataclass(frozen=True, slots=True)
class _Gap:
    """Events from `start` up to `end`, which were overtaken at `seen_at`."""

    start: int
    end: int
    seen_at: float

    def without(self, start: int, end: int) -> Iterator[_Gap]:
        """Yield what is left of it when these have arrived."""
        if self.start < start:
            yield _Gap(self.start, min(self.end, start), self.seen_at)
        if end < self.end:
            yield _Gap(max(self.start, end), self.end, self.seen_at)


@dataclass(slots=True)
class _Account:
    """One sender: the number its next event has, and what is missing before it, oldest first."""

    lost: Any  # a child of the counter
    next: int
    heard_at: float
    gaps: list[_Gap] = field(default_factory=list)

    def take(self, start: int, end: int, now: float) -> None:
        """Note that the events from `start` up to `end` arrived; again, or late, is no harm."""
        self.heard_at = now
        if start > self.next:
            self.gaps.append(_Gap(self.next, start, now))
            if len(self.gaps) > GAPS:
                self.count(1)
        elif start < end and self.gaps:
            self.gaps = [left for gap in self.gaps for left in gap.without(start, end)]
        self.next = max(self.next, end)

    def settle(self, seen_until: float) -> None:
        """Count the gaps that were seen by then."""
        if self.gaps and self.gaps[0].seen_at <= seen_until:
            self.count(sum(gap.seen_at <= seen_until for gap in self.gaps))

    def count(self, oldest: int) -> None:
        self.lost.inc(sum(gap.end - gap.start for gap in self.gaps[:oldest]))
        del self.gaps[:oldest]


class Senders:
    """
    Counts, by service, the events that were sent while this was listening and never arrived.

    A gap counts when it is GRACE_SECONDS old and `settle` is called. Of a sender that began before
    this did, or was forgotten meanwhile, only what follows its first word is known: the count may
    be too small for that, never too large. The SENDERS heard last are remembered.
    """

    def __init__(self, telemetry: Telemetry, clock: Callable[[], float] = time.monotonic) -> None:
        self._lost = telemetry.lost
        self._clock = clock
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._services: set[str] = set()
        # Nobody is forgotten who began after this.
        self._complete_since = clock()

    def hear(self, envelopes: Sequence[Envelope]) -> None:
        """Take note of what arrived, in the order in which it did."""
        now = self._clock()
        for envelope in envelopes:
            account = self._accounts.get(envelope.id)
            if account is None:
                account = self._open(envelope, now)
            else:
                self._accounts.move_to_end(envelope.id)
            account.take(envelope.sequence, envelope.sequence + envelope.events, now)

    def settle(self) -> None:
        """Count as lost what has been missing for long enough."""
        seen_until = self._clock() - GRACE_SECONDS
        for account in self._accounts.values():
            account.settle(seen_until)

    def _open(self, envelope: Envelope, now: float) -> _Account:
        if len(self._accounts) >= SENDERS:
            self._forget()
        began = now - envelope.age_ms / 1000
        start = 0 if began >= self._complete_since else envelope.sequence
        account = _Account(self._lost.labels(self._label(envelope.service)), start, now)
        self._accounts[envelope.id] = account
        return account

    def _forget(self) -> None:
        """Forget who was silent for longest."""
        _, silent = self._accounts.popitem(last=False)
        silent.count(len(silent.gaps))
        # A datagram that took longer to come makes its sender look younger than it is.
        self._complete_since = max(self._complete_since, silent.heard_at + GRACE_SECONDS)

    def _label(self, service: str) -> str:
        if service not in self._services and len(self._services) >= SERVICES:
            return OVERFLOW
        self._services.add(service)
        return service
