"""
What decoding OTLP costs: bodies of protobuf as an SDK sends them, into events ready to be kept.

A trace is a request, two queries, a call to another service and a step within: 5 spans, of which
one is a request as well, with 28 attributes among them. Ids, times, paths and ports differ.
"""

from __future__ import annotations

import random
import time

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from monitord.ingest.otlp.traces import decode_traces
from tests.bench.sizes import size
from tests.bench.table import Row


# What the SDK's batch processor sends at most at once, in whole traces.
TRACES = 102
BODIES = 40
ROUNDS = size("OTLP_ROUNDS", 15)
LIMIT = 200_000

SERVER = {
    "http.request.method": "GET",
    "http.route": "/orders/{id}",
    "http.response.status_code": 200,
    "url.scheme": "http",
    "network.protocol.version": "1.1",
    "server.address": "shop.example",
    "server.port": 80,
    "client.address": "192.0.2.1",
    "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}
QUERY = {
    "db.system": "postgresql",
    "db.name": "shop",
    "db.statement": "SELECT * FROM orders WHERE id = %s",
    "net.peer.name": "127.0.0.1",
    "net.peer.port": 5432,
}
CALL = {
    "http.request.method": "POST",
    "http.response.status_code": 201,
    "server.address": "mail.example",
    "server.port": 443,
}
STEP = {"code.function.name": "shop.orders.price", "orders": 3}


def run() -> list[Row]:
    """Decode the same bodies again and again; the best round is what the code costs."""
    draw = random.Random(1)
    bodies = [body(draw) for _ in range(BODIES)]
    spans = BODIES * TRACES * 5
    rate = max(spans / seconds(bodies) for _ in range(ROUNDS))
    return [
        Row(
            "OTLP protobuf spans decoded into nouns, one core",
            rate,
            f"/s ({sum(map(len, bodies)) / spans:.0f} B each)",
            f">= {LIMIT:,}/s",
            rate >= LIMIT,
        )
    ]


def seconds(bodies: list[bytes]) -> float:
    """Return the time of one core that decoding the bodies took, all of them taken."""
    now = time.time()
    began = time.process_time()
    found = [decode_traces(one, now, 10_000) for one in bodies]
    took = time.process_time() - began
    assert all(len(one.spans) == TRACES * 5 and len(one.requests) == TRACES for one in found)
    return took


def body(draw: random.Random) -> bytes:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    for key, value in (("service.name", "shop"), ("service.version", "1.8.2"), ("host.name", "a")):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.asgi"
    for _ in range(TRACES):
        trace = draw.randbytes(16)
        root = draw.randbytes(8)
        changing = {
            "url.path": f"/orders/{draw.randrange(10**6)}",
            "client.port": draw.randrange(30_000, 60_000),
        }
        url = {"url.full": f"https://mail.example/send/{draw.randrange(10**6)}"}
        add(scope, draw, trace, root, Span.SPAN_KIND_CLIENT, "SELECT shop", QUERY)
        add(scope, draw, trace, root, Span.SPAN_KIND_CLIENT, "SELECT shop", QUERY)
        add(scope, draw, trace, root, Span.SPAN_KIND_CLIENT, "POST", CALL | url)
        add(scope, draw, trace, root, Span.SPAN_KIND_INTERNAL, "price", STEP)
        served = add(
            scope, draw, trace, b"", Span.SPAN_KIND_SERVER, "GET /orders/{id}", SERVER | changing
        )
        served.span_id = root
    return message.SerializeToString()


def add(
    scope: Any,
    draw: random.Random,
    trace: bytes,
    parent: bytes,
    kind: Any,
    name: str,
    attributes: dict[str, Any],
) -> Any:
    end = time.time_ns()
    span = scope.spans.add(
        trace_id=trace,
        span_id=draw.randbytes(8),
        parent_span_id=parent,
        flags=257,
        name=name,
        kind=kind,
        start_time_unix_nano=end - draw.randrange(10**6, 10**8),
        end_time_unix_nano=end,
    )
    for key, value in attributes.items():
        found = span.attributes.add(key=key).value
        if isinstance(value, int):
            found.int_value = value
        else:
            found.string_value = value
    return span
