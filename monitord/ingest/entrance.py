"""What every protocol over HTTP shares: who sends, whether there is room, the body as it was."""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import Callable
from typing import TypeVar

from aiohttp import hdrs, web

from monitord.errors import NotTaken
from monitord.ingest.answers import retry_after
from monitord.ingest.decoded import TooManyItems
from monitord.ingest.gzipped import Corrupt, TooLarge, unzipped
from monitord.ingest.unzstd import unzstd
from monitord.listen import TokenSet, bearer, read_body
from monitord.model import Batch, DurableSink
from monitord.settings import Ingest


# Bodies being read and decoded at once, as they may be after decompression.
IN_FLIGHT_BYTES = 64 * 1024 * 1024
# Larger ones are decoded beside the loop, so that nothing waits for them.
INLINE_BYTES = 64 * 1024

# What Content-Encoding may be called, and how each is undone.
ENCODINGS = {
    "": "identity",
    "identity": "identity",
    "gzip": "gzip",
    "x-gzip": "gzip",
    "zstd": "zstd",
}
UNPACKED: dict[str, Callable[[bytes, int], bytes]] = {"gzip": unzipped, "zstd": unzstd}

Read = TypeVar("Read")


# What bodies wait for that do not wait for each other.
NOTHING: contextlib.AbstractAsyncContextManager[None] = contextlib.nullcontext()


def is_small(body: bytes) -> bool:
    """Say whether a body of any kind is decoded on the loop."""
    return len(body) <= INLINE_BYTES


class Entrance:
    """Lets bodies in, and what they held on to the sink. One for all that share the memory."""

    def __init__(self, ingest: Ingest, sink: DurableSink) -> None:
        self._ingest = ingest
        self._sink = sink
        self._tokens = TokenSet(ingest.tokens)
        self._in_flight_bytes = 0

    def check_sender(self, request: web.Request) -> None:
        if hdrs.ORIGIN in request.headers:
            # A page in somebody's browser could otherwise write into the logs of this machine.
            raise web.HTTPForbidden(text="browsers may not push events")
        if self._tokens and bearer(request.headers) not in self._tokens:
            raise web.HTTPUnauthorized(
                text="needs the header Authorization: Bearer <one of ingest.tokens>",
                headers={hdrs.WWW_AUTHENTICATE: "Bearer"},
            )

    def check_room(self) -> None:
        """Refuse before the body is read, or decoded, what would not be taken anyhow."""
        try:
            self._sink.check_room()
        except NotTaken as refusal:
            raise _not_taken(refusal) from None

    async def read(
        self,
        request: web.Request,
        decode: Callable[[bytes], Read],
        is_short: Callable[[bytes], bool] = is_small,
        turn: contextlib.AbstractAsyncContextManager[None] = NOTHING,
    ) -> Read:
        """
        Read and decode the body, and let go of it: delivering what it held may take long.

        Where it is not `is_short`, and where it is compressed, `decode` is called in another
        thread once it is its `turn`.
        """
        reserved_bytes = self._reserve(request)
        try:
            body = await read_body(request, self._ingest.body_bytes)
            encoding = content_encoding(request)
            is_inline = encoding not in UNPACKED and is_short(body)
            return await self._decode(body, encoding, decode, None if is_inline else turn)
        finally:
            self._in_flight_bytes -= reserved_bytes

    async def deliver(self, batch: Batch) -> None:
        """Return once the batch is safe on disk. Raises HTTPException: it is not."""
        try:
            await self._sink.deliver(batch)
        except NotTaken as refusal:
            raise _not_taken(refusal) from None

    def _reserve(self, request: web.Request) -> int:
        """Count the body's bytes in, before one of them is read."""
        most = self._ingest.body_bytes
        declared = request.content_length
        wire = most if declared is None else min(declared, most)
        size = wire + most if content_encoding(request) in UNPACKED else wire
        if self._in_flight_bytes and self._in_flight_bytes + size > IN_FLIGHT_BYTES:
            raise web.HTTPTooManyRequests(
                text="too many bodies at once; nothing was taken", headers=retry_after(1, 3)
            )
        self._in_flight_bytes += size
        return size

    async def _decode(
        self,
        body: bytes,
        encoding: str,
        decode: Callable[[bytes], Read],
        turn: contextlib.AbstractAsyncContextManager[None] | None,
    ) -> Read:
        def whole() -> Read:
            unpacked = UNPACKED.get(encoding)
            return decode(unpacked(body, self._ingest.body_bytes) if unpacked else body)

        try:
            if turn is None:
                return whole()
            async with turn:
                return await asyncio.to_thread(whole)
        except Corrupt as error:
            raise web.HTTPBadRequest(text=f"not {encoding}: {error}") from None
        except TooLarge:
            limit = self._ingest.body_bytes
            raise _too_large(f"expected at most {limit} bytes once decompressed") from None
        except TooManyItems:
            raise _too_large(f"expected at most {self._ingest.body_items} events") from None


def check_content(request: web.Request, types: tuple[str, ...], encodings: tuple[str, ...]) -> None:
    """Refuse what is of none of these types and encodings; two of the types are named."""
    if request.content_type not in types:  # without the header it is octet-stream
        raise web.HTTPUnsupportedMediaType(text=f"Content-Type: expected {' or '.join(types[:2])}")
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise web.HTTPUnsupportedMediaType(text="Content-Type: expected charset utf-8")
    if content_encoding(request) not in encodings:
        *others, last = encodings
        raise web.HTTPUnsupportedMediaType(
            text=f"Content-Encoding: expected {', '.join(others)} or {last}",
            headers={hdrs.ACCEPT_ENCODING: ", ".join(reversed(encodings))},
        )


def content_encoding(request: web.Request) -> str:
    """Return the encoding by the name it has in ENCODINGS, empty for one that is not there."""
    return ENCODINGS.get(request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower(), "")


def _not_taken(refusal: NotTaken) -> web.HTTPException:
    wait_seconds = refusal.wait_seconds
    if wait_seconds is None:
        return web.HTTPUnprocessableEntity(text=str(refusal))
    kind = web.HTTPTooManyRequests if refusal.crowded else web.HTTPServiceUnavailable
    return kind(text=str(refusal), headers=retry_after(wait_seconds, 3 * wait_seconds))


def _too_large(sentence: str) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(0, 0, text=sentence)
