"""OpenTelemetry's own SDK and exporters against a real server: what they send is what arrives."""

from __future__ import annotations

import asyncio
import contextlib
import time

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from monitord.histogram import ZERO_TO_FIRST
from monitord.ingest.http import IngestServer
from monitord.model import Batch, Metric
from monitord.settings import Ingest, Secret


RESOURCE = Resource({"service.name": "shop", "service.version": "1.8"})
DELTAS = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}


@pytest.fixture
async def endpoint(sink, telemetry) -> AsyncIterator[str]:
    """The address of a server that takes one token."""
    ingest = Ingest(port=0, tokens=(Secret("secret"),))
    async with IngestServer(ingest, sink, telemetry) as server:
        yield f"http://127.0.0.1:{server.port}/v1"


def options(endpoint: str, signal: str) -> dict[str, Any]:
    return {
        "endpoint": f"{endpoint}/{signal}",
        "compression": Compression.Gzip,
        "headers": {"authorization": "Bearer secret"},
    }


@contextlib.contextmanager
def tracing(endpoint: str) -> Iterator[trace.Tracer]:
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(**options(endpoint, "traces"))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    try:
        yield provider.get_tracer("shop.orders")
    finally:
        provider.shutdown()


@contextlib.contextmanager
def metering(endpoint: str, exported: dict[str, Any], views: Any = ()) -> Iterator[MeterProvider]:
    exporter = OTLPMetricExporter(**options(endpoint, "metrics"), **exported)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False, views=views)
    try:
        yield provider
    finally:
        provider.shutdown()


async def test_spans(endpoint: str, sink) -> None:
    """Nested spans arrive with their ids, times, values and errors; the server's is a request."""

    def work() -> list[trace.Span]:
        with tracing(endpoint) as tracer:
            said = {"http.request.method": "GET", "http.response.status_code": 500}
            with tracer.start_as_current_span(
                "GET /orders/{id}", kind=SpanKind.SERVER, attributes=said
            ) as outer:
                with contextlib.suppress(KeyError), tracer.start_as_current_span("find") as inner:
                    inner.set_attributes({"n": 3, "f": 0.5, "ok": True, "names": ["a", "b"]})
                    raise KeyError("order")
                outer.set_status(Status(StatusCode.ERROR, "no order"))
            return [inner, outer]

    sent: Any = await asyncio.to_thread(work)

    spans = [span for batch in sink.batches for span in batch.spans]
    [request] = [request for batch in sink.batches for request in batch.requests]
    for one, span in zip(sent, spans, strict=True):
        assert span.trace_id == f"{one.context.trace_id:032x}"
        assert span.span_id == f"{one.context.span_id:016x}"
        assert span.parent_id == (f"{one.parent.span_id:016x}" if one.parent else None)
        assert span.time == pytest.approx(one.end_time / 1e9)
        assert span.duration_ms == pytest.approx((one.end_time - one.start_time) / 1e6)
        assert (span.service, span.name, span.status) == ("shop", one.name, "error")
        assert span.attributes["service.version"] == "1.8"
    inner, outer = spans
    assert (inner.kind, outer.kind) == ("internal", "server")
    assert {"n": 3, "f": 0.5, "ok": True, "names": ["a", "b"]}.items() <= inner.attributes.items()
    assert inner.error is not None
    assert (inner.error.type, inner.error.message) == ("KeyError", "'order'")
    assert inner.error.frames[-1].function == "work"
    assert inner.error.frames[-1].source == 'raise KeyError("order")'
    assert (request.method, request.route, request.status) == ("GET", "/orders/{id}", 500)
    assert (request.span_id, request.duration_ms) == (outer.span_id, outer.duration_ms)


async def test_logs(endpoint: str, sink) -> None:
    """Records arrive with level, text, attributes and the span they were written in."""

    def work() -> Any:
        provider = LoggerProvider(RESOURCE, shutdown_on_exit=False)
        exporter = OTLPLogExporter(**options(endpoint, "logs"))
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        with tracing(endpoint) as tracer, tracer.start_as_current_span("work") as span:
            record = LogRecord(
                timestamp=time.time_ns(),
                severity_number=SeverityNumber.WARN2,
                body="card declined",
                attributes={"order": 17},
            )
            provider.get_logger("shop.cards").emit(record)
        provider.shutdown()
        return record, span.get_span_context()

    sent, context = await asyncio.to_thread(work)

    [log] = [log for batch in sink.batches for log in batch.logs]
    assert log.time == pytest.approx(sent.timestamp / 1e9)
    assert (log.level, log.message, log.logger) == ("WARNING", "card declined", "shop.cards")
    assert log.fields == {"service.version": "1.8", "order": 17}
    assert log.trace_id == f"{context.trace_id:032x}"
    assert log.span_id == f"{context.span_id:016x}"


def by_name(batch: Batch) -> dict[str, Metric]:
    return {metric.name: metric for metric in batch.metrics}


def use(provider: MeterProvider) -> Callable[[float], None]:
    meter = provider.get_meter("shop")
    counter = meter.create_counter("orders", unit="1")
    depth = meter.create_up_down_counter("depth")
    gauge = meter.create_gauge("temperature", unit="Cel")
    took = meter.create_histogram("took", unit="s")

    def measure(seconds: float) -> None:
        counter.add(2, {"kind": "card"})
        depth.add(-1)
        gauge.set(21.5)
        took.record(seconds)

    return measure


@pytest.mark.parametrize(
    "exported", [{}, {"preferred_temporality": DELTAS}], ids=["cumulative", "delta"]
)
async def test_metrics(endpoint: str, sink, exported: dict[str, Any]) -> None:
    """Counters and histograms give what each export adds, in either temporality; units stay."""

    def work() -> None:
        with metering(endpoint, exported) as provider:
            measure = use(provider)
            measure(0.3)
            provider.force_flush()
            measure(0.7)
            measure(0.7)
            provider.force_flush()

    await asyncio.to_thread(work)

    first, second = map(by_name, sink.batches[:2])
    assert [each["orders"].value for each in (first, second)] == [2, 4]
    assert first["orders"].attributes == {"kind": "card"}
    assert first["orders"].kind == "counter"
    assert [each["depth"].value for each in (first, second)] == [-1, -3]
    assert (first["temperature"].kind, first["temperature"].value) == ("gauge", 21.5)
    assert first["took"].unit == "s"
    found = [each["took"].distribution for each in (first, second)]
    assert [each and each.count for each in found] == [1, 2]
    assert [each and each.sum for each in found] == [pytest.approx(0.3), pytest.approx(1.4)]
    assert second["took"].value == pytest.approx(0.7)


async def test_exponential_histograms(endpoint: str, sink) -> None:
    """The SDK's exponential histogram falls into our buckets, export after export."""
    values = [0.02, 0.5, 3.0, 3.1, 250.0]
    # The finest scale the SDK begins with is 20; what follows makes it coarser.
    view = View(instrument_name="took", aggregation=ExponentialBucketHistogramAggregation(1_000))

    def work() -> None:
        with metering(endpoint, {}, [view]) as provider:
            took = provider.get_meter("shop").create_histogram("took")
            for value in values:
                took.record(value)
                provider.force_flush()

    await asyncio.to_thread(work)

    found: dict[int, int] = {}
    for batch in sink.batches[: len(values)]:
        distribution = by_name(batch)["took"].distribution
        assert distribution is not None
        assert distribution.count == 1
        found |= distribution.buckets
    assert all(key > 0 for key in found)
    for key, value in zip(found, values, strict=True):
        assert 2 ** ((key - ZERO_TO_FIRST) / 64) < value <= 2 ** ((key - ZERO_TO_FIRST + 1) / 64)


async def test_it_comes_again(endpoint: str, sink, caplog) -> None:
    """Told that there is no room, the exporter waits as long as it was asked to, and succeeds."""
    sink.room = 0

    def work() -> None:
        with tracing(endpoint) as tracer:
            tracer.start_span("work").end()

    sending = asyncio.create_task(asyncio.to_thread(work))
    while not any("retrying" in record.message.lower() for record in caplog.records):
        assert not sending.done()
        await asyncio.sleep(0.05)
    sink.room = 10
    await sending

    assert sink.events == 1


async def test_a_refusal_is_no_reason_to_come_again(endpoint: str, sink, caplog) -> None:
    """A span that cannot be one is answered for good: the exporter says so and goes on."""

    def work() -> None:
        with tracing(endpoint) as tracer:
            tracer.start_span("x" * 1_001).end()
            tracer.start_span("good").end()

    await asyncio.to_thread(work)

    assert [span.name for batch in sink.batches for span in batch.spans] == ["good"]
    assert "code: 400" in caplog.text
