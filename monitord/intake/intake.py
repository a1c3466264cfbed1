"""The one way in: gives each batch its identity, makes it durable, remembers it and shows it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol, runtime_checkable

from monitord.errors import NotTaken, SpoolError
from monitord.intake.bus import Bus
from monitord.intake.redact import Redactor
from monitord.intake.spool.spool import Refusal, Spool
from monitord.intake.window import Window
from monitord.model import Batch, Frame, Sink


# What is said of a refusal, after how many seconds it is worth to come again (None: never), and
# whether it is for a burst alone.
SAID: dict[Refusal, tuple[str, int | None, bool]] = {
    Refusal.FULL: ("the spool is full, because the store does not take events", 10, False),
    Refusal.DISK: ("the spool's disk takes no more", 10, False),
    Refusal.SLOW: ("more events arrive than the disk takes", 1, True),
    Refusal.UNFIT: ("the events cannot be kept in the spool's format", None, False),
    Refusal.CLOSED: ("monitord is stopping", 3, False),
}


@runtime_checkable
class SteppedSink(Sink, Protocol):
    """A sink that lets others have a turn while it takes a batch."""

    def offering(self, batch: Batch) -> Generator[None, None, bool]: ...


class Intake:
    """
    A `DurableSink`. The window and the bus get what the spool refuses too, unless its sender keeps
    it and comes again: a full disk stops no live view. A `redactor` sees each batch before any of
    them does.
    """

    def __init__(
        self, spool: Spool, window: Window, bus: Bus, redactor: Redactor | None = None
    ) -> None:
        self._spool = spool
        self._window = window
        self._bus = bus
        self._redactor = redactor

    def check_room(self) -> None:
        """Raises NotTaken: any batch would be refused now."""
        refusal = self._spool.refusal(0)
        if refusal is not None:
            raise refused(refusal)
        if self._redactor is not None:
            self._redactor.check_room()

    def offer(self, batch: Batch) -> bool:
        """Take the batch; False when it was shown but not kept (the caller counts the loss)."""
        if not len(batch):
            return True
        return self._keep(batch if self._redactor is None else self._redactor.batch(batch))

    def offering(self, batch: Batch) -> Generator[None, None, bool]:
        """Take the batch as `offer` does, but pause now and then, so that others get a turn."""
        if self._redactor is None or not len(batch):
            return self.offer(batch)
        return self._keep((yield from self._redactor.steps(batch)))

    def _keep(self, batch: Batch) -> bool:
        taken = self._spool.append(batch)
        kept = isinstance(taken, Frame)
        self._show(taken if isinstance(taken, Frame) else self._spool.unkept(batch))
        return kept

    async def deliver(self, batch: Batch) -> None:
        """
        Take the batch; return once it is safe on disk.

        Raises NotTaken: it was refused, or the disk failed. Then who sent it still has it.
        """
        if not len(batch):
            return
        if self._redactor is not None:
            batch = await self._redactor.beside(batch)
        taken = self._spool.append(batch)
        if not isinstance(taken, Frame):
            raise refused(taken)
        try:
            await self._spool.settled([taken])
        except SpoolError as error:
            self._spool.told(taken)
            raise NotTaken(f"{error}; send it again", 3) from error
        # Not before: what its sender must send again would be shown twice.
        self._show(taken)

    def _show(self, frame: Frame) -> None:
        self._window.add(frame.batch)
        self._bus.publish(frame)


def refused(refusal: Refusal) -> NotTaken:
    sentence, wait_seconds, crowded = SAID[refusal]
    return NotTaken(f"{sentence}; nothing was taken", wait_seconds, crowded=crowded)
