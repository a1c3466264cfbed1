"""Whether the clocks can be trusted when they say what is over. Nothing is dropped here."""

from __future__ import annotations


# With more days over than this, either monitord was off for long or the clock is wrong. A person
# or NTP then has some hours to put it right before anything goes.
BACKLOG_DAYS = 3
HOLD_SECONDS = 6 * 3_600.0

# Clocks that disagree by more than this say that one of them is wrong.
CLOCKS_AGREE_SECONDS = 3_600.0


class Caution:
    """
    Says why nothing should be dropped now.

    A jump of the clock, or many days over at once, holds everything for HOLD_SECONDS: time for a
    person or NTP to put a wrong clock right. Keeps the clocks of the last time it was asked.
    """

    def __init__(self) -> None:
        self._clocks: tuple[float, float] | None = None
        self._held_until: float | None = None

    def doubt(self, now: float, monotonic: float, server: float, backlog: int) -> str:
        """
        Return the doubt, an empty text when there is none.

        `now` and `server` are wall clocks in Unix seconds, `monotonic` does not jump; `backlog` is
        the largest number of days of one table that are over.
        """
        before, self._clocks = self._clocks, (now, monotonic)
        if before is not None:
            drift = (now - before[0]) - (monotonic - before[1])
            if abs(drift) > CLOCKS_AGREE_SECONDS:
                self._held_until = monotonic + HOLD_SECONDS
                return f"this machine's clock has jumped by {drift:.0f} s"
        if abs(server - now) > CLOCKS_AGREE_SECONDS:
            return "the clocks of monitord and store disagree"
        if self._held_until is None and backlog > BACKLOG_DAYS:
            self._held_until = monotonic + HOLD_SECONDS
        if self._held_until is not None and monotonic < self._held_until:
            return f"{backlog} days are over at once, or the clock had jumped; waiting for a while"
        return ""
