"""Whatever the bytes, the decoder raises nothing, loses no line and lets nothing bad through."""

from __future__ import annotations

import json
import math

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.ingest.decoded import Decoded
from monitord.ingest.envelope import Envelope
from monitord.ingest.native import decode_body, decode_datagrams
from monitord.intake.spool import record
from monitord.model import (
    LEVELS,
    LISTS,
    METHODS,
    Annotation,
    Frame,
    Log,
    Metric,
    Request,
    Span,
)


NOW = 1_795_459_200.0
KINDS = (Request, Log, Metric, Span, Annotation, Envelope)
EXAMPLES = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def nested(value: Any, levels: int) -> Any:
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


TEXTS = st.text(st.characters(exclude_categories=()), max_size=40)  # with surrogates and NUL
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.sampled_from(["GET", "INFO", "warn", "0af7651916cd43dd8448eb211c80319c", 10**400, 1e308])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["type", *sorted({name for kind in KINDS for name in kind.__struct_fields__})]
)
# Around the ends of what 64 bits hold, and of what Python makes of digits.
HUGE = st.integers(-(2**66), 2**66) | st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**4_299])
ODD_TEXTS = st.text("a\x00\n\ud800\udfff\uffff\U0010ffff", max_size=4)
DEEP = st.recursive(
    HUGE | ODD_TEXTS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2)
        | st.dictionaries(ODD_TEXTS, inner, min_size=1, max_size=2)
        | st.builds(nested, inner, st.integers(1, 34))
    ),
    max_leaves=8,
)
BASES = st.sampled_from(
    [
        {"type": "request", "service": "s", "method": "GET", "route": "/", "status": 200}
        | {"duration_ms": 1.5},
        {"type": "log", "service": "s", "level": "INFO", "message": "m"},
        {"type": "metric", "name": "n", "value": 1, "attributes": {"a": "b"}},
        {"type": "span", "service": "s", "name": "n", "duration_ms": 1, "trace_id": "0" * 32}
        | {"span_id": "0" * 16, "attributes": {"a": [1]}},
        {"type": "annotation", "title": "t", "attributes": {"a": "b"}},
        {"type": "sender", "id": "7f", "service": "s", "age_ms": 9, "sequence": 4, "events": 2},
    ]
)
EVENTS = st.builds(
    lambda base, changes: json.dumps(base | changes).encode("utf-8", "surrogatepass"),
    BASES,
    st.dictionaries(NAMES | TEXTS, VALUES, max_size=4),
)
LINES = (
    EVENTS
    | st.binary(max_size=60)
    | st.sampled_from([b"", b" ", b"{}", b"[", b"null", b'{"type":"request"', b"\xef\xbb\xbf"])
).map(lambda line: line.replace(b"\n", b" "))


def check(decoded: Decoded, lines: int) -> None:
    assert decoded.accepted + decoded.rejected + len(decoded.envelopes) == lines
    for envelope in decoded.envelopes:
        assert 0 < len(envelope.id) <= 64
        assert 0 < len(envelope.service) <= 1_000
        assert max(envelope.age_ms, envelope.sequence, envelope.events) < 2**53
        assert min(envelope.age_ms, envelope.sequence, envelope.events) >= 0
        storable(envelope.id + envelope.service)
    for request in decoded.requests:
        assert request.method in METHODS | {"OTHER"}
        assert 100 <= request.status <= 599
        assert 0 <= request.duration_ms <= 86_400_000
    for log in decoded.logs:
        assert log.level in LEVELS
        storable(log.message)
        json.dumps(log.fields, allow_nan=False)
        storable(json.dumps(log.fields, ensure_ascii=False))
        assert "\\u0000" not in json.dumps(log.fields).replace("\\\\", "")
    for metric in decoded.metrics:
        assert math.isfinite(metric.value)
    for span in decoded.spans:
        assert 0 <= span.duration_ms <= 86_400_000
        assert span.parent_id is None or int(span.parent_id, 16) >= 0
        json.dumps(span.attributes, allow_nan=False)
    for one in (*decoded.metrics, *decoded.annotations):
        assert all(type(value) is str for value in one.attributes.values())
    batch = decoded.batch(NOW, 1)
    for event in (event for name in LISTS.values() for event in getattr(batch, name)):
        assert NOW - 3_600 <= event.time <= NOW + 600
        storable(repr(event))
        storable(event.service)
    for event in (*decoded.requests, *decoded.logs, *decoded.spans):
        assert event.trace_id is None or int(event.trace_id, 16) >= 0
    keepable(decoded)
    for refusal in decoded.refusals:
        storable(refusal.sentence)
        assert len(refusal.sentence) < 400


def keepable(decoded: Decoded) -> None:
    """Encode the events as the spool does: one that it cannot keep would cost all the others."""
    batch = decoded.batch(NOW, 0)
    header, body = record.encode(Frame(1, 1, batch), stamp=7)
    read = record.header_at(header)
    assert read is not None
    assert record.decode(read, body) == (Frame(1, 1, batch), 0)


def storable(text: str) -> None:
    assert "\x00" not in text
    text.encode()


def not_blank(lines: list[bytes]) -> int:
    return sum(1 for line in lines if line and not line.isspace())


@EXAMPLES
@given(st.lists(LINES, max_size=6))
def test_lines(lines: list[bytes]) -> None:
    """Each line that is not blank is either taken or refused, whatever stands beside it."""
    lines = [line for line in lines if not line.startswith(b"\xef\xbb\xbf")]
    if not b"\n".join(lines).lstrip().startswith(b"["):
        check(decode_body(b"\n".join(lines), NOW), not_blank(lines))


@EXAMPLES
@given(st.lists(LINES, max_size=6))
def test_datagrams(datagrams: list[bytes]) -> None:
    """Datagrams are taken as if each had come alone."""
    together = decode_datagrams(datagrams, NOW)

    alone = [decode_datagrams([datagram], NOW) for datagram in datagrams]
    check(together, sum(one.accepted + one.rejected + len(one.envelopes) for one in alone))
    assert together.envelopes == [envelope for one in alone for envelope in one.envelopes]
    assert together.requests == [event for one in alone for event in one.requests]
    assert repr(together.logs) == repr([event for one in alone for event in one.logs])
    assert together.refused == sum((one.refused for one in alone), start=type(together.refused)())


@EXAMPLES
@given(st.lists(EVENTS, max_size=6))
def test_array_is_as_lines(events: list[bytes]) -> None:
    """The same events in an array have the same fate."""
    array = decode_body(b"[" + b",".join(events) + b"]", NOW)

    lines = decode_body(b"\n".join(events), NOW)
    check(array, len(events))
    assert repr(array) == repr(lines)


@EXAMPLES
@given(st.binary(max_size=200) | VALUES.map(lambda value: repr(value).encode("utf-8", "replace")))
def test_anything(raw: bytes) -> None:
    """Bytes of any kind give counts and sentences, never an exception."""
    for decoded in (decode_body(raw, NOW), decode_datagrams([raw, raw], NOW)):
        check(decoded, decoded.accepted + decoded.rejected)


@EXAMPLES
@given(BASES, NAMES, VALUES)
def test_one_odd_field(base: dict[str, Any], name: str, value: Any) -> None:
    """Any value in any field is taken, mended or refused."""
    raw = json.dumps(base | {name: value}).encode("utf-8", "surrogatepass")

    check(decode_body(raw, NOW), 1)


@EXAMPLES
@given(BASES, st.sampled_from(["fields", "attributes", "error", "id", "line"]), DEEP, ODD_TEXTS)
def test_what_is_taken_can_be_kept(base: dict[str, Any], name: str, value: Any, text: str) -> None:
    """Huge numbers, half surrogates and depth cost no more than the event they are in."""
    error = {"type": "E", "message": text, "frames": [{"line": value, "path": text}]}
    odd = {"error": error} if name == "line" else {name: {"a": value, text: value}}
    body = [json.dumps(base | change).encode() for change in (odd, {"message": text}, {})]

    decoded = decode_body(b"\n".join(body), NOW)

    check(decoded, 3)
    assert decoded.accepted + len(decoded.envelopes) >= 1
