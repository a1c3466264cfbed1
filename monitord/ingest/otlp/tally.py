"""What a point of a cumulative series had reached, and what that is beside the point before."""

from __future__ import annotations

from msgspec import Struct


# Added to an exponential histogram's index, so that each is above zero at every scale.
OFFSET = 2**32


class Tally(Struct, frozen=True):
    """
    A sum, or the counts of a histogram with the sum of what it counted.

    `counts` are those of buckets that hold any, by the bucket's number; of an exponential
    histogram by its index plus OFFSET, negated for negative values, 0 for zero, at `scale`.
    """

    sum: float
    counts: dict[int, int] = {}
    scale: int | None = None

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    def less(self, before: Tally) -> Tally | None:
        """Return what was added since `before`; None where something fell, or became finer."""
        if before.scale != self.scale:
            if before.scale is None or self.scale is None or self.scale > before.scale:
                return None
            before = before.at_scale(self.scale)
        if not before.counts.keys() <= self.counts.keys():
            return None
        added = {key: count - before.counts.get(key, 0) for key, count in self.counts.items()}
        total = self.sum - before.sum
        if min(added.values(), default=0) < 0 or (not self.counts and not total >= 0):
            return None
        return Tally(total, {key: count for key, count in added.items() if count}, self.scale)

    def at_scale(self, scale: int) -> Tally:
        """Return the same at a coarser scale."""
        assert self.scale is not None
        finer = self.scale - scale
        counts: dict[int, int] = {}
        for key, count in self.counts.items():
            coarse = coarser(key, finer)
            counts[coarse] = counts.get(coarse, 0) + count
        return Tally(self.sum, counts, scale)


def coarser(key: int, scales: int) -> int:
    """Return the bucket so many scales coarser that holds the whole of this one."""
    if key == 0:
        return 0
    index = (abs(key) - OFFSET >> scales) + OFFSET
    return index if key > 0 else -index
