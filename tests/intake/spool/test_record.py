"""The codec: what goes in comes out, and nothing else does."""

import math
import struct
import zlib

from typing import Any

import msgspec
import pytest

from hypothesis import given
from hypothesis import strategies as st

from monitord.intake.spool.record import (
    CRC,
    FIELDS,
    HEADER_BYTES,
    LIMIT_BODY_BYTES,
    MARK,
    Unfit,
    decode,
    encode,
    header_at,
    is_sound,
)
from monitord.model import (
    Annotation,
    Batch,
    ErrorInfo,
    Frame,
    Log,
    Metric,
    Request,
    Span,
    StackFrame,
)


STAMP = 0x1122334455667788

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
seconds = st.floats(allow_nan=False)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | seconds | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
stack_frames = st.builds(StackFrame, path=text, line=st.integers(0, 10**9), source=text)
errors = st.builds(ErrorInfo, type=name, message=text, frames=st.lists(stack_frames, max_size=3))
requests = st.builds(
    Request,
    time=seconds,
    service=name,
    method=name,
    route=name,
    status=st.integers(100, 599),
    duration_ms=st.floats(0, 86_400_000),
    trace_id=st.none() | st.text("0123456789abcdef", min_size=32, max_size=32),
    id=st.none() | name,
    error=st.none() | errors,
)
logs = st.builds(
    Log,
    time=seconds,
    service=name,
    level=name,
    message=text,
    logger=text,
    fields=st.dictionaries(text, plain, max_size=5),
    error=st.none() | errors,
)
metrics = st.builds(
    Metric,
    time=seconds,
    name=name,
    value=seconds,
    kind=st.sampled_from(["gauge", "counter", "histogram"]),
    attributes=st.dictionaries(text, text, max_size=3),
)
spans = st.builds(
    Span,
    time=seconds,
    service=name,
    trace_id=st.text("0123456789abcdef", min_size=32, max_size=32),
    span_id=st.text("0123456789abcdef", min_size=16, max_size=16),
    name=name,
    duration_ms=st.floats(0, 86_400_000),
    attributes=st.dictionaries(text, plain, max_size=5),
    error=st.none() | errors,
)
annotations = st.builds(
    Annotation,
    time=seconds,
    title=name,
    text=text,
    attributes=st.dictionaries(text, text, max_size=3),
)
batches = st.builds(
    Batch,
    received_at=seconds,
    requests=st.lists(requests, max_size=4),
    logs=st.lists(logs, max_size=4),
    metrics=st.lists(metrics, max_size=4),
    spans=st.lists(spans, max_size=4),
    annotations=st.lists(annotations, max_size=2),
    size_bytes=st.integers(0, 10**9),
)


@given(batches, st.integers(0, 2**63), st.integers(1, 2**63))
def test_a_frame_comes_back_as_it_was(batch: Batch, writer: int, seq: int) -> None:
    """NUL, every script, integers without bound, nested fields: the disk changes nothing."""
    frame = Frame(writer, seq, batch)

    head, body = encode(frame, STAMP)
    header = header_at(head + body)

    assert header is not None
    assert (header.writer, header.seq, header.stamp) == (writer, seq, STAMP)
    assert (header.events, header.size) == (len(batch), len(head) + len(body))
    assert is_sound(header, body)
    assert decode(header, body) == (frame, 0)


@given(st.data(), batches)
def test_a_changed_bit_is_seen(data: st.DataObject, batch: Batch) -> None:
    """No single bit of header or body can change unseen."""
    head, body = encode(Frame(7, 1, batch), STAMP)
    record = bytearray(head + body)
    at = data.draw(st.integers(0, len(record) - 1))
    record[at] ^= 1 << data.draw(st.integers(0, 7))

    header = header_at(bytes(record))

    assert header is None or not is_sound(header, bytes(record[HEADER_BYTES:]))


@given(st.binary(max_size=200))
def test_noise_is_no_header(noise: bytes) -> None:
    """Bytes that only begin like a record are none."""
    assert header_at(noise) is None
    assert header_at(MARK + noise) is None


def test_a_huge_length_is_damage() -> None:
    """A length above the limit is refused, though its checksum is right: nothing is allocated."""
    fields = FIELDS.pack(MARK, STAMP, 7, 1, 1.0, LIMIT_BODY_BYTES + 1, 1, 0, 0, 0)

    assert header_at(fields + CRC.pack(zlib.crc32(fields))) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308])
def test_every_float_survives(value: float) -> None:
    """What is no finite number is judged by the store, not lost before it."""
    batch = Batch(1.0, metrics=[Metric(time=1.0, name="x", value=value)])
    head, body = encode(Frame(7, 1, batch), STAMP)
    header = header_at(head)
    assert header is not None

    found = decode(header, body)[0].batch.metrics[0].value

    assert struct.pack("<d", found) == struct.pack("<d", value)


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize("field", ["\ud800", object(), nested(100_000)])
def test_what_has_no_form_is_refused(field: object) -> None:
    """A lone surrogate, a foreign type or endless nesting is one declared refusal, no crash."""
    log = Log(time=1.0, service="shop", level="INFO", message="", fields={"a": field, "b": 2**70})

    with pytest.raises(Unfit):
        encode(Frame(7, 1, Batch(1.0, logs=[log])), STAMP)


def test_an_event_of_another_version_costs_no_neighbour() -> None:
    """An event with a field this version does not know is left out; those beside it are read."""
    known = {"type": "metric", "time": 1.0, "name": "x", "value": 2.0}
    events = [known, {**known, "invented": 1}, known]
    body = msgspec.msgpack.encode(
        {"received_at": 1.0, "requests": [], "logs": [], "metrics": events, "later": {"a": 1}}
    )
    fields = FIELDS.pack(MARK, STAMP, 7, 1, 1.0, len(body), 0, 0, 3, zlib.crc32(body))
    header = header_at(fields + CRC.pack(zlib.crc32(fields)))
    assert header is not None

    frame, misfits = decode(header, body)

    assert misfits == 1
    assert frame.batch.metrics == [Metric(time=1.0, name="x", value=2.0)] * 2
