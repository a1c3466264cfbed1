"""The bounded queue between everything that arrives and the store's writer. In memory."""

from __future__ import annotations

import asyncio

from collections import deque
from collections.abc import Sequence

from monitord.model import Frame
from monitord.telemetry import Telemetry


# Bounds what long texts may hold: an event of usual size arrives as about 170 bytes.
LIMIT_BYTES = 64 * 1024 * 1024


class Queue:
    """
    Frames that are not stored yet, oldest first, bounded in events and in bytes as they arrived.

    A frame stays, and counts, until `done`: a writer that failed gets the same frames again. One
    writer drains it. A frame larger than the whole queue is taken when the queue is empty.
    """

    def __init__(
        self, limit_events: int, telemetry: Telemetry, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self._limit_events = limit_events
        self._limit_bytes = limit_bytes
        self._telemetry = telemetry
        self._frames: deque[Frame] = deque()
        self._events = 0
        self._bytes = 0
        self._filled = asyncio.Event()

    @property
    def pending(self) -> int:
        """Events that wait or are being written."""
        return self._events

    def has_room(self, events: int, size_bytes: int = 0) -> bool:
        """Say whether a frame of this size would be taken now."""
        return not self._frames or (
            self._events + events <= self._limit_events
            and self._bytes + size_bytes <= self._limit_bytes
        )

    def put(self, frame: Frame) -> bool:
        """Append the frame; False, and nothing taken, when there is no room."""
        batch = frame.batch
        if not self.has_room(len(batch), batch.size_bytes):
            return False
        self._frames.append(frame)
        self._count(len(batch), batch.size_bytes)
        self._filled.set()
        return True

    async def next(self, limit: int, limit_bytes: int = LIMIT_BYTES) -> Sequence[Frame]:
        """
        Wait for a frame; return the oldest, one at least.

        Together they are at most `limit` events, and `limit_bytes` as they arrived.
        """
        await self._filled.wait()
        oldest: list[Frame] = []
        events = size_bytes = 0
        for frame in self._frames:
            events += len(frame.batch)
            size_bytes += frame.batch.size_bytes
            if oldest and (events > limit or size_bytes > limit_bytes):
                break
            oldest.append(frame)
        return oldest

    def done(self, frames: Sequence[Frame]) -> None:
        """Forget these frames; one that is not in the queue is passed over."""
        for frame in frames:
            if self._frames and self._frames[0] is frame:
                self._frames.popleft()
            elif any(held is frame for held in self._frames):
                self._frames = deque(held for held in self._frames if held is not frame)
            else:
                continue
            self._count(-len(frame.batch), -frame.batch.size_bytes)
        if not self._frames:
            self._filled.clear()

    def _count(self, events: int, size_bytes: int) -> None:
        self._events += events
        self._bytes += size_bytes
        self._telemetry.queue_events.set(self._events)
