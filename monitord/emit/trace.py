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
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import NamedTuple, Protocol


# New traces are marked "sampled": everything is kept.
SAMPLED, NOT_SAMPLED = "01", "00"

NO_TRACE, NO_SPAN = b"0" * 32, b"0" * 16
BLANKS = b" \t"

_parent = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?").fullmatch
_plain_id = re.compile(
    rb"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
).fullmatch


class Joined(NamedTuple):
    """
    This process's part in a trace that began elsewhere; flags and state travel on unchanged.

    `caller` is the span that called, where it was named.
    """

    trace_id: str
    span_id: str
    flags: str
    state: str
    caller: str | None


class Step(Protocol):
    """A span whose block this is; its id is `bits` in hex."""

    @property
    def trace_id(self) -> str | None: ...

    @property
    def span_id(self) -> str | None: ...

    @property
    def bits(self) -> int: ...

    # Its block was closed in another context than it was begun in, which still names it.
    @property
    def left(self) -> bool: ...

    def leave(self) -> None:
        """Put back what surrounded it here."""
        ...


# The others count as absent where they belong to another trace than `trace_id`.
trace_id: ContextVar[str | None] = ContextVar("monitord.trace_id", default=None)
joined: ContextVar[Joined | None] = ContextVar("monitord.joined", default=None)
inner: ContextVar[Step | None] = ContextVar("monitord.inner", default=None)
# The trace begun by `traced`: no request's.
begun: ContextVar[str | None] = ContextVar("monitord.begun", default=None)

# Requests being served on which spans hang, by `_key`. Looked into at their end: a variable of the
# context would cost every request, with spans or without. The oldest go first: they may be of tasks
# that went on after their request was over, and nobody takes these away.
hung: dict[str, None] = {}
MOST_HUNG = 8_192


def first_span(trace: str) -> str:
    """Return the id of the span that began the trace: the trace id is random, and so its half."""
    return trace[16:]


def here() -> str | None:
    """Return the trace id, after leaving spans that were closed in another context than this."""
    trace = trace_id.get()
    if trace is None:
        return None
    step = inner.get()
    if step is None or not step.left:
        return trace
    while step is not None and step.left:
        step.leave()
        step = inner.get()
    return trace_id.get()


def span_id() -> str | None:
    """Return the id of the current span, else that of the request; None outside a trace."""
    trace, step = here(), inner.get()
    if trace is None:
        return None
    return step.span_id if step is not None and step.trace_id == trace else request_span(trace)


def hang_on(trace: str) -> str | None:
    """Return the span that stands for the request being served; None within `traced`."""
    if begun.get() == trace:
        return None
    part = joined.get()
    own = part if part is not None and part.trace_id == trace else None
    if len(hung) >= MOST_HUNG:
        _forget_oldest()
    hung[_key(trace, own)] = None
    return first_span(trace) if own is None else own.span_id


def unhang(trace: str, part: Joined | None) -> bool:
    """Say whether spans hang on a request that has ended now, and forget it."""
    if not hung:
        return False
    key = _key(trace, part)
    hangs = key in hung
    hung.pop(key, None)
    return hangs


def _key(trace: str, part: Joined | None) -> str:
    """Return what tells a request from all others: a trace that began elsewhere may have many."""
    return trace if part is None else part.span_id


def _forget_oldest() -> None:
    # Another thread may do it at the same moment, or empty it.
    with suppress(RuntimeError, StopIteration):
        hung.pop(next(iter(hung)), None)


def request_span(trace: str) -> str:
    """Return the id of the span that stands for the request being served within the trace."""
    part = joined.get()
    return part.span_id if part is not None and part.trace_id == trace else first_span(trace)


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


def join(headers: Iterable[tuple[bytes, bytes]]) -> Joined | None:
    """
    Return a part in the trace the caller named, None when it named no valid one.

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
        state = b",".join(states).decode("latin-1")
        return Joined(found[0], new_span(), found[1], state, found[2])
    return Joined(own, new_span(), SAMPLED, "", None) if own is not None else None


def _traceparent(value: bytes) -> tuple[str, str, str] | None:
    match = _parent(value)
    if match is None:
        return None
    version, trace, caller, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if trace == NO_TRACE or caller == NO_SPAN:
        return None
    # Bits other than "sampled" are reserved and must go out as zero.
    return trace.decode(), SAMPLED if int(flags, 16) & 1 else NOT_SAMPLED, caller.decode()


def _x_trace_id(value: bytes) -> str | None:
    if not _plain_id(value) or not value.strip(b"0-"):
        return None
    return value.replace(b"-", b"").lower().decode()


def headers(sampled: bool = True) -> dict[str, str]:
    """
    Return what an outgoing HTTP request should carry; empty outside a trace.

    `sampled` is said of a trace that began here.
    """
    trace, part = here(), joined.get()
    if trace is None:
        return {}
    if part is None or part.trace_id != trace:
        flags = SAMPLED if sampled else NOT_SAMPLED
        return {"traceparent": f"00-{trace}-{span_id()}-{flags}"}
    carried = {"traceparent": f"00-{trace}-{span_id()}-{part.flags}"}
    if part.state:
        carried["tracestate"] = part.state
    return carried


@contextmanager
def traced(trace: str | None = None) -> Iterator[str]:
    """
    Give the block a trace id of its own, or the one given (32 hex digits): for jobs and scripts.

    Yields the trace id.
    """
    trace = trace or new_trace()
    before, outer = trace_id.set(trace), begun.set(trace)
    try:
        yield trace
    finally:
        # What was thrown away is closed in another context than it ran in.
        with suppress(ValueError):
            trace_id.reset(before)
            begun.reset(outer)
