"""One queue for all visitors: requests leave it at the pace of the day, never faster."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Awaitable, Callable

from monitord.demo.traffic.wave import arrivals


# A shop that was slow is not flooded afterwards with what it missed.
LATEST_SECONDS = 0.5


class Pace:
    """
    Hands out turns. Who asks waits; turns that nobody asked for in time are lost.
    """

    def __init__(
        self,
        mean_per_second: float,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._mean_per_second = mean_per_second
        self._clock = clock
        self._sleep = sleep
        self._next = arrivals(clock(), mean_per_second)

    async def turn(self) -> None:
        """Return when the next request may be sent."""
        at = next(self._next)
        wait = at - self._clock()
        if wait < -LATEST_SECONDS:
            self._next = arrivals(self._clock(), self._mean_per_second)
        await self._sleep(max(0.0, wait))
