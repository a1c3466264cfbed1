"""An application that notes what monitord acknowledged, and asks again for what it did not."""

from __future__ import annotations

import asyncio
import json
import random
import time

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import aiohttp


IN_FLIGHT = 16
EVENTS = 20
ANSWER_SECONDS = 15.0
HEADERS = {"Content-Type": "application/x-ndjson"}


class Producer:
    """
    Posts batches at a pace. A batch without an answer is posted again under the same
    Idempotency-Key until there is one: nobody knows whether the first was taken.

    `acknowledged` holds the trace id of every event of every batch that was answered with 202.
    """

    def __init__(self, ingest: str, batches_per_second: float, seed: int = 1) -> None:
        self.acknowledged: set[UUID] = set()
        self.retried = 0
        self._url = f"{ingest}/v1/ingest"
        self._pause = 1.0 / batches_per_second
        self._draw = random.Random(seed)
        self._going = True
        self._room = asyncio.Semaphore(IN_FLIGHT)

    async def run(self) -> None:
        """Post until `finish`, and then until every batch has its answer."""
        async with aiohttp.ClientSession(headers=HEADERS) as session, asyncio.TaskGroup() as group:
            number = 0
            while self._going:
                await self._room.acquire()
                group.create_task(self._deliver(session, number))
                number += 1
                await asyncio.sleep(self._pause)

    def finish(self) -> None:
        self._going = False

    async def _deliver(self, session: aiohttp.ClientSession, number: int) -> None:
        try:
            traces = [UUID(int=self._draw.getrandbits(128)) for _ in range(EVENTS)]
            body = "\n".join(self._events(traces))
            while not await self._post(session, f"batch-{number}", body):
                self.retried += 1
                await asyncio.sleep(self._draw.uniform(0.05, 0.3))
            self.acknowledged.update(traces)
        finally:
            self._room.release()

    async def _post(self, session: aiohttp.ClientSession, key: str, body: str) -> bool:
        timeout = aiohttp.ClientTimeout(ANSWER_SECONDS)
        headers = {"Idempotency-Key": key}
        try:
            async with session.post(
                self._url, data=body, headers=headers, timeout=timeout
            ) as reply:
                if reply.status == 202:
                    assert (await reply.json())["accepted"] == EVENTS
                    return True
                # Only refusals that ask to come again may come; anything else is a fault of ours.
                assert reply.status in (429, 503), f"{reply.status}: {await reply.text()}"
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        return False

    def _events(self, traces: list[UUID]) -> Iterator[str]:
        draw = self._draw
        for trace in traces:
            # Some are late or early by minutes: rollups must hold for those too.
            late = draw.choice((0, 0, 0, 90, 1_800, -120))
            drawn = {
                "time": time.time() - late,
                "route": f"/resource{draw.randrange(20)}/{{id}}",
                "status": draw.choice((200, 200, 200, 404, 500)),
                "duration_ms": draw.lognormvariate(2.5, 0.8),
            }
            if draw.random() < 0.1:
                drawn["id"] = trace.hex
            yield json.dumps(event(trace) | drawn)


def event(trace: UUID) -> dict[str, Any]:
    """Return a request of this moment."""
    return {
        "type": "request",
        "time": time.time(),
        "service": "shop",
        "method": "GET",
        "route": "/fresh",
        "status": 200,
        "duration_ms": 1.0,
        "trace_id": trace.hex,
    }
