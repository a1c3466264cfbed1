"""From waiting events to the daemon: what the emitter's thread does each turn. No thread here."""

from __future__ import annotations

import contextlib
import os
import threading
import time

from collections import Counter, deque

from monitord.emit.address import Address, Target
from monitord.emit.carrier import Datagrams, Later, Posts, Refused
from monitord.emit.encode import Encoder, Event
from monitord.emit.envelope import Envelope
from monitord.emit.lane import Lane


POST_BYTES = 262_144

BUFFER_FULL = "buffer_full"
INVALID = "invalid"

# The first item of what is no event but a question: is everything before it sent?
MARK = None


class Asked:
    """Who waits to hear, until `deadline`, whether all was sent; with `once` of one attempt."""

    def __init__(self, once: bool, deadline: float) -> None:
        self.once = once
        self.deadline = deadline
        self.sent = False
        self.told = threading.Event()

    def tell(self, sent: bool) -> None:
        self.sent = sent
        self.told.set()


class Sender:
    """
    Drains a buffer towards one address. Used by one thread at a time.

    While the daemon cannot be reached the newest events wait, encoded, in lanes that are bounded
    in bytes; the oldest are counted as lost.
    """

    def __init__(
        self,
        target: Target,
        address: Address,
        lost: Counter[str],
        told: Counter[str],
        report_every_s: float,
    ) -> None:
        """
        `lost` is the emitter's count by reason, `told` what a daemon has been told of it; both
        outlive this sender.
        """
        self.target = target
        self._lost = lost
        self._told = told
        self._every_s = report_every_s
        self._report_at = time.monotonic() + report_every_s
        self._pid = str(os.getpid())
        self._encoder = Encoder(target.service)
        self._posts = Posts(address, target.token)
        self._large = self._main = Lane(self._posts, POST_BYTES, self._lost)
        # A post is acknowledged, and needs none; it must also be the same each time it is sent.
        self._envelope = Envelope(target.service)
        if address.scheme == "udp":
            size = address.datagram_bytes
            self._main = Lane(Datagrams(address), size, self._lost, self._envelope)
        if target.version:
            since, group_since = target.since, target.group_since
            mark = (Encoder.deploy, since, target.service, target.version, group_since)
            self._write(mark, acknowledged=True)

    def turn(self, buffer: deque[Event], now: float) -> None:
        """Send what waits, as far as the daemon takes it. `now` is monotonic seconds."""
        if self._main.push(now) and now >= self._report_at:
            self._report()
            self._report_at = now + self._every_s
        marks = self._drain(buffer, now)
        self._flush(now)
        sent = self._main.empty and self._large.empty
        for mark in reversed(marks):
            if sent or mark.once:
                mark.tell(sent)
            elif now < mark.deadline:
                buffer.appendleft((MARK, mark))

    def finish(self, buffer: deque[Event], deadline: float) -> None:
        """
        Try once to send everything, however long it has failed, by `deadline`; then close.

        What is left counts as lost, though of a post without an answer nobody knows.
        """
        now = time.monotonic()
        self._posts.timeout_s = max(0.05, deadline - now)
        self._main.retry_at = self._large.retry_at = 0.0
        self.turn(buffer, now)
        if self._main.empty and self._large.empty:
            self._report_at_last(now)
        self._conclude()
        self._main.abandon()
        self._large.abandon()
        self.close()

    def close(self) -> None:
        """Close the sockets; what was not sent stays unsent."""
        self._main.carrier.close()
        self._large.carrier.close()

    def _drain(self, buffer: deque[Event], now: float) -> list[Asked]:
        marks: list[Asked] = []
        for _ in range(len(buffer)):
            event = buffer.popleft()
            if event[0] is MARK:
                marks.append(event[1])
            elif self._write(event):
                self._main.push(now)
        return marks

    def _write(self, event: Event, acknowledged: bool = False) -> bool:
        """Encode the event into its lane; True when the main lane has a full parcel."""
        try:
            line = self._encoder.line(event)
        except Exception:  # noqa: BLE001 - an application's odd value costs that one event
            self._lost[INVALID] += 1
            return False
        if acknowledged or len(line) > self._main.line_bytes:
            return self._large.add(line) and self._large is self._main
        return self._main.add(line)

    def _flush(self, now: float) -> None:
        self._main.flush(now)
        self._large.flush(now)

    def _report_at_last(self, now: float) -> None:
        """Tell of losses once more; who cannot be told now leaves it to another sender."""
        told = self._told.copy()
        self._report()
        self._flush(now)
        if not self._large.empty:
            self._told.clear()
            self._told.update(told)

    def _report(self) -> None:
        """
        Tell of losses, by HTTP so that it is acknowledged, and how much was sent in datagrams.

        The latter by another datagram: if it is lost as well, the next one will tell.
        """
        at = time.time()
        for reason, count in list(self._lost.items()):
            if count > self._told[reason]:
                attributes = {"pid": self._pid, "reason": reason}
                name, more = "monitord.emit.dropped", count - self._told[reason]
                self._told[reason] = count
                event = (Encoder.metric, at, name, "counter", more, "1", attributes, None)
                self._write(event, acknowledged=True)
        self._main.tell()

    def _conclude(self) -> None:
        """Tell by HTTP how much was sent in datagrams: no later one could tell of the last."""
        if self._main is self._large or not (self._main.sent and self._main.empty):
            return
        if self._large.empty:
            with contextlib.suppress(Later, Refused):
                self._posts.send(self._envelope.line(self._main.sent, 0))
