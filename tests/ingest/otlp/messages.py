"""Messages of OTLP as an SDK writes them."""

from __future__ import annotations

import time

from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span


TRACE, SPAN, PARENT = bytes(range(16)), bytes(range(1, 9)), bytes(range(2, 10))
SECOND = 10**9


def value(of: Any) -> AnyValue:
    """Return a Python value as OTLP carries it."""
    match of:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=of)
        case int():
            return AnyValue(int_value=of)
        case float():
            return AnyValue(double_value=of)
        case bytes():
            return AnyValue(bytes_value=of)
        case list():
            return AnyValue(array_value=ArrayValue(values=map(value, of)))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=attributes(of)))
    return AnyValue(string_value=of)


def attributes(of: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value(inner)) for key, inner in of.items()]


def resource(service: str = "shop", **more: Any) -> Resource:
    said = {"service.name": service} if service else {}
    return Resource(attributes=attributes(said | more))


def span(*, seconds: float = 0.25, found: dict[str, Any] | None = None, **more: Any) -> Span:
    """Return a span that has just ended."""
    end = time.time_ns()
    known: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "name": "SELECT orders",
        "kind": Span.SPAN_KIND_CLIENT,
        "start_time_unix_nano": end - int(seconds * SECOND),
        "end_time_unix_nano": end,
    }
    return Span(**known | {"attributes": attributes(found or {})} | more)


def traces(*spans: Span, **of: Any) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add(resource=resource(**of))
    group.scope_spans.add(spans=spans)
    return message


def logs(*records: LogRecord, scope: str = "", **of: Any) -> ExportLogsServiceRequest:
    message = ExportLogsServiceRequest()
    group = message.resource_logs.add(resource=resource(**of)).scope_logs.add(log_records=records)
    group.scope.name = scope
    return message


def metrics(*found: Metric, **of: Any) -> ExportMetricsServiceRequest:
    message = ExportMetricsServiceRequest()
    message.resource_metrics.add(resource=resource(**of)).scope_metrics.add(metrics=found)
    return message
