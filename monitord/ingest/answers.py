"""How the ingest port answers: always JSON, always a sentence, never a traceback."""

from __future__ import annotations

import random

from typing import Any

import structlog

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from monitord.listen import allowed_host, local_port


# What else of an error's answer a client needs.
KEPT = (hdrs.RETRY_AFTER, hdrs.WWW_AUTHENTICATE, hdrs.ACCEPT_ENCODING, hdrs.ALLOW)

log = structlog.get_logger()


def retry_after(least_seconds: int, most_seconds: int) -> dict[str, str]:
    """
    Return the header that says in how many whole seconds to try again.

    They are spread, so that those who were refused together do not come back together.
    """
    return {hdrs.RETRY_AFTER: str(random.randint(least_seconds, most_seconds))}


def host_checked_for(names: tuple[str, ...]) -> Any:
    """Return the middleware that answers only to this listener's names."""

    @web.middleware
    async def host_checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not allowed_host(request.headers.get(hdrs.HOST), names, local_port(request)):
            raise web.HTTPMisdirectedRequest(text="Host: not one of ingest.allowed_hosts")
        return await handler(request)

    return host_checked


@web.middleware
async def in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer in JSON whatever happens, and give no more away than the sentence."""
    response: web.StreamResponse
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = web.json_response({"error": error.text or error.reason}, status=error.status)
        for name in KEPT:
            if name in error.headers:
                response.headers[name] = error.headers[name]
        if error.keep_alive is False:
            response.force_close()
    except ConnectionError:
        raise  # the client has left: nobody to answer
    except Exception as error:
        # A fault of ours must leave the events with the client, who will send them again.
        log.error("ingest.failed", error=repr(error), exc_info=error)
        response = web.json_response(
            {"error": "cannot take events now"}, status=503, headers=retry_after(5, 30)
        )
    response.headers[hdrs.SERVER] = "monitord"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
