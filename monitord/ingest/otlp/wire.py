"""
The messages of OTLP as they are decoded here: those of opentelemetry-proto, some fields left raw.

An attribute is the bytes of its KeyValue, and a span's status those of its Status, which costs a
fifth of a message object; nearly all of them came before, and are looked up by these bytes.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2


# What is left raw: fields by their names and types.
RAW = {
    ("attributes", ".opentelemetry.proto.common.v1.KeyValue"),
    ("status", ".opentelemetry.proto.trace.v1.Status"),
}
COLLECTOR = "opentelemetry.proto.collector"

# Each after those it imports.
FILES = (
    common_pb2,
    resource_pb2,
    trace_pb2,
    logs_pb2,
    metrics_pb2,
    trace_service_pb2,
    logs_service_pb2,
    metrics_service_pb2,
)


def _raw(pool: DescriptorPool) -> DescriptorPool:
    for module in FILES:
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for message in file.message_type:
            _leave_raw(message)
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _leave_raw(message: Any) -> None:
    """Make fields bytes, in the message and in those inside it: on the wire they are alike."""
    for field in message.field:
        if (field.name, field.type_name) in RAW:
            field.type = FieldDescriptorProto.TYPE_BYTES
            field.ClearField("type_name")
    for inner in message.nested_type:
        _leave_raw(inner)


_POOL = _raw(DescriptorPool())


def _message(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"{COLLECTOR}.{name}"))


RawTraces: Any = _message("trace.v1.ExportTraceServiceRequest")
RawLogs: Any = _message("logs.v1.ExportLogsServiceRequest")
RawMetrics: Any = _message("metrics.v1.ExportMetricsServiceRequest")
