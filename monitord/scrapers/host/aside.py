"""
A call that may never return, made in a thread of its own.

`asyncio.to_thread` would not do: its threads are waited for at the end of the process, and a
`statvfs` on a dead network file system ends when that comes back, or never.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar


T = TypeVar("T")


class StillRunning(Exception):
    """The call before has not come back."""


class Aside(Generic[T]):
    """Makes one call at a time; a stuck one costs one thread and no more."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running = False

    async def run(self, function: Callable[[], T]) -> T:
        """Return what `function` does. Raises StillRunning, and what `function` raises."""
        if self._running:
            raise StillRunning(self._name)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        work = threading.Thread(
            target=self._work, args=(function, loop, future), name=self._name, daemon=True
        )
        work.start()
        self._running = True
        return await future

    def _work(
        self,
        function: Callable[[], T],
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[T],
    ) -> None:
        settle: Callable[[], None]
        try:
            settle = partial(future.set_result, function())
        except Exception as error:  # noqa: BLE001 - it belongs to the caller
            settle = partial(future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            loop.call_soon_threadsafe(self._returned, future, settle)

    def _returned(self, future: asyncio.Future[T], settle: Callable[[], None]) -> None:
        self._running = False
        if not future.done():  # else the caller's deadline came first
            settle()
