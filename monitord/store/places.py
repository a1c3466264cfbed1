"""Which event of which frame a row of a drain is of. Asked only for rows that are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from monitord.model import LISTS, Event, Frame


# A frame's (writer, seq).
Identity: TypeAlias = tuple[int, int]

# An event of a drain: its type, and its place among all events of that type in all the frames.
Place: TypeAlias = tuple[str, int]


def identity(frame: Frame) -> Identity:
    """Return what tells a frame from every other one, of this run and of all others."""
    return frame.writer, frame.seq


def events_of(frame: Frame, kind: str) -> Sequence[Event]:
    """Return a frame's events of a type."""
    events: Sequence[Event] = getattr(frame.batch, LISTS[kind])
    return events


class Places:
    """The places of the events of some frames."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self._starts = {
            kind: np.cumsum([0, *(len(events_of(frame, kind)) for frame in frames)])
            for kind in LISTS
        }

    def origin(self, place: Place) -> tuple[Frame, int]:
        """Return the frame of an event and its index among the frame's events of its type."""
        kind, row = place
        starts = self._starts[kind]
        number = int(np.searchsorted(starts, row, "right")) - 1
        return self._frames[number], row - int(starts[number])

    def event(self, place: Place) -> Event:
        """Return the event itself."""
        frame, index = self.origin(place)
        return events_of(frame, place[0])[index]

    def by_frame(self, places: Collection[Place]) -> dict[Identity, Counter[str]]:
        """Return how many of some events of each type are of which frame."""
        found: dict[Identity, Counter[str]] = {}
        for kind, starts in self._starts.items():
            rows = [row for of, row in places if of == kind]
            numbers = np.searchsorted(starts, rows, "right") - 1
            for number, count in zip(*np.unique(numbers, return_counts=True), strict=True):
                frame = self._frames[int(number)]
                found.setdefault(identity(frame), Counter())[kind] = int(count)
        return found

    def of_frames(self, numbers: Iterable[int]) -> Iterator[Place]:
        """Yield every event of some of the frames, given by their numbers."""
        for number in numbers:
            for kind, starts in self._starts.items():
                for row in range(int(starts[number]), int(starts[number + 1])):
                    yield kind, row
