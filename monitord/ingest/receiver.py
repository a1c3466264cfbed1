"""One `POST /v1/ingest`: who sends, what it is, whether there is room; then decode and offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from aiohttp import web

from monitord.ingest.counts import Counts
from monitord.ingest.decoded import Decoded
from monitord.ingest.entrance import Entrance, check_content
from monitord.ingest.idempotency import bound, idempotency_key
from monitord.ingest.native import decode_body
from monitord.ingest.senders import Senders
from monitord.telemetry import Telemetry


CONTENT_TYPES = ("application/x-ndjson", "application/json", "application/jsonl")
ENCODINGS = ("identity", "gzip")


class _Taken(NamedTuple):
    """A body decoded: `size_bytes` is its size decompressed, `key` its name and its digest."""

    decoded: Decoded
    size_bytes: int
    key: str


class Receiver:
    """Takes bodies: who may send, what it is, whether there is room; then decodes and offers."""

    def __init__(
        self,
        entrance: Entrance,
        telemetry: Telemetry,
        senders: Senders,
        limit: int,
        now: Callable[[], float],
    ) -> None:
        self._entrance = entrance
        self._limit = limit
        self._now = now
        self._senders = senders
        self._counts = Counts(telemetry, "http")

    def add_routes(self, app: web.Application) -> None:
        """Add the path to an application."""
        app.router.add_post("/v1/ingest", self.receive)

    async def receive(self, request: web.Request) -> web.Response:
        self._entrance.check_sender(request)
        check_content(request, CONTENT_TYPES, ENCODINGS)
        key = idempotency_key(request)
        self._entrance.check_room()

        def decode(body: bytes) -> _Taken:
            decoded = decode_body(body, self._now(), self._limit)
            return _Taken(decoded, len(body), bound(key, body))

        return await self._deliver(await self._entrance.read(request, decode))

    async def _deliver(self, taken: _Taken) -> web.Response:
        decoded = taken.decoded
        # Also when there is no room: what is sent again is heard twice, which is no harm.
        self._senders.hear(decoded.envelopes)
        if not decoded.accepted:
            self._counts.count_wrong(decoded)
            # An envelope alone says how much was sent in datagrams.
            said = decoded.envelopes and not decoded.rejected
            return _reply(202 if said else 400, decoded)
        self._counts.count(decoded)
        batch = decoded.batch(self._now(), taken.size_bytes, taken.key)
        await self._entrance.deliver(batch)
        return _reply(202, decoded)


def _reply(status: int, decoded: Decoded) -> web.Response:
    errors = [
        {"index": refusal.index, "reason": refusal.sentence, "code": refusal.code}
        for refusal in decoded.refusals
    ]
    reply: dict[str, Any] = {
        "accepted": decoded.accepted,
        "rejected": decoded.rejected,
        "errors": errors,
    }
    if status == 400:
        reply["error"] = (
            "no event could be taken" if decoded.rejected else "the body holds no event"
        )
    body = msgspec.json.encode(reply)
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")
