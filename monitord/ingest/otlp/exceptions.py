"""An exception as OpenTelemetry's conventions describe it, in `exception.*`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitord.ingest.limits import ERROR_MESSAGE_BYTES, NAME_CHARACTERS
from monitord.ingest.otlp.values import text_of
from monitord.ingest.texts import shortened
from monitord.ingest.tracebacks import frames_of
from monitord.model import ErrorInfo


TYPE, MESSAGE, STACK = "exception.type", "exception.message", "exception.stacktrace"
NAMES = frozenset({TYPE, MESSAGE, STACK, "exception.escaped"})

# What an exception is called that does not say its type.
NO_TYPE = "Exception"


def error_of(attributes: Mapping[str, Any]) -> ErrorInfo | None:
    """Return the exception these attributes describe, None where they describe none."""
    kind, message = attributes.get(TYPE), attributes.get(MESSAGE)
    if not kind and not message:
        return None
    printed = frames_of(text_of(attributes.get(STACK) or ""))
    return ErrorInfo(
        text_of(kind or NO_TYPE)[:NAME_CHARACTERS],
        shortened(text_of(message or ""), ERROR_MESSAGE_BYTES),
        printed.frames if printed else [],
    )
