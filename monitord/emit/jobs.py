"""Work outside of requests: each run timed, with a trace of its own where it has none."""

from __future__ import annotations

import functools
import inspect

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TypeVar, cast

from monitord.emit.default import default
from monitord.emit.emitter import Emitter
from monitord.emit.trace import trace_id, traced


DURATION = "job.duration"

F = TypeVar("F", bound=Callable[..., Any])


def job(name: str, emitter: Emitter | None = None) -> Callable[[F], F]:
    """
    Decorate a function or a coroutine function that is a job.

    Each run is one observation of `job.duration`, by `job` and `outcome`, and a span with the
    exception it ended with, which is raised on.
    """

    def decorate(function: F) -> F:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with running(name, emitter):
                    return await function(*args, **kwargs)

            return cast(F, awaited)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with running(name, emitter):
                return function(*args, **kwargs)

        return cast(F, called)

    return decorate


@contextmanager
def running(name: str, emitter: Emitter | None = None) -> Iterator[None]:
    """Record the block as one run of a job."""
    own = emitter or default()
    outcome = "failure"
    started = perf_counter()
    try:
        with own.span(name, "consumer"):
            if trace_id.get() is not None:
                yield
            else:  # no spans: the lines of one run belong together all the same
                with traced():
                    yield
        outcome = "success"
    finally:
        duration_ms = (perf_counter() - started) * 1000.0
        attributes = {"job": name, "outcome": outcome}
        own.metric(DURATION, duration_ms, "histogram", "ms", attributes)
