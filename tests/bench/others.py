"""What other libraries charge for recording one thing, called as their manuals say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from datadog.dogstatsd.base import DogStatsd
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry, Histogram


Best = Callable[[Callable[[], None], Callable[[], object]], float]

# What waits between two flushes: a round, whole.
QUEUE = 4_096
NEVER_MS = 3_600_000


class Nowhere(SpanExporter):
    """Takes spans and does nothing with them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def opentelemetry_span(best: Best) -> float:
    """Return the us of a span around an empty block, exported between the rounds."""
    provider = TracerProvider(shutdown_on_exit=False)
    processor = BatchSpanProcessor(Nowhere(), QUEUE, NEVER_MS, QUEUE)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("bench")

    def timed() -> None:
        with tracer.start_as_current_span("step"):
            pass

    try:
        return best(timed, processor.force_flush)
    finally:
        provider.shutdown()


def prometheus_observation(best: Best) -> float:
    """Return the us of one observation of a histogram by three labels."""
    seconds = Histogram(
        "seconds", "of a request", ["method", "route", "status"], registry=CollectorRegistry()
    )

    def timed() -> None:
        seconds.labels("GET", "/orders/{id}", "200").observe(0.0125)

    return best(timed, lambda: None)


def dogstatsd_timing(best: Best, port: int) -> float:
    """Return the us of one timing with three tags, sent as the client likes."""
    client = DogStatsd(host="127.0.0.1", port=port)
    tags = ["method:GET", "route:/orders/{id}", "status:200"]

    def timed() -> None:
        client.timing("request", 12.5, tags=tags)

    try:
        return best(timed, client.flush)
    finally:
        client.stop()
