"""
Spans of the default emitter: `span` around a block, `record_span` of what has just ended.

`Span` is what the block is given, `current` the one that surrounds a piece of code.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from monitord.emit.default import default
from monitord.emit.failure import Failure
from monitord.emit.spans import Kind, Served, Span, Unrecorded, current


__all__ = [
    "Kind",
    "Served",
    "Span",
    "Unrecorded",
    "current",
    "inject",
    "record_span",
    "span",
    "traceparent",
]


def span(
    name: str, kind: Kind = "internal", attributes: Mapping[str, Any] | None = None
) -> Span | Unrecorded:
    """Return a context manager that records its block as a step of the trace."""
    return default().span(name, kind, attributes)


def record_span(
    name: str,
    kind: Kind,
    began_ns: int,
    attributes: Mapping[str, Any] | None = None,
    error: BaseException | Failure | None = None,
) -> None:
    """Record a step that ends now; it began at `began_ns`, by perf_counter."""
    default().record_span(name, kind, began_ns, attributes, error)


def inject(headers: MutableMapping[str, str]) -> None:
    """Add `traceparent`, and `tracestate` if one came in, to those of an outgoing request."""
    default().inject(headers)


def traceparent() -> str | None:
    """Return the `traceparent` an outgoing request should carry, None outside a trace."""
    return default().traceparent()
