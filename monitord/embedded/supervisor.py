"""Keeps one server running from `async with` to its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from collections.abc import Awaitable, Callable, Sequence

import structlog

from monitord.backoff import backoff
from monitord.embedded.child import Child
from monitord.errors import EmbeddedError


log = structlog.get_logger(__name__)

FIRST_WAIT_SECONDS = 0.1
LIMIT_SECONDS = 30.0


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
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self.child:
            await self.child.stop(*self._steps)

    async def _watch(self) -> None:
        while self.child:
            code = await self.child.wait()
            log.warning("embedded.ended", server=self._name, returncode=code)
            self.child = None
            self.child = await self._start_again()
            log.info("embedded.restarted", server=self._name)

    async def _start_again(self) -> Child:
        for wait_seconds in backoff(FIRST_WAIT_SECONDS, LIMIT_SECONDS):
            try:
                return await self._start()
            except (EmbeddedError, OSError) as error:
                log.error("embedded.not_restarted", server=self._name, reason=str(error))
            await asyncio.sleep(wait_seconds)
        raise AssertionError("backoff never ends")
