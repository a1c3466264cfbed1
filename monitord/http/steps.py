"""The steps of a trace in the order they are read in: each below the step it is a part of."""

from __future__ import annotations

import json

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from monitord.http.traces import FullTrace, TracedRequest
from monitord.store.traces import TraceSpan


# Of the attributes of a step so many are shown, these first, each so far.
SHOWN = 8
FIRST = ("db.query.text", "url.full", "cache.type", "cache.hit", "http.response.status_code")
VALUE_CHARACTERS = 300

# A server's span is its request when both begin and last the same to a few milliseconds.
SAME_SECONDS = 0.005


class Step(Struct, frozen=True, kw_only=True):
    """
    A request or a span. `start` is Unix seconds, `depth` how many steps it lies below the first.

    `known` are names and values of its attributes, `exception` is type and message.
    """

    start: float
    duration_ms: float
    service: str
    name: str
    kind: str
    status: str
    error: bool
    depth: int
    exception: str = ""
    known: Sequence[tuple[str, str]] = ()


def steps(trace: FullTrace) -> list[Step]:
    """Return the requests and spans of a trace, by their start, children below their parents."""
    alone = [one for one in trace.requests if not any(is_its(span, one) for span in trace.spans)]
    below = 1 if alone else 0
    children: dict[str | None, list[TraceSpan]] = {}
    known = {span.span_id for span in trace.spans}
    for span in trace.spans:
        parent = span.parent_id if span.parent_id in known else None
        children.setdefault(parent, []).append(span)
    found = [of_request(one) for one in alone]
    found += walked(children, below)
    return found


def walked(children: Mapping[str | None, Sequence[TraceSpan]], depth: int) -> Iterator[Step]:
    """Yield the spans depth first. A ring of parents has no first one and is put at the end."""
    seen: set[int] = set()
    waiting = [(span, depth) for span in reversed(children.get(None, ()))]
    rest = (span for some in children.values() for span in some)
    while True:
        while waiting:
            span, level = waiting.pop()
            if id(span) in seen:
                continue
            seen.add(id(span))
            yield of_span(span, level)
            below = children.get(span.span_id, ())
            waiting += [(child, level + 1) for child in reversed(below)]
        left = next((span for span in rest if id(span) not in seen), None)
        if left is None:
            return
        waiting.append((left, depth))


def is_its(span: TraceSpan, request: TracedRequest) -> bool:
    """Say whether a span is the same as a request, told by the server both come from."""
    return (
        span.kind == "server"
        and span.service == request.service
        and abs(span.start - request.start) < SAME_SECONDS
        and abs(span.duration_ms - request.duration_ms) < SAME_SECONDS * 1000
    )


def of_request(request: TracedRequest) -> Step:
    return Step(
        start=request.start,
        duration_ms=request.duration_ms,
        service=request.service,
        name=f"{request.method} {request.route}",
        kind="request",
        status=str(request.status),
        error=request.error,
        depth=0,
    )


def of_span(span: TraceSpan, depth: int) -> Step:
    exception = span.exception
    return Step(
        start=span.start,
        duration_ms=span.duration_ms,
        service=span.service,
        name=span.name,
        kind=span.kind,
        status=span.status,
        error=span.error,
        depth=depth,
        exception=f"{exception.type}: {exception.message}"[:VALUE_CHARACTERS] if exception else "",
        known=list(facts(span.attributes)),
    )


def facts(attributes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield some attributes as texts, those that say most first."""
    names = [name for name in FIRST if name in attributes]
    names += [name for name in sorted(attributes) if name not in FIRST]
    for name in names[:SHOWN]:
        value = attributes[name]
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield name, text[:VALUE_CHARACTERS]
