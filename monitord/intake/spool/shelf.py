"""What of the pending frames is held in memory, bounded, and in which order it is handed out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from monitord.intake.spool.committer import Entry
from monitord.model import Frame


Key = tuple[int, int]

# What a record's events take as objects, as a multiple of its bytes.
OBJECTS_PER_BYTE = 4


class Shelf:
    """
    Three heaps of frames that are on disk and not done.

    `recent`: this run's youngest, by number; the oldest of them leave memory first. `head`: the
    oldest of all, which the writer is given next. `live`: recent ones it was given before their
    turn. The last two are as large as the writer asked for.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        # Ordered ones: a plain dict that loses its first items finds the next ever more slowly.
        self._recent: OrderedDict[int, Entry] = OrderedDict()
        self._recent_bytes = 0
        self._head: OrderedDict[Key, Entry] = OrderedDict()
        self._live: OrderedDict[Key, Entry] = OrderedDict()
        self.events = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._recent) + len(self._head) + len(self._live)

    def __contains__(self, key: Key) -> bool:
        return key in self._head or key in self._live

    @property
    def lent(self) -> set[Key]:
        """The frames that are in memory out of their turn, or next."""
        return {*self._head, *self._live}

    @property
    def first_recent(self) -> int | None:
        """The number of the oldest recent frame."""
        return next(iter(self._recent), None)

    @property
    def oldest_at(self) -> float | None:
        """When the oldest frame in memory arrived."""
        heaps = (self._head.values(), self._live.values(), self._recent.values())
        firsts = (next(iter(heap), None) for heap in heaps)
        return min((one.frame.batch.received_at for one in firsts if one), default=None)

    def put(self, entries: Iterable[Entry]) -> list[Entry]:
        """Add this run's next frames; return those that left memory for them."""
        for entry in entries:
            self._recent[entry.frame.seq] = entry
            self._recent_bytes += entry.size
            self._count(entry, 1)
        gone = []
        while self._recent_bytes * OBJECTS_PER_BYTE > self._limit_bytes and self._recent:
            gone.append(self._pop_recent(next(iter(self._recent))))
            self._count(gone[-1], -1)
        return gone

    def put_head(self, entry: Entry) -> None:
        """Add a frame that was read back: the next after those in `head`."""
        self._head[_key(entry.frame)] = entry
        self._count(entry, 1)

    def lacks(self, limit: int, limit_bytes: int) -> tuple[int, int]:
        """Return how many events and bytes `head` could hold besides; 0 or less for none."""
        return left(self._head.values(), limit, limit_bytes)

    def fill_head(self, limit: int, limit_bytes: int) -> None:
        """Move the oldest of the others to `head`, until it holds as much as the limits say."""
        events, size = self.lacks(limit, limit_bytes)
        while (self._live or self._recent) and events > 0 and size > 0:
            entry = self._pop_oldest()
            self._head[_key(entry.frame)] = entry
            events -= len(entry.frame.batch)
            size -= entry.frame.batch.size_bytes

    def oldest(self, limit: int, limit_bytes: int) -> list[Frame]:
        """Return the first frames of `head` within the limits, one at least."""
        return within(self._head.values(), limit, limit_bytes)

    def lend_live(self, since: float, limit: int, limit_bytes: int) -> list[Frame]:
        """Return the frames that arrived since then, the oldest of them first."""
        young = []
        for seq, entry in reversed(self._recent.items()):
            if entry.frame.batch.received_at < since:
                break
            young.append(seq)
        events, size = left(self._live.values(), limit, limit_bytes)
        for seq in reversed(young):
            if events <= 0 or size <= 0:
                break
            entry = self._pop_recent(seq)
            self._live[_key(entry.frame)] = entry
            events -= len(entry.frame.batch)
            size -= entry.frame.batch.size_bytes
        return within(self._live.values(), limit, limit_bytes)

    def remove(self, key: Key) -> bool:
        """Forget a frame; False when it is not in memory."""
        entry = self._head.pop(key, None) or self._live.pop(key, None)
        if entry is None and (found := self._recent.get(key[1])) and _key(found.frame) == key:
            entry = self._pop_recent(key[1])
        if entry is None:
            return False
        self._count(entry, -1)
        return True

    def _pop_oldest(self) -> Entry:
        key = next(iter(self._live), None)
        first = self.first_recent
        if key is None or (first is not None and first < key[1]):
            assert first is not None
            return self._pop_recent(first)
        return self._live.pop(key)

    def _pop_recent(self, seq: int) -> Entry:
        entry = self._recent.pop(seq)
        self._recent_bytes -= entry.size
        return entry

    def _count(self, entry: Entry, sign: int) -> None:
        self.events += sign * len(entry.frame.batch)
        self.bytes += sign * entry.size


def left(entries: Iterable[Entry], limit: int, limit_bytes: int) -> tuple[int, int]:
    """Return how many events and bytes there is room for besides these; below 0 for none."""
    for frame, _ in entries:
        limit -= len(frame.batch)
        limit_bytes -= frame.batch.size_bytes
    return limit, limit_bytes


def within(entries: Iterable[Entry], limit: int, limit_bytes: int) -> list[Frame]:
    """Return the first frames that are together within the limits, one at least."""
    return list(_within(entries, limit, limit_bytes))


def _within(entries: Iterable[Entry], limit: int, limit_bytes: int) -> Iterator[Frame]:
    events = size = 0
    for index, (frame, _) in enumerate(entries):
        events += len(frame.batch)
        size += frame.batch.size_bytes
        if index and (events > limit or size > limit_bytes):
            return
        yield frame


def _key(frame: Frame) -> Key:
    return frame.writer, frame.seq
