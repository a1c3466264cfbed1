"""
Who is being served: trace and span ids, read from and written to headers.

Formats: W3C Trace Context (https://www.w3.org/TR/trace-context/), and `X-Trace-ID` as 32 hex
digits or a UUID.
"""

from __future__ import annotations

import functools
import os
import random
import re

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


# New traces are marked "sampled": everything is kept.
SAMPLED, NOT_SAMPLED = "01", "00"

NO_TRACE, NO_SPAN = b"0" * 32, b"0" * 16
BLANKS = b" \t"

_parent = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?").fullmatch
_plain_id = re.compile(
    rb"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
).fullmatch


class Span(NamedTuple):
    """This process's part in a trace that began elsewhere; flags and state travel on unchanged."""

    trace_id: str
    span_id: str
    flags: str
    state: str


trace_id: ContextVar[str | None] = ContextVar("monitord.trace_id", default=None)
joined: ContextVar[Span | None] = ContextVar("monitord.joined", default=None)


def first_span(trace: str) -> str:
    """Return the id of the span that began the trace: the trace id is random, and so its half."""
    return trace[16:]


def span_id() -> str | None:
    """Return the id of the span being served, None outside a trace."""
    trace, span = trace_id.get(), joined.get()
    if trace is None:
        return None
    # A trace begun inside a joined one is not the joined one.
    return span.span_id if span is not None and span.trace_id == trace else first_span(trace)


@functools.cache
def random_bits() -> Callable[[int], int]:
    """
    Return `getrandbits` of a generator of our own, seeded anew in each forked child.

    The shared one will not do: an application that calls `random.seed(0)` in every worker would
    give its workers the same trace ids.
    """
    generator = random.Random()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=generator.seed)
    return generator.getrandbits


def new_trace() -> str:
    """Return a new trace id, 32 hex digits."""
    return random_bits()(128).to_bytes(16, "big").hex()


def new_span() -> str:
    """Return a new span id, 16 hex digits."""
    return random_bits()(64).to_bytes(8, "big").hex()


def join(headers: Iterable[tuple[bytes, bytes]]) -> Span | None:
    """
    Return a span of the trace the caller named, None when it named no valid one.

    `traceparent` counts before `X-Trace-ID`; one that is malformed or given twice counts as absent,
    as the specification asks. Header names are lower case, as ASGI has them.
    """
    parents, states, own = [], [], None
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            states.append(value.strip(BLANKS))
        elif name == b"x-trace-id":
            own = own or _x_trace_id(value.strip(BLANKS))
    if len(parents) == 1 and (found := _traceparent(parents[0].strip(BLANKS))):
        return Span(found[0], new_span(), found[1], b",".join(states).decode("latin-1"))
    return Span(own, new_span(), SAMPLED, "") if own is not None else None


def _traceparent(value: bytes) -> tuple[str, str] | None:
    match = _parent(value)
    if match is None:
        return None
    version, trace, caller, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if trace == NO_TRACE or caller == NO_SPAN:
        return None
    # Bits other than "sampled" are reserved and must go out as zero.
    return trace.decode(), SAMPLED if int(flags, 16) & 1 else NOT_SAMPLED


def _x_trace_id(value: bytes) -> str | None:
    if not _plain_id(value) or not value.strip(b"0-"):
        return None
    return value.replace(b"-", b"").lower().decode()


def headers() -> dict[str, str]:
    """Return what an outgoing HTTP request should carry; empty outside a trace."""
    trace, own, span = trace_id.get(), span_id(), joined.get()
    if trace is None:
        return {}
    if span is None or span.span_id != own:
        return {"traceparent": f"00-{trace}-{own}-{SAMPLED}"}
    carried = {"traceparent": f"00-{trace}-{own}-{span.flags}"}
    if span.state:
        carried["tracestate"] = span.state
    return carried


@contextmanager
def traced(trace: str | None = None) -> Iterator[str]:
    """
    Give the block a trace id of its own, or the one given (32 hex digits): for jobs and scripts.

    Yields the trace id.
    """
    trace = trace or new_trace()
    before = trace_id.set(trace)
    try:
        yield trace
    finally:
        trace_id.reset(before)
