"""
OTLP in JSON as the same message in protobuf. Bytes in, bytes out.

It is protobuf's own mapping but for ids, which are hexadecimal and not base64.
"""

from __future__ import annotations

import base64
import json

from typing import Any

from google.protobuf import json_format
from google.protobuf.message import EncodeError

from monitord.ingest.otlp.malformed import Malformed
from monitord.ingest.texts import REPLACEMENT, UNSTORABLE, too_deep


IDS = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})
# Far above what attributes within the limit of depth are nested in.
DEPTH = 120
# Each begins a value, or parts two. An event of 64 attributes has some 300 of them, and those of
# a whole body may take half a second.
SIGNS = (b"[", b"{", b",")
EVENT_SIGNS = 300
LEAST_SIGNS, MOST_SIGNS = 20_000, 500_000


class TooManyValues(Exception):
    """The body would take too long to decode; the sentence says what is expected."""


def as_protobuf(message: Any, body: bytes, limit: int) -> bytes:
    """
    Return the body as this class's message.

    Raises Malformed, or TooManyValues: far more than *limit* events can be.
    """
    _check_size(body, limit)
    try:
        # Half of a surrogate pair must not cost the body, as it would with msgspec.
        tree = json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body is no JSON: {error}") from None
    if type(tree) is not dict or too_deep(tree, DEPTH):
        raise Malformed(f"the body is no JSON object of at most {DEPTH} levels")
    try:
        found = json_format.ParseDict(_mended(tree), message(), ignore_unknown_fields=True)
        written: bytes = found.SerializeToString()
    except (json_format.Error, EncodeError, ValueError, TypeError, ArithmeticError) as error:
        sentence = str(error).partition("\n")[0][:200]
        raise Malformed(f"the body is no {message.DESCRIPTOR.name} in JSON: {sentence}") from None
    return written


def _check_size(body: bytes, limit: int) -> None:
    """Count values without decoding one: json holds up all threads until it has decoded all."""
    most = min(max(EVENT_SIGNS * limit, LEAST_SIGNS), MOST_SIGNS)
    found = sum(body.count(sign) for sign in SIGNS)
    if found > most:
        raise TooManyValues(
            f"JSON: expected at most {most:,} brackets, braces and commas, got {found:,}"
        )


def _mended(value: Any) -> Any:
    """Return the value with ids in base64, and without what cannot be stored."""
    if isinstance(value, dict):
        return {
            UNSTORABLE.sub(REPLACEMENT, key): _base64(inner) if key in IDS else _mended(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_mended(inner) for inner in value]
    return UNSTORABLE.sub(REPLACEMENT, value) if isinstance(value, str) else value


def _base64(value: Any) -> str:
    """Return an id in base64; one that is not hexadecimal is as good as none."""
    try:
        raw = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        raw = b""
    return base64.b64encode(raw).decode()
