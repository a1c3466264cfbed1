"""What a structlog event dict says, split as the wire has it. Knows the keys, not structlog."""

from __future__ import annotations

import sys

from collections.abc import Mapping
from typing import Any, NamedTuple


# Told in a place of their own on the wire, or of use to structlog alone.
TOLD_ELSEWHERE = frozenset(
    {"event", "level", "logger", "timestamp", "exc_info", "trace_id"}
    | {"_record", "_from_structlog", "_name", "_logger"}
)


class Told(NamedTuple):
    """Message, remaining fields, and the exception if one was being handled."""

    message: object
    fields: dict[str, Any]
    error: BaseException | None


def told(event_dict: Mapping[str, Any]) -> Told:
    """Split the event dict, leaving it as it is."""
    fields = {key: value for key, value in event_dict.items() if key not in TOLD_ELSEWHERE}
    return Told(event_dict.get("event", ""), fields, _error(event_dict.get("exc_info")))


def _error(exc_info: object) -> BaseException | None:
    """Read what structlog accepts as `exc_info`: True, an exception, or sys.exc_info()'s tuple."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple) and len(exc_info) == 3:
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None
