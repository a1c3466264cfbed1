"""What the demo is doing right now and for how long: plain lines, alive on a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import time

from collections.abc import AsyncIterator
from typing import TextIO


TICK_SECONDS = 0.2
WIDTH = 58


class Steps:
    """
    Writes one line per step with its time; on a terminal the running step's time counts up.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._alive = out.isatty()
        self._started = time.monotonic()

    @contextlib.asynccontextmanager
    async def step(self, what: str) -> AsyncIterator[None]:
        """Show *what* as running until the end of the `async with`."""
        began = time.monotonic()
        ticking = asyncio.create_task(self._tick(what, began), name="progress")
        ended = "failed after"
        try:
            yield
            ended = "done in"
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
            lead = "\r" if self._alive else ""
            seconds = time.monotonic() - began
            self._write(f"{lead}{what:<{WIDTH}} {ended} {seconds:4.1f} s\n")

    def say(self, *lines: str) -> None:
        """Write lines as they are."""
        self._write("".join(f"{line}\n" for line in lines))

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._started

    async def _tick(self, what: str, began: float) -> None:
        if not self._alive:
            return
        while True:
            seconds = time.monotonic() - began
            self._write(f"\r{what:<{WIDTH}} running {seconds:4.1f} s")
            await asyncio.sleep(TICK_SECONDS)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
