"""How OTLP is answered: in the encoding of the request, an error as google.rpc.Status."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from aiohttp import web
from aiohttp.typedefs import Handler
from google.protobuf import json_format

from monitord.ingest.answers import KEPT, retry_after
from monitord.ingest.decoded import Decoded


PROTOBUF, JSON = "application/x-protobuf", "application/json"

# HTTP status -> google.rpc.Code: invalid argument, unauthenticated, permission denied and so on.
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 429: 8, 503: 14}
INVALID_ARGUMENT = 3

# Refused records described in a sentence.
DESCRIBED = 5

log = structlog.get_logger()


def answer(content_type: str, message: Any) -> web.Response:
    """Return 200 with a message, in the encoding of the request."""
    body = (
        json_format.MessageToJson(message, indent=None).encode()
        if content_type == JSON
        else message.SerializeToString()
    )
    return web.Response(body=body, content_type=content_type)


def described(decoded: Decoded, records: str) -> str:
    """Return in one sentence what was wrong with the records that were refused."""
    if not decoded.rejected:
        return ""
    first = "; ".join(
        f"{refusal.index}: {refusal.sentence}" for refusal in decoded.refusals[:DESCRIBED]
    )
    return f"{decoded.rejected} {records} refused, by their place from 0: {first}"


@web.middleware
async def in_status(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer an error as OTLP does; it stands around the routes of OTLP alone."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = _status(request, error.status, error.text or error.reason)
        for name in KEPT:
            if name in error.headers:
                response.headers[name] = error.headers[name]
        if error.keep_alive is False:
            response.force_close()
        return response
    except ConnectionError:
        raise  # the client has left: nobody to answer
    except Exception as error:
        # A fault of ours must leave the events with the client, who will send them again.
        log.error("ingest.failed", error=repr(error), exc_info=error)
        response = _status(request, 503, "cannot take events now")
        response.headers.update(retry_after(5, 30))
        return response


def _status(request: web.Request, status: int, message: str) -> web.Response:
    content_type = PROTOBUF if request.content_type == PROTOBUF else JSON
    code = CODES.get(status, INVALID_ARGUMENT)
    body = (
        msgspec.json.encode({"code": code, "message": message})
        if content_type == JSON
        else status_bytes(code, message)
    )
    return web.Response(body=body, status=status, content_type=content_type)


def status_bytes(code: int, message: str) -> bytes:
    """Return a google.rpc.Status in protobuf: its code is field 1, its message field 2."""
    text = message.encode()
    return bytes((0x08, code, 0x12)) + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
