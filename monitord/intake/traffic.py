"""Requests of the last 6 hours: by ten seconds while they are recent, by the minute all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitord.intake.ring import EDGE_SECONDS, Ring, Rows
from monitord.latency import RequestStats
from monitord.model import Request


SLOT_SECONDS = EDGE_SECONDS
RECENT_SECONDS = 900
MINUTE_SECONDS = 60
SPAN_SECONDS = 21_600

# A dozen numpy calls cost as much as counting three hundred requests: they are gathered until there
# are so many, or until they are so large, as they arrived. One fold takes a third of a millisecond.
GATHERED_ROWS = 2_000
GATHERED_BYTES = 1024 * 1024
# The columns of so many rows stay in the processor's cache.
PIECE_ROWS = 4_000


class Traffic:
    """
    Two rings that count the same requests; a question reads the finest that reaches back so far.

    A request from the future counts as one of now, one older than 6 hours is left to the store.
    """

    def __init__(self, started: float) -> None:
        self._recent = Ring(SLOT_SECONDS, RECENT_SECONDS, started)
        self._minutes = Ring(MINUTE_SECONDS, SPAN_SECONDS, started)
        self._gathered: list[tuple[float, Sequence[Request]]] = []
        self._rows = 0
        self._bytes = 0

    def add(self, requests: Sequence[Request], now: float, size_bytes: int = 0) -> None:
        """Take these requests, which arrived as so many bytes; they are counted by and by."""
        if self._gathered and now < self._gathered[-1][0]:
            # The clock was set back: what came before is of a time that is yet to come.
            self._fold()
        self._gathered.append((now, requests))
        self._rows += len(requests)
        self._bytes += size_bytes
        if self._rows >= GATHERED_ROWS or self._bytes >= GATHERED_BYTES:
            self._fold()

    def _fold(self) -> None:
        """Count what was gathered."""
        if not self._gathered:
            return
        gathered, self._gathered, self._rows, self._bytes = self._gathered, [], 0, 0
        requests = [request for _, batch in gathered for request in batch]
        now = gathered[-1][0]
        latest = np.repeat([at for at, _ in gathered], [len(batch) for _, batch in gathered])
        for at in range(0, len(requests), PIECE_ROWS):
            rows = Rows.of(requests[at : at + PIECE_ROWS], latest[at : at + PIECE_ROWS])
            self._recent.count(rows, now)
            self._minutes.count(rows, now)

    def stats(self, seconds: float, now: float) -> RequestStats | None:
        """
        Return what the last `seconds` held, at most 6 hours; None when there was no request.

        The window begins at most ten seconds earlier than asked, one of more than 15 minutes at
        most a minute. The answer's `seconds` says how long it is.
        """
        self._fold()
        ring = self._recent if seconds <= RECENT_SECONDS else self._minutes
        return ring.stats(min(seconds, SPAN_SECONDS), now)

    def points(
        self, start: float, step: float, count: int, now: float
    ) -> list[RequestStats | None]:
        """
        Return the same for `count` steps of `step` seconds from `start` (Unix seconds).

        Steps of less than a minute are known of the last 15 minutes only.
        """
        self._fold()
        recent = step < MINUTE_SECONDS or start >= self._recent.since(now)
        ring = self._recent if recent else self._minutes
        return ring.points(start, step, count, now)
