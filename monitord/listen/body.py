"""A request's body as it was sent: bounded in bytes and in time."""

import asyncio

from aiohttp import web


BODY_SECONDS = 30.0


async def read_body(request: web.Request, limit: int, seconds: float = BODY_SECONDS) -> bytes:
    """
    Return the body as it was sent, at most *limit* bytes within *seconds* in all.

    Raises HTTPRequestEntityTooLarge, HTTPRequestTimeout, or HTTPBadRequest (broken framing).
    """
    declared = request.content_length
    if declared is not None and declared > limit:
        raise web.HTTPRequestEntityTooLarge(limit, declared)
    try:
        # Most come with their head: no deadline to set up.
        body = (
            request.content.read_nowait()
            if request.content.is_eof()
            else await _read_on(request, limit, seconds)
        )
    except web.RequestPayloadError:
        raise web.HTTPBadRequest(text="the body is not framed as its head says") from None
    if len(body) > limit:
        raise web.HTTPRequestEntityTooLarge(limit, len(body))
    return body


async def _read_on(request: web.Request, limit: int, seconds: float) -> bytes:
    """Return the rest of the body, or as much of it as is above the limit."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while len(body) <= limit and (chunk := await request.content.readany()):
                body += chunk
    except TimeoutError:
        refusal = web.HTTPRequestTimeout(text=f"the body did not arrive within {seconds:g} s")
        refusal.force_close()
        raise refusal from None
    return bytes(body)
