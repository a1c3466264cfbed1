"""Whatever the bytes, OTLP gives events that can be kept, or one declared refusal."""

from __future__ import annotations

import json
import math

from collections.abc import Callable
from typing import Any

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitord.ingest.decoded import Decoded, TooManyItems
from monitord.ingest.otlp.json_bodies import as_protobuf
from monitord.ingest.otlp.logs import decode_logs
from monitord.ingest.otlp.malformed import Malformed
from monitord.ingest.otlp.metrics import MetricDecoder
from monitord.ingest.otlp.traces import decode_traces
from monitord.intake.spool import record
from monitord.model import LEVELS, LISTS, METHODS, Frame


NOW = 1_795_459_200.0
NOW_NS = int(NOW) * 10**9
EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True, database=None)
METRICS = MetricDecoder(NOW_NS - 10**12)

Decode = Callable[[bytes, float, int], Decoded]
SIGNALS: dict[str, tuple[Any, Decode]] = {
    "traces": (ExportTraceServiceRequest, decode_traces),
    "logs": (ExportLogsServiceRequest, decode_logs),
    "metrics": (ExportMetricsServiceRequest, lambda *given: METRICS.decode(*given)[0]),
}

TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
DOUBLES = st.floats() | st.sampled_from(["NaN", "Infinity", "-Infinity", 1e308, -1e308, 5e-324])
WHOLES = st.sampled_from([0, 1, 2, 3, 7, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, 2**64 - 1])
COUNTS = st.lists(st.sampled_from([0, 0, 1, 2, 2**32, "3", 2**64 - 1]), max_size=6)
TIMES = st.sampled_from([0, 1, NOW_NS, NOW_NS - 10**9, str(NOW_NS), NOW_NS - 10**13, 2**64 - 1])
ODD = st.none() | st.booleans() | WHOLES | DOUBLES | TEXTS | st.just([]) | st.just({})
ATTRIBUTE_VALUES = st.recursive(
    st.one_of(
        st.builds(lambda text: {"stringValue": text}, TEXTS),
        st.builds(lambda number: {"intValue": str(number)}, WHOLES),
        st.builds(lambda number: {"doubleValue": number}, DOUBLES),
        st.sampled_from([{"boolValue": True}, {"bytesValue": "AQID"}, {}, {"boolValue": 1}]),
    ),
    lambda inner: st.one_of(
        st.builds(lambda values: {"arrayValue": {"values": values}}, st.lists(inner, max_size=3)),
        st.builds(
            lambda pairs: {"kvlistValue": {"values": pairs}},
            st.lists(st.fixed_dictionaries({"key": TEXTS, "value": inner}), max_size=3),
        ),
    ),
    max_leaves=5,
)
KEYS = TEXTS | st.sampled_from(
    [
        "service.name",
        "http.method",
        "http.status_code",
        "http.route",
        "url.path",
        "exception.type",
        "exception.message",
        "exception.stacktrace",
        "k" * 201,
    ]
)
ATTRIBUTES = st.lists(st.fixed_dictionaries({"key": KEYS, "value": ATTRIBUTE_VALUES}), max_size=5)
IDS = st.sampled_from(["", "00" * 16, "ab" * 16, "ab" * 8, "AB" * 16, "xyz", "a"]) | TEXTS
SPANS = st.fixed_dictionaries(
    {},
    optional={
        "traceId": st.just("ab" * 16) | IDS,
        "spanId": st.just("ab" * 8) | IDS,
        "parentSpanId": IDS,
        "name": TEXTS | st.just("x" * 1_001),
        "kind": st.integers(0, 7),
        "startTimeUnixNano": TIMES,
        "endTimeUnixNano": TIMES,
        "attributes": ATTRIBUTES,
        "status": st.sampled_from([{}, {"code": 1}, {"code": 2}, {"code": 9}]),
        "events": st.lists(
            st.fixed_dictionaries({"name": st.just("exception"), "attributes": ATTRIBUTES}),
            max_size=2,
        ),
        "links": ODD,
    },
)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "timeUnixNano": TIMES,
        "observedTimeUnixNano": TIMES,
        "severityNumber": st.integers(-1, 30),
        "severityText": TEXTS | st.sampled_from(["warn", "ERROR"]),
        "body": ATTRIBUTE_VALUES,
        "attributes": ATTRIBUTES,
        "traceId": IDS,
        "spanId": IDS,
        "eventName": TEXTS,
    },
)
POINT = {
    "timeUnixNano": TIMES,
    "startTimeUnixNano": TIMES,
    "attributes": ATTRIBUTES,
    "flags": st.sampled_from([0, 0, 0, 1, 2]),
}
NUMBERS = st.fixed_dictionaries({}, optional=POINT | {"asDouble": DOUBLES} | {"asInt": WHOLES})
BOUNDED = st.fixed_dictionaries(
    {"bucketCounts": COUNTS, "explicitBounds": st.lists(DOUBLES, max_size=5)},
    optional=POINT | {"count": WHOLES, "sum": DOUBLES, "min": DOUBLES, "max": DOUBLES},
) | st.fixed_dictionaries(
    {"bucketCounts": st.lists(st.integers(0, 9), min_size=3, max_size=3)},
    optional=POINT | {"sum": DOUBLES, "min": DOUBLES, "max": DOUBLES},
).map(lambda point: point | {"explicitBounds": [-1, 5]})
SIDES = st.fixed_dictionaries(
    {"offset": st.integers(-70_000, 70_000) | st.sampled_from([-(2**31), 2**31 - 1])}
    | {"bucketCounts": COUNTS}
)
EXPONENTIAL = st.fixed_dictionaries(
    {"scale": st.integers(-12, 22), "positive": SIDES},
    optional=POINT | {"negative": SIDES, "zeroCount": WHOLES, "sum": DOUBLES, "min": DOUBLES},
)
QUANTILES = st.fixed_dictionaries({"quantile": DOUBLES, "value": DOUBLES})
SUMMARIES = st.fixed_dictionaries(
    {"quantileValues": st.lists(QUANTILES, max_size=2)},
    optional=POINT | {"count": WHOLES, "sum": DOUBLES},
)


def kind(name: str, points: Any) -> Any:
    of = {
        "dataPoints": st.lists(points, max_size=3),
        "aggregationTemporality": st.integers(0, 3),
        "isMonotonic": st.booleans(),
    }
    data = st.fixed_dictionaries(of)
    names = TEXTS | st.just("n" * 256)
    return st.builds(lambda text, found: {"name": text, "unit": text, name: found}, names, data)


FOUND = st.one_of(
    kind("gauge", NUMBERS),
    kind("sum", NUMBERS),
    kind("histogram", BOUNDED),
    kind("exponentialHistogram", EXPONENTIAL),
    kind("summary", SUMMARIES),
)


def bodies(signal: str, records: str, of: Any) -> Any:
    name = signal.capitalize()
    scope = st.fixed_dictionaries(
        {records: st.lists(of, max_size=3)}, optional={"scope": st.builds(dict, name=TEXTS)}
    )
    group = st.fixed_dictionaries(
        {f"scope{name}": st.lists(scope, max_size=2)},
        optional={"resource": st.builds(lambda found: {"attributes": found}, ATTRIBUTES)},
    )
    return st.builds(lambda groups: {f"resource{name}": groups}, st.lists(group, max_size=2))


BODIES = {
    "traces": bodies("spans", "spans", SPANS),
    "logs": bodies("logs", "logRecords", RECORDS),
    "metrics": bodies("metrics", "metrics", FOUND),
}


def outcome(signal: str, body: bytes, *, is_json: bool) -> Decoded | None:
    """Return what a body gave, None when it was refused as a whole; check what was taken."""
    message, decode = SIGNALS[signal]
    try:
        into = decode(as_protobuf(message, body, 5) if is_json else body, NOW, 5)
    except TooManyItems:
        return None
    except Malformed as refusal:
        sentence = str(refusal)
    else:
        check(into)
        return into
    assert 0 < len(sentence.encode()) < 800
    return None


def check(into: Decoded) -> None:
    for request in into.requests:
        assert request.method in METHODS | {"OTHER"}
        assert 100 <= request.status <= 599
        assert 0 < len(request.route) <= 1_000
    for log in into.logs:
        assert log.level in LEVELS
        json.dumps(log.fields, allow_nan=False)
    for span in into.spans:
        assert 0 <= span.duration_ms <= 86_400_000
        assert 0 < len(span.name) <= 1_000
        assert int(span.trace_id, 16) > 0 < int(span.span_id, 16)
        json.dumps(span.attributes, allow_nan=False)
    for metric in into.metrics:
        assert math.isfinite(metric.value)
        assert metric.name
        if metric.distribution is not None:
            assert 1 <= metric.distribution.count < 2**32
            assert all(1 <= count < 2**32 for count in metric.distribution.buckets.values())
    batch = into.batch(NOW, 1)
    for event in (event for name in LISTS.values() for event in getattr(batch, name)):
        assert NOW - 3_600 <= event.time <= NOW + 600
        assert 0 < len(event.service) <= 1_000
        assert "\x00" not in repr(event)
        assert "\\x00" not in repr(event).replace("\\\\", "")
        repr(event).encode()
    header, body = record.encode(Frame(1, 1, batch), stamp=7)
    read = record.header_at(header)
    assert read is not None
    assert record.decode(read, body) == (Frame(1, 1, batch), 0)
    for refusal in into.refusals:
        refusal.sentence.encode()
        assert len(refusal.sentence) < 400


def written(tree: Any) -> bytes:
    return json.dumps(tree).encode()


@pytest.mark.parametrize("signal", SIGNALS)
@EXAMPLES
@given(raw=st.binary(max_size=300))
def test_any_bytes(signal: str, raw: bytes) -> None:
    """Bytes of any kind are events or one refusal, whichever encoding they claim to be in."""
    outcome(signal, raw, is_json=False)
    outcome(signal, raw, is_json=True)


@pytest.mark.parametrize("signal", SIGNALS)
@EXAMPLES
@given(data=st.data())
def test_any_message(signal: str, data: st.DataObject) -> None:
    """So is any message, in JSON and as the same in protobuf."""
    tree = data.draw(BODIES[signal])

    outcome(signal, written(tree), is_json=True)


@pytest.mark.parametrize("signal", SIGNALS)
@EXAMPLES
@given(data=st.data())
def test_any_damage(signal: str, data: st.DataObject) -> None:
    """So is a message of which some bytes were changed, or the end was lost."""
    try:
        raw = bytearray(as_protobuf(SIGNALS[signal][0], written(data.draw(BODIES[signal])), 5))
    except Malformed:
        return
    for place in data.draw(st.lists(st.integers(0, max(len(raw) - 1, 0)), max_size=4)):
        raw[place : place + 1] = data.draw(st.binary(max_size=2))
    outcome(signal, bytes(raw), is_json=False)
    outcome(signal, bytes(raw[: len(raw) // 2]), is_json=False)


@pytest.mark.parametrize("signal", SIGNALS)
@EXAMPLES
@given(data=st.data())
def test_any_odd_field(signal: str, data: st.DataObject) -> None:
    """So is JSON with any value in the place of any other."""
    text = written(data.draw(BODIES[signal])).decode()
    odd = json.dumps(data.draw(ODD))
    places = [place for place in range(len(text)) if text.startswith(('"', "{", "["), place)]
    place = data.draw(st.sampled_from(places or [0]))

    outcome(signal, (text[:place] + odd + text[place:]).encode(), is_json=True)
    outcome(signal, text.replace(": {", f": {odd}, " + "{", 1).encode(), is_json=True)
    for name in ("attributes", "value", "dataPoints", "spans", "traceId", "timeUnixNano"):
        changed = json.loads(
            text,
            object_hook=lambda found, name=name: (
                found | {name: json.loads(odd)} if name in found else found
            ),
        )
        outcome(signal, written(changed), is_json=True)
