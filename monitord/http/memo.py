"""Answers that several pages ask for at once: worked out once, kept for a second or so."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Awaitable, Callable, Hashable
from typing import Any


ENTRIES_LIMIT = 256


class Memo:
    """
    Keeps answers for a short time. Who asks for one that is being worked out waits for it.

    If the one who works it out is cancelled, one of those who wait takes over; an error is
    raised to the one it met, and the next one tries again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: dict[Hashable, tuple[float, Any]] = {}
        self._locks: dict[Hashable, asyncio.Lock] = {}

    async def get(self, key: Hashable, seconds: float, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return the answer, at most `seconds` old."""
        found = self._answers.get(key)
        if found is None or found[0] <= self._clock():
            async with self._locks.setdefault(key, asyncio.Lock()):
                found = self._answers.get(key)
                if found is None or found[0] <= self._clock():
                    begun = self._clock()
                    found = (begun + seconds, await make())
                    self._keep(key, found)
        return found[1]

    def _keep(self, key: Hashable, found: tuple[float, Any]) -> None:
        if len(self._answers) >= ENTRIES_LIMIT:
            now = self._clock()
            self._answers = {k: v for k, v in self._answers.items() if v[0] > now}
            if len(self._answers) >= ENTRIES_LIMIT:
                self._answers.clear()
            self._locks = {k: v for k, v in self._locks.items() if v.locked()}
        self._answers[key] = found
