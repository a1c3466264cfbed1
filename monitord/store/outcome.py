"""What became of every event of some frames: stored, refused, or left out as a duplicate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from monitord.model import LISTS, DeadLetter, Frame
from monitord.store.drain import Drain, Refusal
from monitord.store.places import Identity, Places, events_of, identity


class Totals(Struct, frozen=True):
    """Numbers of events by their type."""

    stored: Counter[str]
    refused: Counter[str]
    duplicates: Counter[str]


class Outcome:
    """
    What an attempt leaves out, frame by frame; all other events of its frames are stored.

    Whether the attempt was committed is not known here.
    """

    def __init__(self, drain: Drain, refusals: Sequence[Refusal]) -> None:
        self.refusals = refusals
        self.letters: list[DeadLetter] = []
        self._refused: dict[Identity, Counter[str]] = {}
        self._duplicates: dict[Identity, Counter[str]] = {}
        if refusals or drain.duplicates:
            self._sort(drain, Places(drain.frames))

    def _sort(self, drain: Drain, places: Places) -> None:
        self._refused = places.by_frame([one.place for one in self.refusals])
        self._duplicates = places.by_frame(drain.duplicates)
        for one in self.refusals:
            frame, index = places.origin(one.place)
            event = events_of(frame, one.place[0])[index]
            self.letters.append(DeadLetter(*identity(frame), index, one.reason, event))

    def totals(self, frames: Sequence[Frame]) -> Totals:
        """Return what became of some of the attempt's frames."""
        refused, duplicates = Counter[str](), Counter[str]()
        for frame in frames if self._refused or self._duplicates else ():
            refused.update(self._refused.get(identity(frame), ()))
            duplicates.update(self._duplicates.get(identity(frame), ()))
        return Totals(events(frames) - refused - duplicates, refused, duplicates)


def size_of(frames: Sequence[Frame]) -> int:
    """Return how many events the frames hold together."""
    return sum(len(frame.batch) for frame in frames)


def events(frames: Sequence[Frame]) -> Counter[str]:
    """Return how many events of each type the frames hold."""
    return Counter({kind: sum(len(events_of(frame, kind)) for frame in frames) for kind in LISTS})
