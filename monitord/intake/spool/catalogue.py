"""Which segments there are, which frames are in them, and which frames are done. No I/O here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from monitord.intake.spool.ranges import Ranges
from monitord.intake.spool.summary import Contents


class Kept(Struct):
    """
    One segment on disk; `seqs` are its frames' numbers by run, `events` what is in them.

    `size` is its durable length, `end` that of its records. One that `grows` is this run's last.
    """

    number: int
    name: str
    size: int
    end: int
    seqs: dict[int, Ranges]
    events: int = 0
    grows: bool = False
    foreign: bool = False


class Readable(NamedTuple):
    """A segment for a reader: nothing is to be read behind `end`."""

    number: int
    name: str
    end: int
    grows: bool


class Catalogue:
    """
    The segments in the order they are read, and the frames that are done, by run.

    A segment is finished when each of its frames is done; one of a foreign format never is.
    """

    def __init__(self, segments: Sequence[Kept], done: dict[int, Ranges]) -> None:
        self.segments = sorted(segments, key=lambda one: (one.number, one.name))
        self.done = done
        self._by_name = {one.name: one for one in self.segments}

    @property
    def bytes(self) -> int:
        """Bytes of all segments."""
        return sum(one.size for one in self.segments)

    def readable(self) -> Sequence[Readable]:
        """Return the segments a reader may read, in order."""
        return [
            Readable(one.number, one.name, one.end, one.grows)
            for one in self.segments
            if not one.foreign
        ]

    def written(self, number: int, name: str, end: int, events: int) -> None:
        """Take note of events behind a segment's end; a new segment ends the one before."""
        kept = self._by_name.get(name)
        if kept is None:
            for one in self.segments:
                one.grows = False
            kept = self._by_name[name] = Kept(number, name, end, end, {}, 0, True)
            self.segments.append(kept)
        kept.size = kept.end = end
        kept.events += events

    def sealed(self, name: str, size: int) -> None:
        """Take note of a segment's length with its summary."""
        if name in self._by_name:
            self._by_name[name].size = size

    def note(self, name: str, writer: int, seq: int) -> None:
        """Take note that the segment holds this frame."""
        kept = self._by_name.get(name)
        if kept is None:
            return
        if writer not in kept.seqs:
            kept.seqs[writer] = Ranges()
        if seq not in kept.seqs[writer]:
            kept.seqs[writer].add(seq)

    def is_done(self, writer: int, seq: int) -> bool:
        return writer in self.done and seq in self.done[writer]

    def finish(self, writer: int, seq: int) -> None:
        """Take note that the frame is done."""
        if writer not in self.done:
            self.done[writer] = Ranges()
        self.done[writer].add(seq)

    def lose(self, name: str, seen: Contents) -> tuple[int, int]:
        """
        Take note of all that was found in a segment; return how many waiting frames are lost.

        With them comes how many events. They are done with: what is in no file any more is waited
        for by nobody.
        """
        kept = self._by_name.get(name)
        if kept is None:
            return 0, 0
        lost = gone = 0
        for writer, seqs in kept.seqs.items():
            missing = seqs.without(seen.seqs.get(writer, Ranges()))
            gone += missing.count
            missing = missing.without(self.done.get(writer, Ranges()))
            for other in self.segments if missing else ():
                if other is not kept and writer in other.seqs:
                    missing = missing.without(other.seqs[writer])
            lost += missing.count
            for first, last in missing:
                self.done.setdefault(writer, Ranges()).add_range(first, last)
        events = max(0, kept.events - seen.events)
        # Of those that are gone some may have been done before: which events were theirs is gone.
        return lost, events * lost // gone if gone else 0

    def finished(self, besides: str) -> list[Kept]:
        """Return the segments that are no longer needed, but for the one that still grows."""
        return [
            one
            for one in self.segments
            if one.name != besides and not one.foreign and self._is_finished(one)
        ]

    def is_finished(self, name: str) -> bool:
        """Say whether there is such a segment and all of it is done."""
        kept = self._by_name.get(name)
        return kept is not None and self._is_finished(kept)

    def waits(self, name: str) -> bool:
        """Say whether there is such a segment and some of it is not done."""
        kept = self._by_name.get(name)
        return kept is not None and not self._is_finished(kept)

    def forget(self, segments: Sequence[Kept]) -> None:
        """Take note that the segments are gone."""
        for one in segments:
            self._by_name.pop(one.name, None)
        self.segments = [one for one in self.segments if one.name in self._by_name]

    def writers(self) -> set[int]:
        """Return the runs whose frames are in the segments."""
        return {writer for one in self.segments for writer in one.seqs}

    def _is_finished(self, kept: Kept) -> bool:
        return all(
            writer in self.done and self.done[writer].covers(seqs)
            for writer, seqs in kept.seqs.items()
        )
