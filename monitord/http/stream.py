"""
The live log as server-sent events. The filter is in `lines`, the bus in `intake`.

A line is one unnamed event: JSON on one `data:` line, its cursor as the id. `gap` says how many
lines are missing at this place (null: unknown), `bye` that monitord ends the stream.
"""

from __future__ import annotations

import asyncio
import json

from collections.abc import Iterable
from typing import Any

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from monitord.http.keys import ENCODER, GATE, IDENTITY, PACE, PEER, PORTS, SEATS
from monitord.http.lines import Encoder, LineFilter, line_filter
from monitord.http.parameters import LEVEL, TEXT
from monitord.http.respond import refusal
from monitord.http.throttle import NoSeat
from monitord.intake.bus import HELD_LINES, Gap, Recent, Watcher
from monitord.model import LogLine


RETRY_MS = 3_000

# How many lines a new client gets at once; one that comes back gets all it has not seen.
TAIL = 100

# What is handed to the socket at once: small enough for a slow but live reader to take it in time.
CHUNK_BYTES = 32 * 1024


class LineStream(EventSourceResponse):
    """A response of server-sent events that no cache keeps, and that takes many lines at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.headers["Cache-Control"] = "no-store"

    async def open(self, gap: bool) -> None:
        """Say how soon to come back, and whether lines since the last visit are lost."""
        await self.write(f"retry: {RETRY_MS}\r\n\r\n".encode("ascii"))
        if gap:
            await self.send_gap(None)

    async def send_gap(self, dropped: int | None) -> None:
        """Say that so many lines are missing here; None: it is not known how many."""
        await self.send(json.dumps({"dropped": dropped}), event="gap")

    async def send_lines(self, lines: Iterable[LogLine], encoder: Encoder) -> None:
        """
        Send the lines in order.

        Raises ConnectionError: the client has left. TimeoutError: it takes nothing any more.
        """
        chunk = bytearray()
        for line in lines:
            chunk += encoder.event(line)
            if len(chunk) >= CHUNK_BYTES:
                await self._push(bytes(chunk))
                chunk.clear()
        if chunk:
            await self._push(bytes(chunk))

    async def _push(self, chunk: bytes) -> None:
        try:
            async with asyncio.timeout(self._send_timeout):
                await self.write(chunk)
        except TimeoutError:
            self._abort_transport()
            raise


async def tail(request: web.Request) -> web.StreamResponse:
    """Answer with the newest lines, then with each new one, until the client leaves."""
    ports = request.app[PORTS]
    wanted = line_filter(LEVEL.of(request.query), TEXT.of(request.query))
    try:
        with request.app[SEATS].take(request[PEER].address), ports.bus.watch() as watcher:
            # No await between the two: together they hold each line exactly once.
            recent = ports.bus.recent(HELD_LINES, request.headers.get("Last-Event-ID") or None)
            with ports.telemetry.watchers.track_inprogress():
                return await _stream(request, recent, watcher, wanted)
    except NoSeat as full:
        return refusal(429, str(full), {"Retry-After": "10"})
    except TimeoutError as stalled:
        raise ConnectionResetError("the client takes nothing any more") from stalled


async def _stream(
    request: web.Request, recent: Recent, watcher: Watcher, wanted: LineFilter
) -> web.StreamResponse:
    encoder, pace = request.app[ENCODER], request.app[PACE]
    async with sse_response(
        request,
        response_cls=LineStream,
        ping_interval=pace.ping_seconds,
        send_timeout=pace.stalled_seconds,
    ) as stream:
        await stream.open(gap=recent.gap)
        held = [line for line in recent.lines if wanted.keeps(line)]
        resumed = bool(request.headers.get("Last-Event-ID")) and not recent.gap
        await stream.send_lines(held if resumed else held[-TAIL:], encoder)
        async for news in watcher:
            if not request.app[GATE].still(request[IDENTITY]):
                break
            if isinstance(news, Gap):
                request.app[PORTS].telemetry.stream_gaps.inc(news.dropped)
                await stream.send_gap(news.dropped)
            else:
                await stream.send_lines((line for line in news if wanted.keeps(line)), encoder)
        await stream.send("{}", event="bye")
    return stream
