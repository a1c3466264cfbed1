"""What the samples of one series came to, minute by minute, in 42 bytes each. Memory only."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from msgspec import Struct


MINUTE_SECONDS = 60


class Summary(Struct, frozen=True):
    """The samples of a minute, or a single one; `at` is its begin, in Unix seconds."""

    at: float
    count: int
    total: float
    lowest: float
    highest: float
    last: float


class Minutes:
    """The minutes that have a sample, oldest first, in one array a column."""

    __slots__ = ("_counts", "_highest", "_last", "_last_ms", "_lowest", "_numbers", "_totals")

    def __init__(self) -> None:
        # Minutes since 1970, and how many ms into its minute the last sample was.
        self._numbers = array("I")
        self._last_ms = array("H")
        self._counts = array("I")
        self._totals = array("d")
        self._lowest = array("d")
        self._highest = array("d")
        self._last = array("d")

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, at: float, value: float) -> bool:
        """Take a sample into the minute of its time; True when it is that one's first."""
        number, second = divmod(at, MINUTE_SECONDS)
        minute, ms = int(number), int(second * 1_000)
        numbers = self._numbers
        place = len(numbers) - 1
        if place < 0 or numbers[place] != minute:
            place = bisect_left(numbers, minute)
            if place == len(numbers) or numbers[place] != minute:
                self._begin(place, minute, ms, value)
                return True
        self._counts[place] += 1
        self._totals[place] += value
        if value < self._lowest[place]:
            self._lowest[place] = value
        elif value > self._highest[place]:
            self._highest[place] = value
        if ms >= self._last_ms[place]:
            self._last_ms[place] = ms
            self._last[place] = value
        return False

    def _begin(self, place: int, minute: int, ms: int, value: float) -> None:
        self._numbers.insert(place, minute)
        self._last_ms.insert(place, ms)
        self._counts.insert(place, 1)
        for column in (self._totals, self._lowest, self._highest, self._last):
            column.insert(place, value)

    def keep(self, first: float, last: float) -> None:
        """Forget all but the minutes from that of one time to that of the other."""
        numbers = self._numbers
        oldest, newest = int(first // MINUTE_SECONDS), int(last // MINUTE_SECONDS)
        if numbers and (numbers[0] < oldest or numbers[-1] > newest):
            kept = slice(bisect_left(numbers, oldest), bisect_right(numbers, newest))
            for column in self.__slots__:
                setattr(self, column, getattr(self, column)[kept])

    def total(self, first: float, last: float) -> float | None:
        """Return the sum from the minute of one time to that of the other; None without any."""
        begin = bisect_left(self._numbers, int(first // MINUTE_SECONDS))
        end = bisect_right(self._numbers, int(last // MINUTE_SECONDS))
        return sum(self._totals[begin:end]) if begin < end else None

    def __iter__(self) -> Iterator[Summary]:
        """Yield every minute, oldest first."""
        for place, number in enumerate(self._numbers):
            yield Summary(
                float(number * MINUTE_SECONDS),
                self._counts[place],
                self._totals[place],
                self._lowest[place],
                self._highest[place],
                self._last[place],
            )
