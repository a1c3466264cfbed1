"""Sets of whole numbers kept as the stretches they form: a million done frames cost one pair."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """
    A set of integers as sorted, disjoint, inclusive ranges that never touch one another.
    """

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in pairs:
            self.add_range(first, last)

    def __contains__(self, number: int) -> bool:
        if not self._lasts or number > self._lasts[-1]:
            return False
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def __bool__(self) -> bool:
        return bool(self._firsts)

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def add(self, number: int) -> None:
        """Add one number."""
        if self._lasts and number == self._lasts[-1] + 1:
            self._lasts[-1] = number
        else:
            self.add_range(number, number)

    def add_range(self, first: int, last: int) -> None:
        """Add every number from first to last."""
        left = bisect_left(self._lasts, first - 1)
        right = bisect_right(self._firsts, last + 1)
        if left < right:
            first = min(first, self._firsts[left])
            last = max(last, self._lasts[right - 1])
        self._firsts[left:right] = [first]
        self._lasts[left:right] = [last]

    def covers(self, other: Ranges) -> bool:
        """Say whether every number of the other set is in this one."""
        return all(self._holds(first, last) for first, last in other)

    def without(self, other: Ranges) -> Ranges:
        """Return the numbers that are not in the other set."""
        rest = Ranges()
        for first, last in self:
            at = bisect_left(other._lasts, first)
            while at < len(other._firsts) and other._firsts[at] <= last:
                if first < other._firsts[at]:
                    rest.add_range(first, other._firsts[at] - 1)
                first = other._lasts[at] + 1
                at += 1
            if first <= last:
                rest.add_range(first, last)
        return rest

    def copy(self) -> Ranges:
        """Return a set of its own with the same numbers."""
        same = Ranges()
        same._firsts, same._lasts = self._firsts.copy(), self._lasts.copy()
        return same

    def _holds(self, first: int, last: int) -> bool:
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and last <= self._lasts[at]
