"""Requests counted in slots of one length, as far back as a ring of them reaches. Memory only."""

from __future__ import annotations

import math

from collections.abc import Sequence

import numpy as np

from msgspec import Struct
from numpy.typing import NDArray

from monitord.histogram import BUCKETS, Histogram, index
from monitord.latency import RequestStats, stats
from monitord.model import Request


# What a window can begin at, in whatever slots it is counted.
EDGE_SECONDS = 10

# Columns of the totals beside each slot's histogram. EDGE is that of its earliest request.
ERRORS, CLIENT_ERRORS, SUM_MS, MAX_MS, EDGE = range(5)
NOTHING = (0.0, 0.0, 0.0, 0.0, math.inf)

# A Python 1 would be converted for each row, which takes thirty times as long.
ONE = np.uint32(1)


class Rows(Struct, frozen=True):
    """Requests by column: Unix seconds (whole), durations, their buckets, and how they ended."""

    at: NDArray[np.int64]
    ms: NDArray[np.float64]
    buckets: NDArray[np.int64]
    failed: NDArray[np.bool_]
    refused: NDArray[np.bool_]

    @classmethod
    def of(cls, requests: Sequence[Request], latest: NDArray[np.float64]) -> Rows:
        """Return the columns; no request's time is taken for later than its `latest`."""
        size = len(requests)
        # From a list it is a third quicker than from a generator.
        times = np.fromiter([request.time for request in requests], np.float64, size)
        ms = np.fromiter([request.duration_ms for request in requests], np.float64, size)
        # An exception is as bad as a 500.
        codes = [request.status if request.error is None else 500 for request in requests]
        status = np.fromiter(codes, np.int64, size)
        failed = status >= 500
        at = np.minimum(times, latest).astype(np.int64)
        return cls(at, ms, index(ms), failed, (status >= 400) & ~failed)

    def only(self, chosen: NDArray[np.bool_]) -> Rows:
        """Return the chosen ones."""
        return Rows(
            self.at[chosen],
            self.ms[chosen],
            self.buckets[chosen],
            self.failed[chosen],
            self.refused[chosen],
        )


class Ring:
    """
    A ring of slots: a dense histogram (8 KiB) and five totals each.

    A request counts in the slot of its own time; one older than the ring is left to the store.
    """

    def __init__(self, slot_seconds: int, span_seconds: int, started: float) -> None:
        # One more than the span has: the first slot of a window is seldom cut at its edge.
        self._size = span_seconds // slot_seconds + 1
        self._seconds = slot_seconds
        self._first = started // EDGE_SECONDS * EDGE_SECONDS
        self._slots = np.full(self._size, -1, np.int64)
        self._counts = np.zeros((self._size, BUCKETS), np.uint32)
        self._totals = np.tile(NOTHING, (self._size, 1))

    def since(self, now: float) -> float:
        """Return where the oldest slot begins that the ring can hold now."""
        return (now // self._seconds - self._size + 1) * self._seconds

    def count(self, rows: Rows, now: float) -> None:
        """Count these rows, none later than `now`: however many slots, a handful of numpy calls."""
        slots = rows.at // self._seconds
        young = slots > int(now // self._seconds) - self._size
        if not young.all():
            rows, slots = rows.only(young), slots[young]
        places = slots % self._size
        self._renew(slots[self._slots[places] != slots])
        np.add.at(self._counts.reshape(-1), places * BUCKETS + rows.buckets, ONE)
        totals = self._totals
        np.add.at(totals[:, ERRORS], places, rows.failed.astype(np.float64))
        np.add.at(totals[:, CLIENT_ERRORS], places, rows.refused.astype(np.float64))
        np.add.at(totals[:, SUM_MS], places, rows.ms)
        np.maximum.at(totals[:, MAX_MS], places, rows.ms)
        edges = (rows.at // EDGE_SECONDS * EDGE_SECONDS).astype(np.float64)
        np.minimum.at(totals[:, EDGE], places, edges)

    def _renew(self, slots: NDArray[np.int64]) -> None:
        """Begin these slots in place of those a ring's length older."""
        if slots.size:
            begun = np.unique(slots)
            places = begun % self._size
            self._slots[places] = begun
            self._counts[places] = 0
            self._totals[places] = NOTHING

    def stats(self, seconds: float, now: float) -> RequestStats | None:
        """
        Return what the last `seconds` held; None when there was no request.

        The window begins at a slot's edge, at most a slot earlier than asked. The answer's
        `seconds` says how long it is; what lies before this ring's start and its earliest request
        is no part of it.
        """
        newest = int(now // self._seconds)
        oldest = int((now - seconds) // self._seconds)
        chosen = (self._slots >= oldest) & (self._slots <= newest)
        if not chosen.any():
            return None
        known = min(self._first, float(self._totals[chosen, EDGE].min()))
        begun = max(float(oldest * self._seconds), known)
        return self._sum(chosen, max(now - begun, 1.0))

    def points(
        self, start: float, step: float, count: int, now: float
    ) -> list[RequestStats | None]:
        """
        Return the same for `count` steps of `step` seconds from `start` (Unix seconds).

        A slot counts in the step it begins in; `seconds` of an answer is the time its slots cover.
        """
        newest = int(now // self._seconds)
        steps = np.floor((self._slots * self._seconds - start) / step).astype(np.int64)
        steps[(self._slots <= newest - self._size) | (self._slots > newest)] = -1
        found: list[RequestStats | None] = [None] * count
        for place in np.unique(steps[(steps >= 0) & (steps < count)]).tolist():
            # The step's slots by number, from the first that begins in it to the next step's.
            begun = math.ceil((start + place * step) / self._seconds)
            ended = math.ceil((start + (place + 1) * step) / self._seconds)
            covered = min(ended * self._seconds, now) - begun * self._seconds
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
