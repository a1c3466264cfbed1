"""One `POST /v1/ingest`: who sends, what it is, whether there is room; then decode and offer."""

from __future__ import annotations

import asyncio

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from aiohttp import hdrs, web

from monitord.errors import NotTaken
from monitord.ingest.answers import retry_after
from monitord.ingest.counts import Counts
from monitord.ingest.decoded import Decoded, TooManyItems
from monitord.ingest.gzipped import Corrupt, TooLarge, unzipped
from monitord.ingest.idempotency import bound, idempotency_key
from monitord.ingest.native import decode_body
from monitord.ingest.senders import Senders
from monitord.listen import TokenSet, bearer, read_body
from monitord.model import DurableSink
from monitord.settings import Ingest
from monitord.telemetry import Telemetry


CONTENT_TYPES = ("application/x-ndjson", "application/json", "application/jsonl")
ENCODINGS = ("", "identity", "gzip", "x-gzip")
# Bodies being read and decoded at once, as they may be after decompression.
IN_FLIGHT_BYTES = 64 * 1024 * 1024
# Larger ones are decoded beside the loop, so that nothing waits for them.
INLINE_BYTES = 64 * 1024


class _Taken(NamedTuple):
    """A body decoded: `size_bytes` is its size decompressed, `key` its name and its digest."""

    decoded: Decoded
    size_bytes: int
    key: str


class Receiver:
    """Takes bodies: who may send, what it is, whether there is room; then decodes and offers."""

    def __init__(
        self,
        ingest: Ingest,
        sink: DurableSink,
        telemetry: Telemetry,
        senders: Senders,
        now: Callable[[], float],
    ) -> None:
        self._ingest = ingest
        self._sink = sink
        self._now = now
        self._tokens = TokenSet(ingest.tokens)
        self._senders = senders
        self._counts = Counts(telemetry, "http")
        self._in_flight_bytes = 0

    async def receive(self, request: web.Request) -> web.Response:
        self._check_sender(request)
        _check_content(request)
        key = idempotency_key(request)
        self._check_room()
        return await self._deliver(await self._read(request, key))

    def _check_sender(self, request: web.Request) -> None:
        if hdrs.ORIGIN in request.headers:
            # A page in somebody's browser could otherwise write into the logs of this machine.
            raise web.HTTPForbidden(text="browsers may not push events")
        if self._tokens and bearer(request.headers) not in self._tokens:
            raise web.HTTPUnauthorized(
                text="needs the header Authorization: Bearer <one of ingest.tokens>",
                headers={hdrs.WWW_AUTHENTICATE: "Bearer"},
            )

    def _check_room(self) -> None:
        """Refuse before the body is read, or decoded, what would not be taken anyhow."""
        try:
            self._sink.check_room()
        except NotTaken as refusal:
            raise _not_taken(refusal) from None

    async def _read(self, request: web.Request, key: str) -> _Taken:
        """Read and decode the body, and let go of it: delivering what it held may take long."""
        reserved_bytes = self._reserve(request)
        try:
            body = await read_body(request, self._ingest.body_bytes)
            return await self._decode(body, _encoding(request), key)
        finally:
            self._in_flight_bytes -= reserved_bytes

    def _reserve(self, request: web.Request) -> int:
        """Count the body's bytes in, before one of them is read."""
        most = self._ingest.body_bytes
        declared = request.content_length
        wire = most if declared is None else min(declared, most)
        size = wire + most if _encoding(request) == "gzip" else wire
        if self._in_flight_bytes and self._in_flight_bytes + size > IN_FLIGHT_BYTES:
            raise web.HTTPTooManyRequests(
                text="too many bodies at once; nothing was taken", headers=retry_after(1, 3)
            )
        self._in_flight_bytes += size
        return size

    async def _decode(self, body: bytes, encoding: str, key: str) -> _Taken:
        try:
            if len(body) <= INLINE_BYTES and encoding != "gzip":
                return self._decoded(body, encoding, key)
            return await asyncio.to_thread(self._decoded, body, encoding, key)
        except Corrupt as error:
            raise web.HTTPBadRequest(text=f"not gzip: {error}") from None
        except TooLarge:
            limit = self._ingest.body_bytes
            raise _too_large(f"expected at most {limit} bytes once decompressed") from None
        except TooManyItems:
            raise _too_large(f"expected at most {self._ingest.body_items} events") from None

    def _decoded(self, body: bytes, encoding: str, key: str) -> _Taken:
        if encoding == "gzip":
            body = unzipped(body, self._ingest.body_bytes)
        decoded = decode_body(body, self._now(), self._ingest.body_items)
        return _Taken(decoded, len(body), bound(key, body))

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
        try:
            await self._sink.deliver(decoded.batch(self._now(), taken.size_bytes, taken.key))
        except NotTaken as refusal:
            raise _not_taken(refusal) from None
        return _reply(202, decoded)


def _check_content(request: web.Request) -> None:
    if request.content_type not in CONTENT_TYPES:  # without the header it is octet-stream
        raise web.HTTPUnsupportedMediaType(
            text=f"Content-Type: expected {' or '.join(CONTENT_TYPES[:2])}"
        )
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise web.HTTPUnsupportedMediaType(text="Content-Type: expected charset utf-8")
    if request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower() not in ENCODINGS:
        raise web.HTTPUnsupportedMediaType(
            text="Content-Encoding: expected identity or gzip",
            headers={hdrs.ACCEPT_ENCODING: "gzip, identity"},
        )


def _not_taken(refusal: NotTaken) -> web.HTTPException:
    wait_seconds = refusal.wait_seconds
    if wait_seconds is None:
        return web.HTTPUnprocessableEntity(text=str(refusal))
    kind = web.HTTPTooManyRequests if refusal.crowded else web.HTTPServiceUnavailable
    return kind(text=str(refusal), headers=retry_after(wait_seconds, 3 * wait_seconds))


def _encoding(request: web.Request) -> str:
    spoken = request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower()
    return "gzip" if spoken.endswith("gzip") else "identity"


def _too_large(sentence: str) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(0, 0, text=sentence)


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
