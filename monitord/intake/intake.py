"""The one way in: gives each batch its identity, then queues it, remembers it and shows it."""

from __future__ import annotations

from monitord.intake.bus import Bus
from monitord.intake.queue import Queue
from monitord.intake.window import Window
from monitord.model import Batch, Frame


class Intake:
    """
    A `Sink`. `writer_id` is this daemon's run: Unix milliseconds of its start.

    The window and the bus get every batch, queued or not: a dead store stops no live view.
    """

    def __init__(self, writer_id: int, queue: Queue, window: Window, bus: Bus) -> None:
        self._writer_id = writer_id
        self._queue = queue
        self._window = window
        self._bus = bus
        self._seq = 0

    def has_room(self, events: int, size_bytes: int) -> bool:
        """Say whether `offer` would queue such a batch; who would rather refuse it asks first."""
        return self._queue.has_room(events, size_bytes)

    def offer(self, batch: Batch) -> bool:
        """Take the batch; False when it was shown but not queued (the caller counts the loss)."""
        if not len(batch):
            return True
        self._seq += 1
        frame = Frame(self._writer_id, self._seq, batch)
        queued = self._queue.put(frame)
        self._window.add(batch)
        self._bus.publish(frame)
        return queued

    async def settled(self) -> None:
        """Return at once: a queue in memory makes nothing safer by waiting."""
