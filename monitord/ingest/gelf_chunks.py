"""
Messages of GELF that came in several datagrams, put together within limits. No clock, no sockets.
"""

from __future__ import annotations

from monitord.ingest.decoded import Code, Decoded, Refused
from monitord.ingest.limits import ITEM_BYTES


MAGIC = b"\x1e\x0f"
HEADER_BYTES = 12
CHUNKS = 128
WAIT_SECONDS = 5.0
# Of messages that are not whole yet; then the oldest give way.
MESSAGES = 1_000
IN_FLIGHT_BYTES = 16 * 1024 * 1024
# What a chunk takes beside its bytes.
CHUNK_BYTES = 100


class _Partial:
    """One message that is not whole yet; `refused` when it will never be."""

    def __init__(self, count: int, now: float) -> None:
        self.since = now
        self.count = count
        self.parts: dict[int, bytes] = {}
        self.size_bytes = CHUNK_BYTES
        self.refused = False


class Chunks:
    """Keeps chunks until their message is whole; what never becomes whole is refused, once."""

    def __init__(self) -> None:
        self._partials: dict[bytes, _Partial] = {}  # oldest first
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._partials)

    def whole(self, index: int, datagram: bytes, now: float, into: Decoded) -> bytes | None:
        """Keep a chunk; return its message if it is whole with it."""
        if len(datagram) <= HEADER_BYTES or not datagram[10] < datagram[11] <= CHUNKS:
            sentence = f"chunk: expected a number below a count of at most {CHUNKS}, and its bytes"
            into.refuse(index, Refused(Code.INVALID_FIELD, sentence))
            return None
        name, number, count = datagram[2:10], datagram[10], datagram[11]
        partial = self._partials.get(name)
        if partial is None:
            partial = self._partials[name] = _Partial(count, now)
            self._size_bytes += partial.size_bytes
        self._keep(index, partial, number, datagram[HEADER_BYTES:], into)
        if len(partial.parts) == partial.count:
            self._forget(name)
            return b"".join([partial.parts[each] for each in range(partial.count)])
        self._make_room(index, into)
        return None

    def expire(self, now: float, into: Decoded) -> None:
        """Refuse what has waited for too long for the rest of it."""
        while self._partials:
            name, partial = next(iter(self._partials.items()))
            # A clock that was set back makes nothing wait for ever.
            if 0 <= now - partial.since <= WAIT_SECONDS:
                return
            self._give_up(0, name, f"within {WAIT_SECONDS:g} s", into)

    def _keep(self, index: int, partial: _Partial, number: int, part: bytes, into: Decoded) -> None:
        if partial.refused or number in partial.parts or number >= partial.count:
            return
        size = len(part) + CHUNK_BYTES
        if partial.size_bytes + size > ITEM_BYTES:
            self._size_bytes -= partial.size_bytes - CHUNK_BYTES
            partial.parts, partial.size_bytes, partial.refused = {}, CHUNK_BYTES, True
            sentence = f"expected at most {ITEM_BYTES} bytes in all chunks"
            into.refuse(index, Refused(Code.ITEM_TOO_LARGE, sentence))
            return
        partial.parts[number] = part
        partial.size_bytes += size
        self._size_bytes += size

    def _make_room(self, index: int, into: Decoded) -> None:
        while len(self._partials) > MESSAGES or self._size_bytes > IN_FLIGHT_BYTES:
            self._give_up(index, next(iter(self._partials)), "before others took its room", into)

    def _give_up(self, index: int, name: bytes, when: str, into: Decoded) -> None:
        partial = self._forget(name)
        if not partial.refused:
            came = f"{len(partial.parts)} of {partial.count} came {when}"
            into.refuse(index, Refused(Code.MISSING_FIELD, f"chunks: {came}"))

    def _forget(self, name: bytes) -> _Partial:
        partial = self._partials.pop(name)
        self._size_bytes -= partial.size_bytes
        return partial
