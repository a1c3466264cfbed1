"""Requests of the last hour, counted in slots of ten seconds. Memory only."""

from __future__ import annotations

import math

from collections.abc import Sequence

import numpy as np

from numpy.typing import NDArray

from monitord.histogram import BUCKETS, Histogram, index
from monitord.latency import RequestStats, stats
from monitord.model import Request


SLOT_SECONDS = 10
SPAN_SECONDS = 3_600
# One more than an hour has, because the first slot of a window is seldom cut at its edge.
SLOTS = SPAN_SECONDS // SLOT_SECONDS + 1

# Columns of the totals beside each slot's histogram.
ERRORS, CLIENT_ERRORS, SUM_MS, MAX_MS = range(4)


class Traffic:
    """
    A ring of slots: a dense histogram (8 KiB) and four totals each.

    A request counts in the slot of its own time; one from the future counts in the newest slot,
    one older than the ring is left to the store.
    """

    def __init__(self, started: float) -> None:
        self._first = int(started // SLOT_SECONDS)
        self._slots = np.full(SLOTS, -1, np.int64)
        self._counts = np.zeros((SLOTS, BUCKETS), np.uint32)
        self._totals = np.zeros((SLOTS, 4))

    def add(self, requests: Sequence[Request], now: float) -> None:
        """Count these requests; the work grows with the slots touched, not with a Python loop."""
        size = len(requests)
        newest = int(now // SLOT_SECONDS)
        times = np.fromiter((request.time for request in requests), np.float64, size)
        slots = np.minimum((times // SLOT_SECONDS).astype(np.int64), newest)
        ms = np.fromiter((request.duration_ms for request in requests), np.float64, size)
        status = np.fromiter((request.status for request in requests), np.int64, size)
        raised = np.fromiter((request.error is not None for request in requests), np.bool_, size)
        failed = (status >= 500) | raised
        refused = (status >= 400) & ~failed
        first, last = int(slots.min()), int(slots.max())
        for slot in [first] if first == last else np.unique(slots).tolist():
            if slot > newest - SLOTS:
                chosen = slots == slot
                self._count(slot, ms[chosen], failed[chosen], refused[chosen])

    def _count(
        self,
        slot: int,
        ms: NDArray[np.float64],
        failed: NDArray[np.bool_],
        refused: NDArray[np.bool_],
    ) -> None:
        place = slot % SLOTS
        if self._slots[place] != slot:
            self._slots[place] = slot
            self._counts[place] = 0
            self._totals[place] = 0
        np.add.at(self._counts[place], index(ms), 1)
        totals = self._totals[place]
        totals[ERRORS] += np.count_nonzero(failed)
        totals[CLIENT_ERRORS] += np.count_nonzero(refused)
        totals[SUM_MS] += ms.sum()
        totals[MAX_MS] = max(totals[MAX_MS], ms.max())

    def stats(self, seconds: float, now: float) -> RequestStats | None:
        """
        Return what the last `seconds` held, at most an hour; None when there was no request.

        The window begins at a slot's edge, at most ten seconds earlier than asked. The answer's
        `seconds` says how long it is; what lies before this ring's start and its earliest request
        is no part of it.
        """
        newest = int(now // SLOT_SECONDS)
        oldest = int((now - min(seconds, SPAN_SECONDS)) // SLOT_SECONDS)
        chosen = (self._slots >= oldest) & (self._slots <= newest)
        if not chosen.any():
            return None
        oldest = max(oldest, min(self._first, int(self._slots[chosen].min())))
        return self._sum(chosen, max(now - oldest * SLOT_SECONDS, 1.0))

    def points(
        self, start: float, step: float, count: int, now: float
    ) -> list[RequestStats | None]:
        """
        Return the same for `count` steps of `step` seconds from `start` (Unix seconds).

        A slot counts in the step it begins in; `seconds` of an answer is the time its slots cover.
        """
        newest = int(now // SLOT_SECONDS)
        steps = np.floor((self._slots * SLOT_SECONDS - start) / step).astype(np.int64)
        steps[(self._slots <= newest - SLOTS) | (self._slots > newest)] = -1
        found: list[RequestStats | None] = [None] * count
        for place in np.unique(steps[(steps >= 0) & (steps < count)]).tolist():
            # The step's slots by number, from the first that begins in it to the next step's.
            begun = math.ceil((start + place * step) / SLOT_SECONDS)
            ended = math.ceil((start + (place + 1) * step) / SLOT_SECONDS)
            covered = min(ended * SLOT_SECONDS, now) - begun * SLOT_SECONDS
            found[place] = self._sum(steps == place, max(covered, 1.0))
        return found

    def _sum(self, chosen: NDArray[np.bool_], seconds: float) -> RequestStats:
        totals = self._totals[chosen]
        return stats(
            Histogram(self._counts[chosen].sum(axis=0, dtype=np.int64)),
            errors=int(totals[:, ERRORS].sum()),
            client_errors=int(totals[:, CLIENT_ERRORS].sum()),
            sum_ms=float(totals[:, SUM_MS].sum()),
            max_ms=float(totals[:, MAX_MS].max()),
            seconds=seconds,
        )
