"""Frames that wait for the store's writer, where a test is not about the spool."""

from __future__ import annotations

import asyncio

from collections.abc import Sequence

from monitord.model import Frame


class Waiting:
    """A `FrameSource` in memory: frames in the order they were put, until they are done."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._filled = asyncio.Event()

    @property
    def pending(self) -> int:
        """Events that wait or are being written."""
        return sum(len(frame.batch) for frame in self._frames)

    @property
    def oldest_at(self) -> float | None:
        return self._frames[0].batch.received_at if self._frames else None

    def put(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._filled.set()

    async def next(self, limit: int, limit_bytes: int) -> Sequence[Frame]:
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
        self._frames = [held for held in self._frames if not any(held is one for one in frames)]
        if not self._frames:
            self._filled.clear()
