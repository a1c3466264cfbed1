"""Keeps one server running from `async with` to its end."""

from __future__ import annotations

import asyncio
import signal

from collections.abc import Awaitable, Callable, Iterator, Sequence

import structlog

from monitord.backoff import backoff
from monitord.embedded.child import Child


log = structlog.get_logger(__name__)

FIRST_WAIT_SECONDS = 0.1
LIMIT_SECONDS = 30.0
STEADY_SECONDS = 60.0  # who lived this long is started again without having to wait


class Supervisor:
    """
    Starts a server, starts it again with growing waits when it ends by itself, and stops it.

    *start* returns a server that answers, or raises EmbeddedError having ended what it started.
    *steps* are the signals of a stop, each with its patience in seconds.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], Awaitable[Child]],
        steps: Sequence[tuple[signal.Signals, float]],
    ) -> None:
        self._name = name
        self._start = start
        self._steps = steps
        self._task: asyncio.Task[None] | None = None
        self.child: Child | None = None

    async def __aenter__(self) -> Supervisor:
        self.child = await self._start()
        self._task = asyncio.create_task(self._watch(), name=f"embedded {self._name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            # Unlike awaiting the task itself, this does not swallow our own cancellation.
            await asyncio.wait([self._task])
        if self.child:
            await self.child.stop(*self._steps)

    async def _watch(self) -> None:
        waits = backoff(FIRST_WAIT_SECONDS, LIMIT_SECONDS)
        clock = asyncio.get_running_loop().time
        while self.child:
            began = clock()
            code = await self.child.wait()
            self.child = None
            log.warning("embedded.ended", server=self._name, returncode=code)
            if clock() - began > STEADY_SECONDS:
                waits = backoff(FIRST_WAIT_SECONDS, LIMIT_SECONDS)
            self.child = await self._start_again(waits)
            log.info("embedded.restarted", server=self._name)

    async def _start_again(self, waits: Iterator[float]) -> Child:
        while True:
            await asyncio.sleep(next(waits))
            try:
                return await self._start()
            except Exception as error:  # noqa: BLE001 - whatever keeps it down may pass
                log.error("embedded.not_restarted", server=self._name, reason=str(error))
