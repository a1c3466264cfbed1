"""What each cumulative series had reached, to tell what its next point adds."""

from __future__ import annotations

import threading

from collections import OrderedDict
from dataclasses import dataclass, replace

from monitord.ingest.otlp.tally import Tally


# Series remembered, and the counts in all of them: some 100 MB at most.
SERIES = 50_000
COUNTS = 1_000_000
# A series that was silent for so long is forgotten.
EXPIRY_SECONDS = 6 * 3_600.0
# Points that do not fall, after one that did, until a series without a start is one again.
STEADY = 5


@dataclass(slots=True)
class _Reached:
    """
    The last point of a series: what was counted, as of when, and when it was heard.

    While any are `due`, that many points more that must not fall, the series may be two.
    """

    tally: Tally
    start_ns: int
    at_ns: int
    heard_at: float
    due: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What a point added to its series."""

    key: bytes
    added: Tally


class Totals:
    """
    Remembers cumulative series, those heard last; any thread may ask.

    Nothing that began after `since_ns` was ever forgotten: the first point of such a series
    counts whole. Of any other, what it had counted before is not known, and is not guessed.
    """

    def __init__(self, since_ns: int) -> None:
        self._since_ns = since_ns
        self._series: OrderedDict[bytes, _Reached] = OrderedDict()
        self._counts = 0
        self._lock = threading.Lock()

    def advance(
        self, key: bytes, start_ns: int, at_ns: int, tally: Tally, now: float
    ) -> Change | None:
        """
        Return what the point adds to its series; None where that is not known.

        A point before the last one adds nothing: the last one has counted it. Without a start,
        which is 0 then, one that falls may be another process's: until STEADY more have not
        fallen, what lies between two of them is nothing that was counted.
        """
        with self._lock:
            known = self._series.get(key)
            if known is not None and at_ns < known.at_ns:
                return None
            added = tally.less(known.tally) if known is not None else None
            due = _due(known, added, start_ns)
            self._keep(key, _Reached(tally, start_ns, at_ns, now, due))
            self._forget(now)
            if known is None:
                # A start at the point itself says that the true one is not known.
                is_whole = self._since_ns <= start_ns < at_ns
                return Change(key, tally) if is_whole else None
        return None if added is None or known.due else Change(key, added)

    def undo(self, change: Change) -> None:
        """Take back what a point added: it was not taken, so a later one is to add it."""
        with self._lock:
            known = self._series.get(change.key)
            left = known.tally.less(change.added) if known is not None else None
            if known is not None and left is not None:
                self._keep(change.key, replace(known, tally=left))

    def _keep(self, key: bytes, reached: _Reached) -> None:
        known = self._series.pop(key, None)
        if known is not None:
            self._counts -= len(known.tally.counts)
        self._counts += len(reached.tally.counts)
        self._series[key] = reached

    def _forget(self, now: float) -> None:
        """Forget what was silent for long, or for longest where there are too many."""
        while self._series:
            key, oldest = next(iter(self._series.items()))
            if (
                len(self._series) <= SERIES
                and self._counts <= COUNTS
                and oldest.heard_at > now - EXPIRY_SECONDS
            ):
                return
            del self._series[key]
            self._counts -= len(oldest.tally.counts)
            # A clock that is ahead is no reason to mistrust all that begins until then.
            started_ns = min(oldest.start_ns, int(oldest.heard_at * 1e9))
            self._since_ns = max(self._since_ns, started_ns + 1)


def _due(known: _Reached | None, added: Tally | None, start_ns: int) -> int:
    """Return how many points more must not fall, after one that added this to the last one."""
    if known is None:
        return 0
    if added is None:
        return 0 if start_ns else STEADY
    return max(known.due - 1, 0)
