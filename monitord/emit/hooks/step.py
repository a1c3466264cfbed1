"""One call of a library, timed and recorded as a span. Never raises what the library did not."""

from __future__ import annotations

import functools

from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Any

from monitord.emit.default import default
from monitord.emit.emitter import Emitter
from monitord.emit.hooks.patches import Method
from monitord.emit.trace import here, trace_id


Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
# A span's name and its attributes.
Step = tuple[str, dict[str, Any]]
# Says what a call is from what it was called with; None: it is not worth a span.
Told = Callable[[Args, Kwargs], Step | None]


def tracing() -> bool:
    """Say whether there is a trace that a call could be a step of: asked first, for it is cheap."""
    return here() is not None


class Recorder:
    """Records the calls of one library by one emitter, the process's own if none is given."""

    def __init__(self, emitter: Emitter | None = None) -> None:
        self.emitter = emitter or default()

    def blocking(self, told: Told) -> Callable[[Method], Method]:
        """Return what puts a recording function around a function."""

        def wrapped(original: Method) -> Method:
            @functools.wraps(original)
            def watched(*args: Any, **kwargs: Any) -> Any:
                if trace_id.get() is None:
                    return original(*args, **kwargs)
                began_ns = perf_counter_ns()
                try:
                    result = original(*args, **kwargs)
                except BaseException as error:
                    self.record(told, args, kwargs, began_ns, error)
                    raise
                self.record(told, args, kwargs, began_ns)
                return result

            return watched

        return wrapped

    def awaited(self, told: Told) -> Callable[[Method], Method]:
        """Return what puts a recording coroutine function around a coroutine function."""

        def wrapped(original: Method) -> Method:
            @functools.wraps(original)
            async def watched(*args: Any, **kwargs: Any) -> Any:
                if trace_id.get() is None:
                    return await original(*args, **kwargs)
                began_ns = perf_counter_ns()
                try:
                    result = await original(*args, **kwargs)
                except BaseException as error:
                    self.record(told, args, kwargs, began_ns, error)
                    raise
                self.record(told, args, kwargs, began_ns)
                return result

            return watched

        return wrapped

    def record(
        self,
        told: Told,
        args: Args,
        kwargs: Kwargs,
        began_ns: int,
        error: BaseException | None = None,
    ) -> None:
        """Record what has just ended; being cancelled is no error of it."""
        try:
            if here() is not None and (step := told(args, kwargs)) is not None:
                failure = error if isinstance(error, Exception) else None
                self.emitter.record_span(step[0], "client", began_ns, step[1], failure)
        except Exception:  # noqa: BLE001 - a library's objects may be anything; its caller goes on
            pass
