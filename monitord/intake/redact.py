"""What no event may carry further: secrets, by name or by form, and the literals of statements."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Generator, Sequence
from operator import attrgetter, is_
from time import perf_counter
from typing import Any, TypeVar

from msgspec import Struct, structs

from monitord.errors import NotTaken
from monitord.intake.secret_names import SecretNames
from monitord.intake.secret_values import SecretValues
from monitord.model import Annotation, Batch, ErrorInfo, Log, Metric, Request, Span, StackFrame
from monitord.settings import Redact
from monitord.telemetry import Telemetry


ERROR = attrgetter("error")
# Above this a batch may take longer than others should wait for the loop.
LARGE_BYTES = 32 * 1024
# Of batches that wait for their turn; they are in memory.
WAITING_BYTES = 64 * 1024 * 1024
STEP_SECONDS = 0.004

S = TypeVar("S", bound=Struct)


class Redactor:
    """
    Redacts batches, and counts what it has hidden.

    What has nothing to hide is returned as it is: the same object, each event and each value.
    """

    def __init__(self, settings: Redact, telemetry: Telemetry) -> None:
        self._events = EventRedactor(SecretValues(SecretNames(settings.keys, settings.keep)))
        self._telemetry = telemetry
        # One at a time: more threads would only take the interpreter from the loop.
        self._thread = asyncio.Lock()
        self._waiting_bytes = 0

    def batch(self, batch: Batch) -> Batch:
        """Return the batch without its secrets. Never raises for its content."""
        if is_bare(batch):
            return batch
        redacted = self._events.batch(batch)
        self._count(self._events)
        return redacted

    async def beside(self, batch: Batch) -> Batch:
        """
        Return the batch without its secrets; the loop goes on while a large one is redacted.

        Raises NotTaken: too many of them wait already.
        """
        if batch.size_bytes <= LARGE_BYTES or is_bare(batch):
            return self.batch(batch)
        self.check_room()
        events = self._events.another()
        self._waiting_bytes += batch.size_bytes
        try:
            async with self._thread:
                redacted = await asyncio.to_thread(events.batch, batch)
        finally:
            self._waiting_bytes -= batch.size_bytes
        self._count(events)
        return redacted

    def check_room(self) -> None:
        """Raises NotTaken: too many large batches wait for their turn."""
        if self._waiting_bytes >= WAITING_BYTES:
            sentence = "more events arrive than can be redacted; nothing was taken"
            raise NotTaken(sentence, 1, crowded=True)

    def steps(self, batch: Batch) -> Generator[None, None, Batch]:
        """Return the batch without its secrets, in the end; pause after each STEP_SECONDS."""
        if is_bare(batch):
            return batch
        redacted = yield from self._events.steps(batch)
        self._count(self._events)
        return redacted

    def _count(self, events: EventRedactor) -> None:
        if count := events.values.counted():
            self._telemetry.redacted_values.inc(count)


class EventRedactor:
    """Redacts the events of a batch, in one thread; `values` counts what was hidden."""

    def __init__(self, values: SecretValues) -> None:
        self.values = values
        self._by_list: dict[str, Callable[[Any], Any]] = {
            "requests": self._request,
            "logs": self._log,
            "metrics": self._metric,
            "spans": self._span,
            "annotations": self._annotation,
        }

    def another(self) -> EventRedactor:
        return EventRedactor(self.values.another())

    def batch(self, batch: Batch) -> Batch:
        lists = {name: each(getattr(batch, name), one) for name, one in self._by_list.items()}
        return changed(batch, **lists)

    def steps(self, batch: Batch) -> Generator[None, None, Batch]:
        """Return what `batch` does; pause after each STEP_SECONDS."""
        lists: dict[str, list[Any]] = {name: [] for name in self._by_list}
        until = perf_counter() + STEP_SECONDS
        for name, redact in self._by_list.items():
            for event in getattr(batch, name):
                lists[name].append(redact(event))
                if perf_counter() >= until:
                    yield
                    until = perf_counter() + STEP_SECONDS
        return changed(batch, **{name: same(getattr(batch, name), lists[name]) for name in lists})

    def _request(self, request: Request) -> Request:
        return request if request.error is None else changed(request, error=self._error(request))

    def _log(self, log: Log) -> Log:
        message = self.values.text(log.message)
        fields = self.values.mapping(log.fields) if log.fields else log.fields
        if message is log.message and fields is log.fields and log.error is None:
            return log
        return changed(log, message=message, fields=fields, error=self._error(log))

    def _metric(self, metric: Metric) -> Metric:
        if not metric.attributes:
            return metric
        attributes = self.values.mapping(metric.attributes)
        if attributes is metric.attributes:
            return metric
        return structs.replace(metric, attributes=attributes)

    def _span(self, span: Span) -> Span:
        return changed(
            span,
            name=self.values.text(span.name),
            attributes=self.values.mapping(span.attributes),
            error=self._error(span),
        )

    def _annotation(self, annotation: Annotation) -> Annotation:
        return changed(
            annotation,
            title=self.values.text(annotation.title),
            text=self.values.text(annotation.text),
            attributes=self.values.mapping(annotation.attributes),
        )

    def _error(self, event: Request | Log | Span) -> ErrorInfo | None:
        if event.error is None:
            return None
        message = self.values.text(event.error.message)
        return changed(event.error, message=message, frames=each(event.error.frames, self._frame))

    def _frame(self, frame: StackFrame) -> StackFrame:
        return changed(frame, source=self.values.source(frame.source))


def is_bare(batch: Batch) -> bool:
    """Say whether the batch has nothing that is looked at, as nearly every one of requests."""
    return not (batch.logs or batch.others or any(map(ERROR, batch.requests)))


def each(events: Sequence[S], redact: Callable[[S], S]) -> Sequence[S]:
    """Return what becomes of the events; the same list when nothing does."""
    if not events:
        return events
    return same(events, list(map(redact, events)))


def same(events: Sequence[S], redacted: Sequence[S]) -> Sequence[S]:
    """Return the events where each is what it was before, else what has become of them."""
    return events if all(map(is_, redacted, events)) else redacted


def changed(struct: S, **values: Any) -> S:
    """Return the struct with these values; the same one when it has them."""
    others = {name: value for name, value in values.items() if value is not getattr(struct, name)}
    return structs.replace(struct, **others) if others else struct
