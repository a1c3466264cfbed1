"""StatsD and DogStatsD: what lines give, and what the clients others wrote send."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import socket
import time
import zlib

from collections import Counter, defaultdict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import aiodogstatsd
import numpy as np
import pytest
import statsd as plain

from datadog.dogstatsd import DogStatsd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitord.histogram import RELATIVE_ERROR, signed_value
from monitord.ingest import aggregate
from monitord.ingest.aggregate import KINDS, LARGEST, STEP_VALUES
from monitord.ingest.decoded import Code, Decoded
from monitord.ingest.protocols import Sorted
from monitord.ingest.statsd import KNOWN, KNOWN_BYTES, STEP_BYTES, Statsd
from monitord.ingest.udp import UdpListener
from monitord.intake.spool import record
from monitord.model import Annotation, Frame, Log, Metric
from monitord.settings import Ingest


NOW = 1_795_459_203.0
EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True, database=None)


def decoded(*datagrams: bytes, by: Statsd | None = None, now: float = NOW) -> Decoded:
    into = Decoded()
    for _ in (by or Statsd()).decoding(datagrams, now, into):
        pass
    return into


def only(*datagrams: bytes, by: Statsd | None = None, now: float = NOW) -> Metric:
    into = decoded(*datagrams, by=by, now=now)
    assert not into.refused
    [metric] = into.metrics
    return metric


def values(into: Decoded) -> dict[str, float]:
    return {metric.name: metric.value for metric in into.metrics}


def keepable(into: Decoded) -> None:
    frame = Frame(1, 1, into.batch(NOW, 0))
    header, body = record.encode(frame, stamp=7)
    read = record.header_at(header)
    assert read is not None
    assert record.decode(read, body) == (frame, 0)


@pytest.mark.parametrize(
    ("lines", "kind", "value"),
    [
        (b"orders:1|c", "counter", 1),
        (b"orders:-2|c", "counter", -2),
        (b"orders:1|c\norders:2|c\norders:3.5|c", "counter", 6.5),
        (b"orders:1|c|@0.1", "counter", 10),
        (b"orders:1|c|@0.1\norders:1|c", "counter", 11),
        (b"orders:1:2:3|c", "counter", 6),
        (b"orders:1|c\r\norders:1|c\r\n", "counter", 2),
        (b"\norders:1|c\n\n", "counter", 1),
        (b"orders:4|g", "gauge", 4),
        (b"orders:4|g\norders:5|g|@0.5\norders:3|g", "gauge", 3),
        (b"orders:1:2|g", "gauge", 2),
        (b"orders:1e3|g", "gauge", 1_000),
        (b"orders:12.5|ms", "histogram", 12.5),
        (b"orders:12.5|h", "histogram", 12.5),
        (b"orders:12.5|d", "histogram", 12.5),
        (b"orders:ann|s", "gauge", 1),
        (b"orders:ann|s\norders:bob|s\norders:ann|s", "gauge", 2),
        (b"orders:a:b|s", "gauge", 1),
    ],
)
def test_types(lines: bytes, kind: str, value: float) -> None:
    """Each type becomes its kind; what came together is one sample."""
    metric = only(lines)

    assert (metric.name, metric.kind, metric.value) == ("orders", kind, value)
    assert metric.service == "statsd"
    assert metric.unit == ("ms" if b"|ms" in lines else "")


def test_one_series_may_be_spelled_in_many_ways() -> None:
    """Who sent a line, and in which order its tags stand, makes no other series."""
    metric = only(b"n:1|c|#a:1,b:2|c:one", b"n:2|c|#b:2,a:1|c:two|e:it-false|card:low")

    assert (metric.value, metric.attributes) == (3, {"a": "1", "b": "2"})


@pytest.mark.parametrize(
    ("tags", "service", "attributes"),
    [
        (b"a:b,flag", "statsd", {"a": "b", "flag": "true"}),
        (b"url:http://x:1,e:", "statsd", {"url": "http://x:1", "e": ""}),
        (b"service:shop,a:b", "shop", {"a": "b"}),
        (b"service:,service,,:x", "statsd", {}),
        (b"a:1,a:2", "statsd", {"a": "2"}),
        ("stadt:Köln\0".encode(), "statsd", {"stadt": "Köln�"}),
        (b"a:\xff", "statsd", {"a": "�"}),
    ],
)
def test_tags(tags: bytes, service: str, attributes: dict[str, str]) -> None:
    """Tags are attributes, but for the service."""
    metric = only(b"shop.n:1|c|#" + tags)

    assert (metric.name, metric.service, metric.attributes) == ("shop.n", service, attributes)


def test_a_sign_makes_a_change_of_a_plain_gauge() -> None:
    """What is known of a gauge lasts from one datagram to the next; a negative one starts at 0."""
    by = Statsd()

    assert only(b"g:10|g", by=by).value == 10
    assert only(b"g:-3|g", by=by).value == 7
    assert only(b"g:+5|g\ng:+1|g|@0.5", by=by).value == 13
    assert only(b"g:0|g\ng:-3|g", by=by).value == -3
    assert only(b"g:4|g\ng:-1:2|g", by=by).value == 2
    assert only(b"new:-3|g", by=by).value == -3


def test_spellings_of_a_gauge_keep_their_order() -> None:
    """Changes and values of one gauge count in the order they came in, however they are sent."""
    assert only(b"g:0|g\ng:-3|g\ng:5|g|@0.5\ng:0|g\ng:-3|g").value == -3
    assert only(b"g:0|g\ng:-3|g\ng:5|g|@0.5").value == 5


@pytest.mark.parametrize("rest", [b"#a:b", b"c:ci-7", b"T1795459200", b"card:low"])
def test_a_sign_is_only_a_sign_in_dogstatsd(rest: bytes) -> None:
    """DogStatsD knows no changes: its clients send a negative gauge as it is."""
    by = Statsd()
    line = b"g:-3|g|" + rest

    assert only(line, by=by).value == -3
    assert only(line, by=by).value == -3


def test_gauges_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those not sent for an hour, and the oldest of too many, begin at 0 again."""
    monkeypatch.setattr(aggregate, "GAUGES", 3)
    by = Statsd()
    for number in range(4):
        only(b"g%d:10|g" % number, by=by)

    assert [only(b"g%d:+1|g" % number, by=by).value for number in (3, 2, 0)] == [11, 11, 1]
    only(b"other:1|g", by=by, now=NOW + 3_601)
    only(b"other:1|g", by=by, now=NOW + 3_602)
    assert only(b"g3:+1|g", by=by, now=NOW + 3_603).value == 1


@pytest.mark.parametrize("kind", [b"ms", b"h", b"d"])
@pytest.mark.parametrize("rate", [1, 0.25])
def test_observations_become_one_histogram(kind: bytes, rate: float) -> None:
    """Count, sum and extremes are exact, a value's bucket is within the promised error."""
    draw = random.Random(1)
    sent = [round(draw.lognormvariate(2, 1), 3) for _ in range(500)] + [0.0, -2.5]
    metric = only(*(b"t:%r|%b|@%r" % (value, kind, rate) for value in sent))

    told, weight = metric.distribution, round(1 / rate)
    assert told is not None
    assert told.count == len(sent) * weight == sum(told.buckets.values())
    assert told.sum == math.fsum(sent) * weight
    assert metric.value == pytest.approx(math.fsum(sent) / len(sent))
    assert (told.min, told.max) == (min(sent), max(sent))
    keys = np.repeat(sorted(told.buckets), [told.buckets[key] for key in sorted(told.buckets)])
    expected = np.repeat(sorted(sent), weight)
    assert signed_value(keys) == pytest.approx(expected, rel=RELATIVE_ERROR)


def test_many_values_are_several_histograms() -> None:
    """However many values come together, an event keeps its limits and none is lost."""
    packed = b"t:" + b":".join(b"%d" % 1.01**power for power in range(9_000 // 4)) + b"|d|@0.00001"
    into = decoded(*[packed] * 4)

    counts = [one.distribution.count for one in into.metrics if one.distribution]
    assert sum(counts) == 9_000 * 100_000
    assert max(counts) <= STEP_VALUES * 100_000
    keepable(into)


def test_sets_are_counted_over_ten_seconds() -> None:
    """A set is a gauge at the start of its ten seconds, so that the last count replaces others."""
    by = Statsd()

    first, then, later = (
        only(b"u:ann|s\nu:bob|s", by=by),
        only(b"u:ann|s\nu:cid|s", by=by, now=NOW + 1),
        only(b"u:ann|s", by=by, now=NOW + 10),
    )

    assert [one.value for one in (first, then, later)] == [2, 3, 1]
    assert [one.time - NOW + 3 for one in (first, then, later)] == [0, 0, 10]


def test_sets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not counted any more is refused; what was counted before is not."""
    monkeypatch.setattr(aggregate, "SET_VALUES", 3)
    by = Statsd()
    into = decoded(b"u:1|s\nu:2|s\nv:1|s\nv:2|s\nu:1|s\nw:1|s", by=by)

    assert values(into) == {"u": 2, "v": 1}
    assert into.rejected == 2
    assert values(decoded(b"w:1|s\n", by=by, now=NOW + 10)) == {"w": 1}


def test_tags_of_sets_count_as_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets that hold little themselves are bounded by what is said of them."""
    monkeypatch.setattr(aggregate, "SET_VALUES", 8)
    by = Statsd()
    into = decoded(b"u:1|s|#a,b\nv:1|s|#a,b,c\nw:1|s\nu:2|s|#a,b\nu:1|s|#a,b", by=by)

    assert values(into) == {"u": 2, "v": 1}
    assert into.rejected == 1


def test_time() -> None:
    """A time of the sender's own is kept, and apart from what is of now."""
    into = decoded(b"n:1|c|T%d" % (NOW - 60), b"n:2|c|T%d" % (NOW - 60), b"n:4|c")

    assert {metric.time - NOW: metric.value for metric in into.metrics} == {-60: 3, 0: 4}
    assert decoded(b"n:1|g|T17").clamped_times == 1


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        (b"orders", "missing_field", "expected name:value|type, got 'orders'"),
        (b"|c", "missing_field", "expected name:value|type, got '|c'"),
        (b"orders|c", "missing_field", "orders: expected name:value|type, got no value"),
        (b"orders:1|", "missing_field", "expected name:value|type, got 'orders:1|'"),
        (b":1|c", "missing_field", "expected name:value|type, got ':1|c'"),
        (b"u:|s", "missing_field", "u: expected name:value|type, got no value"),
        (b"a:1|x", "unsupported_type", "type: expected one of c, g, s, ms, h, d, got 'x'"),
        (b"a:b|c", "invalid_field", "a: expected a number as its value, got 'b'"),
        (b"a:nan|g", "invalid_field", "a: expected a number as its value, got 'nan'"),
        (b"a:1_0|g", "invalid_field", "a: expected a number as its value, got '1_0'"),
        (b"a: 1|g", "invalid_field", "a: expected a number as its value, got ' 1'"),
        (b"a:1e999|g", "invalid_field", "a: expected a number as its value, got '1e999'"),
        (b"a:1|c|@0", "invalid_field", "@ expected a rate from 0.000010 to 1, got '0'"),
        (b"a:1|c|@2", "invalid_field", "@ expected a rate from 0.000010 to 1, got '2'"),
        (b"a:1|c|@nan", "invalid_field", "@ expected a rate from 0.000010 to 1, got 'nan'"),
        (b"a:1|c|Tnow", "invalid_field", "T expected Unix seconds, got 'now'"),
        (b"a:1|c" + b"|x" * 12, "invalid_field", "expected at most 11 fields in a line"),
        (b"n" * 256 + b":1|c", "too_long", "name: expected at most 255 characters, got 256"),
        (b"a:1|c|#" + b"k" * 201, "too_long", None),
        (b"a:1|c|#k:" + b"v" * 1_001, "too_long", None),
        (b"a:1|c|#service:" + b"v" * 1_001, "too_long", None),
        (b"a:1|c|#" + b",".join(b"k%d" % n for n in range(65)), "too_many_attributes", None),
        (b"a:1|c|#" + b"," * 60_000, "too_many_attributes", None),
    ],
)
def test_a_bad_line_is_refused_alone(line: bytes, code: str, sentence: str | None) -> None:
    """It is counted by its reason and told in a sentence; its neighbours are taken."""
    into = decoded(b"good:1|c\n" + line + b"\ngood:1|c", b"a:7|g")

    [refusal] = into.refusals
    assert refusal.code == code
    assert sentence is None or refusal.sentence == sentence
    assert values(into) == {"good": 2, "a": 7}


def test_one_bad_value_of_many() -> None:
    """Of several values in a line only the bad one is refused."""
    into = decoded(b"t:1:x:3|ms")

    assert into.metrics[0].distribution.count == 2
    assert into.refused == {Code.INVALID_FIELD: 1}


def test_event() -> None:
    """An event is an annotation; title and text may hold anything, even bars."""
    title, text = "Grün|deployed".encode(), rb"first\nsecond|t:x"
    line = b"_e{%d,%d}:%b|%b|d:%d|h:web-1|k:key|p:low|s:jenkins|t:warning|#service:shop,v:1.8" % (
        *(len(title), len(text), title, text),
        NOW - 5,
    )

    assert decoded(line + b"|c:ci-1|e:x|card:low\r\n").annotations == [
        Annotation(
            time=NOW - 5,
            title="Grün|deployed",
            service="shop",
            kind="warning",
            text="first\nsecond|t:x",
            attributes={
                "v": "1.8",
                "host.name": "web-1",
                "aggregation_key": "key",
                "priority": "low",
                "source_type": "jenkins",
            },
        )
    ]


def test_shortest_event() -> None:
    """Without more than a title it is of now, of no named service, and plain."""
    assert decoded(b"_e{1,0}:a|").annotations == [
        Annotation(time=NOW, title="a", service="statsd", kind="event")
    ]
    assert decoded(b"_e{1,0}:a||t:gone").annotations[0].kind == "event"


@pytest.mark.parametrize(
    "line",
    [
        b"_e{1,1}:a",
        b"_e{1,1}:ab|c",
        b"_e{2,9}:ab|cd",
        b"_e{2,1}:ab|cd",
        b"_e{0,1}:|t",
        b"_e{a,1}:a|t",
        b"_e{1001,0}:" + b"t" * 1_001 + b"|",
        b"_e{1,1}:a|t|d:soon",
    ],
)
def test_a_bad_event_is_refused(line: bytes) -> None:
    """Where the lengths do not fit, nothing is guessed."""
    into = decoded(line, b"n:1|c")

    assert (into.rejected, into.accepted) == (1, 1)


def test_service_check_is_a_gauge() -> None:
    """One that is OK says no more than that."""
    into = decoded(b"_sc|db.up|0|d:%d|h:web-1|#service:shop,a:b|m:fine" % (NOW - 5))

    assert not into.logs
    assert into.metrics == [
        Metric(
            time=NOW - 5,
            name="service_check",
            value=0,
            service="shop",
            attributes={"check": "db.up", "host.name": "web-1", "a": "b"},
        )
    ]


@pytest.mark.parametrize(
    ("status", "level", "said"),
    [(1, "WARNING", "a warning"), (2, "ERROR", "critical"), (3, "WARNING", "unknown")],
)
def test_service_check_that_fails_is_a_log_record_too(status: int, level: str, said: str) -> None:
    """Its message, which may hold bars, is told; what clients add behind it is not."""
    into = decoded(b"_sc|db|%d|#a:b|m:one|two\\nm\\:three|c:ci-1|card:low" % status)

    assert [metric.value for metric in into.metrics] == [status]
    assert into.logs == [
        Log(
            time=NOW,
            service="statsd",
            level=level,
            message=f"db is {said}: one|two\nm:three",
            logger="service_check",
            fields={"check": "db", "a": "b"},
        )
    ]
    assert decoded(b"_sc|db|%d" % status).logs[0].message == f"db is {said}"


@pytest.mark.parametrize(
    "line", [b"_sc|db", b"_sc|db|4", b"_sc||0", b"_sc|db|", b"_sc|db|0|d:x", b"_sc|" + b"n" * 1_001]
)
def test_a_bad_check_is_refused(line: bytes) -> None:
    """Without a name and one of four states it is none."""
    into = decoded(line + b"|2" if line.endswith(b"n") else line, b"n:1|c")

    assert (into.rejected, into.accepted) == (1, 1)


@pytest.mark.parametrize(
    ("datagram", "owner"),
    [
        (b"a:1|c", "statsd"),
        (b"x:1|c", "statsd"),
        (b"x.orders:1|c\n", "statsd"),
        ("größe:1|g".encode(), "statsd"),
        (b"1xx:1|c", "statsd"),
        (b"_e{1,1}:a|b", "statsd"),
        (b"_sc|a|0", "statsd"),
        (b'{"type":"metric","name":"a|b","value":1}', "udp"),
        (b'[{"type":"metric","name":"a|b","value":1}]', "udp"),
        (b'\xef\xbb\xbf{"type":"metric","name":"a|b","value":1}', "udp"),
        (b' {"type":"metric","name":"a|b","value":1}', "udp"),
        (b"nonsense", "udp"),
        (b"<13>Nov 26 04:19:58 web app: a|b:1|c", "syslog"),
        (zlib.compress(b'{"version":"1.1","host":"web","short_message":"a"}') + b"|c", "gelf"),
        (b"\x1f\x8b|c", "gelf"),
        (b'"a|b"', "udp"),
        (b"", "udp"),
        (b"\n", "udp"),
    ],
)
def test_who_owns_a_datagram(datagram: bytes, owner: str) -> None:
    """What looks like StatsD is; JSON, blanks and what nobody knows are native."""
    found: Counter[str] = Counter()
    for protocol, some in Sorted()._sorted([b"other:1|c", datagram, b"{}", b"other:1|c"]):
        found[protocol.name] += len(some)

    assert found == Counter(["statsd", "statsd", "udp", owner])


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Series without end, long ones and times cost no memory that is not given back."""
    monkeypatch.setattr("monitord.ingest.statsd.KNOWN", 100)
    by = Statsd()
    for number in range(1_000):
        decoded(b"n%d:1|c" % number, b"n:1|c|T%d" % (NOW + number), by=by)
    decoded(b"long:1|c|#" + b"x" * KNOWN_BYTES, by=by)

    assert KNOWN > 100
    assert 0 < len(by._known) <= 100
    assert not any(b"T" in tail or len(tail) > KNOWN_BYTES for _, tail in by._known)


def test_tags_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A series of many tags takes as much room as many series of few."""
    monkeypatch.setattr("monitord.ingest.statsd.KNOWN_TAGS", 100)
    by = Statsd()
    for number in range(100):
        decoded(b"n%d:1|c|#%b" % (number, b",".join(b"t%d" % tag for tag in range(30))), by=by)

        assert 0 < sum(len(series.attributes) for series in by._known.values()) <= 100


def test_a_step_is_bounded_by_bytes() -> None:
    """What is read anew costs by its length: long lines are decoded in steps of fewer."""
    tags = b",".join(b"%02d:%02d" % (tag, tag) for tag in range(60))
    lines = [b"n%d:1|c|#%b" % (number, tags) for number in range(160)]
    into = Decoded()

    steps = sum(1 for _ in Statsd().decoding([b"\n".join(lines)], NOW, into))

    assert steps >= len(b"".join(lines)) // STEP_BYTES + 160 * 60 // STEP_VALUES
    assert len(into.metrics) == 160


def test_a_large_drain_gives_others_a_turn() -> None:
    """Many lines, many series and many values are decoded in steps."""
    for lines in (b"a:1|c\n" * 10_000, b"\n".join(b"a%d:1|c" % n for n in range(10_000))):
        assert sum(1 for _ in Statsd().decoding([lines], NOW, Decoded())) >= 9
    packed = b"a:" + b":".join([b"1"] * 30_000) + b"|d"
    assert sum(1 for _ in Statsd().decoding([packed], NOW, Decoded())) >= 7


NAMES = st.sampled_from([b"a", b"shop.orders", b"b"])
TYPES = st.sampled_from([letters.encode() for letters in KINDS])
NUMBERS = st.integers(-(10**6), 10**6).map(lambda n: b"%d" % n) | st.floats(-LARGEST, LARGEST).map(
    lambda number: repr(number).encode()
)
TAGS = st.sampled_from([b"", b"|#a:b", b"|#service:shop,b", b"|c:ci"])
VALID = st.builds(lambda *parts: b"%b:%b|%b%b" % parts, NAMES, NUMBERS, TYPES, TAGS)
ODD = st.sampled_from(
    [b"", b"|", b":", b"a:1|c|#", b"_e{", b"_e{1,1}:a|b", b"_sc|a|2|m:", b"_sc|", b"a:1|d|@1e-5"]
    + [b"a:%b|ms" % number for number in (b"1e100", b"-1e100", b"5e-324", b"-0.0", b"1e-400")]
    + [b"a:1|c|T99999999999", b"a:1|g|@1e-400", b"_e{1,1}:\0|\xff|t:\xff", b"\xff:1|c", b"a:+1|g"]
)
PIECES = st.sampled_from(
    [b":", b"|", b"\n", b"@", b"#", b",", b"c", b"g", b"ms", b"_e{1,1}:", b"T", b"_sc|"]
)
LINES = (
    VALID
    | ODD
    | st.binary(max_size=60)
    | st.lists(PIECES | NUMBERS | st.binary(max_size=3), max_size=12).map(b"".join)
)


@EXAMPLES
@given(st.lists(LINES, max_size=12))
@example([b"a:1e100|d|@0.00001"] * 50)
def test_anything(datagrams: list[bytes]) -> None:
    """Bytes of any kind give events the spool can keep and sentences, never an exception."""
    by = Statsd()
    for _ in range(2):
        into = decoded(*datagrams, by=by)
        keepable(into)
        for event in (*into.metrics, *into.logs, *into.annotations):
            assert NOW - 3_600 <= event.time <= NOW + 600
            repr(event).encode()
            assert "\x00" not in repr(event)
            assert event.service
        for metric in into.metrics:
            assert math.isfinite(metric.value)
        for refusal in into.refusals:
            assert len(refusal.sentence) < 400
            refusal.sentence.encode()


@EXAMPLES
@given(
    st.lists(
        st.tuples(
            NAMES,
            st.integers(-(2**40), 2**40),
            st.sampled_from([b"c", b"ms", b"g"]),
            st.sampled_from([1, 2, 4, 64]),
            TAGS,
        ),
        max_size=60,
    ),
    st.integers(1, 5),
)
def test_sums_are_exact(lines: list[tuple[bytes, int, bytes, int, bytes]], drains: int) -> None:
    """Of random lines in random datagrams nothing is lost or counted twice."""
    by, expected, found = Statsd(), defaultdict(Fraction), defaultdict(Fraction)
    datagrams: list[list[bytes]] = [[] for _ in range(drains)]
    for place, (name, value, kind, weight, tags) in enumerate(lines):
        line = b"%b:%d|%b|@%r%b" % (name, value, kind, 1 / weight, tags)
        datagrams[place * drains // len(lines)].append(line)
        if kind != b"g":
            expected[name.decode(), kind == b"c"] += Fraction(value) * weight
    for some in datagrams:
        into = decoded(*some, by=by)
        assert not into.refused
        for metric in into.metrics:
            told = metric.distribution
            total = metric.value if told is None else told.sum
            if metric.kind != "gauge":
                found[metric.name, metric.kind == "counter"] += Fraction(total)

    assert found == expected


def ports() -> Ingest:
    return Ingest(port=0)


async def received(sink, count: Callable[[list[Metric]], bool]) -> list[Metric]:
    deadline = time.monotonic() + 20
    while not count(found := [metric for batch in sink.batches for metric in batch.metrics]):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.01)
    return found


def total(metrics: list[Metric], name: str) -> float:
    return sum(metric.value for metric in metrics if metric.name == name)


def last(metrics: list[Metric], name: str) -> float:
    return [metric.value for metric in metrics if metric.name == name][-1]


def observations(metrics: list[Metric], name: str) -> tuple[int, float]:
    counted = [
        (1, metric.value)
        if metric.distribution is None
        else (metric.distribution.count, metric.distribution.sum)
        for metric in metrics
        if metric.name == name
    ]
    return sum(count for count, _ in counted), math.fsum(value for _, value in counted)


def has(name: str) -> Callable[[list[Metric]], bool]:
    return lambda metrics: any(metric.name == name for metric in metrics)


async def test_client_statsd(sink, telemetry) -> None:
    """The client `statsd`: prefix, pipeline, negative and relative gauges, timers, sets."""
    async with UdpListener(ports(), sink, telemetry) as listener:
        client = plain.StatsClient("127.0.0.1", listener.port, prefix="shop")
        for number in range(100):
            client.incr("orders")
            client.timing("checkout", number / 3)
            client.set("users", number % 7)
        client.decr("orders", 3)
        client.gauge("depth", -12)
        client.gauge("depth", 5, delta=True)
        client.gauge("level", 0.25)
        with client.pipeline() as pipe:
            for _ in range(200):
                pipe.incr("piped", 2)
        client.incr("end")
        client.close()
        found = await received(sink, has("shop.end"))

    assert total(found, "shop.orders") == 97
    assert total(found, "shop.piped") == 400
    assert last(found, "shop.depth") == -7
    assert last(found, "shop.level") == 0.25
    # Ten seconds may have ended between.
    assert last(found, "shop.users") <= 7 <= total(found, "shop.users")
    count, summed = observations(found, "shop.checkout")
    assert count == 100
    assert summed == pytest.approx(sum(number / 3 for number in range(100)), abs=1e-4)
    assert {metric.service for metric in found} == {"statsd"}
    assert {metric.unit for metric in found if metric.kind == "histogram"} == {"ms"}


def say_everything(client: DogStatsd) -> None:
    """Send some of all a DogStatsd client has."""
    for number in range(50):
        client.increment("orders", 2, tags=["region:eu"])
        client.histogram("size", number)
        client.distribution("weight", number / 2, tags=["flag"])
        client.timing("checkout", number)
        client.set("users", f"user-{number % 7}")
    client.decrement("orders", tags=["region:eu"])
    client.gauge("temperature", -3.5)
    client.gauge("temperature", -3.5)
    client.event("Deployed", "1.8.2\nby ann", alert_type="success", tags=["v:1.8.2"])
    client.service_check("db", DogStatsd.CRITICAL, message="down|hard", hostname="web-1")
    client.increment("end")
    client.flush()


def check_everything(sink, found: list[Metric]) -> None:
    assert total(found, "shop.orders") == 99
    assert last(found, "shop.temperature") == -3.5
    assert observations(found, "shop.size") == (50, sum(range(50)))
    assert observations(found, "shop.weight") == (50, sum(range(50)) / 2)
    assert observations(found, "shop.checkout") == (50, sum(range(50)))
    [orders, *_] = [metric for metric in found if metric.name == "shop.orders"]
    assert (orders.service, orders.attributes) == ("web", {"region": "eu", "env": "test"})
    [event] = [event for batch in sink.batches for event in batch.annotations]
    assert (event.title, event.text, event.kind) == ("Deployed", "1.8.2\nby ann", "success")
    assert (event.service, event.attributes) == ("web", {"v": "1.8.2", "env": "test"})
    [log] = [log for batch in sink.batches for log in batch.logs]
    assert (log.level, log.message) == ("ERROR", "db is critical: down|hard")
    [check] = [metric for metric in found if metric.name == "service_check"]
    assert (check.value, check.attributes["host.name"]) == (2, "web-1")


DATADOG = {
    "namespace": "shop",
    "constant_tags": ["service:web", "env:test"],
    "disable_telemetry": True,
}


@pytest.mark.parametrize("buffered", [False, True])
async def test_client_datadog(sink, telemetry, buffered: bool) -> None:
    """The client `datadog` over UDP, with its buffering and its packed values or without."""
    async with UdpListener(ports(), sink, telemetry) as listener:
        client = DogStatsd(
            host="127.0.0.1", port=listener.port, disable_buffering=not buffered, **DATADOG
        )
        await asyncio.to_thread(say_everything, client)
        found = await received(sink, has("shop.end"))
        client.stop()

    check_everything(sink, found)


async def test_client_datadog_aggregates(sink, telemetry) -> None:
    """The client puts values together itself, and sends many in one line."""
    async with UdpListener(ports(), sink, telemetry) as listener:
        client = DogStatsd(
            host="127.0.0.1",
            port=listener.port,
            disable_aggregation=False,
            max_metric_samples_per_context=64,
            **DATADOG,
        )
        await asyncio.to_thread(say_everything, client)
        found = await received(sink, has("shop.end"))
        client.stop()

    check_everything(sink, found)


async def test_client_datadog_by_the_unix_socket(sink, telemetry, tmp_path: Path) -> None:
    """The same through the socket Datadog's agent has; a sender may wait, and nothing is lost."""
    path = tmp_path / "dsd.socket"
    async with UdpListener(Ingest(port=0, statsd_socket=path), sink, telemetry):
        client = DogStatsd(socket_path=str(path), socket_timeout=20, **DATADOG)
        await asyncio.to_thread(say_everything, client)
        found = await received(sink, has("shop.end"))
        client.stop()

    check_everything(sink, found)


async def test_client_aiodogstatsd(sink, telemetry) -> None:
    """The client `aiodogstatsd`, with a sample rate written as it writes it."""
    async with UdpListener(ports(), sink, telemetry) as listener:
        tags = {"service": "web", "env": "test"}
        async with aiodogstatsd.Client(
            host="127.0.0.1", port=listener.port, namespace="shop", constant_tags=tags
        ) as client:
            for number in range(100):
                client.increment("orders", value=3)
                client.histogram("size", value=number)
                client.distribution("weight", value=number, tags={"kind": "box"})
                client.timing("checkout", value=number)
            client.decrement("orders")
            client.gauge("temperature", value=-4)
            client.gauge("temperature", value=-4)
            client.increment("end")
            found = await received(sink, has("shop.end"))

    assert total(found, "shop.orders") == 299
    assert last(found, "shop.temperature") == -4
    for name in ("shop.size", "shop.weight", "shop.checkout"):
        assert observations(found, name) == (100, sum(range(100)))
    assert {metric.service for metric in found} == {"web"}


async def test_counts_are_of_events(sink, telemetry) -> None:
    """Counted is what is handed on after lines were put together, so that the books balance."""
    async with UdpListener(ports(), sink, telemetry) as listener:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", listener.port))
            for number in range(1_000):
                sock.send(b"orders:1|c|#n:%d" % (number % 3))
            sock.send(b"orders:1|zz")
        found = await received(sink, lambda metrics: total(metrics, "orders") == 1_000)
        events = telemetry.total("monitord_ingest_events_total")
    value = telemetry.registry.get_sample_value

    assert len(found) == sink.events == events < 1_000
    labels = {"protocol": "statsd", "reason": "unsupported_type"}
    assert value("monitord_ingest_rejected_events_total", labels) == 1


def test_the_document_says_what_is_so() -> None:
    """Every line of the document's example is taken, and means what stands beside it."""
    text = (Path(__file__).parents[2] / "docs" / "ingest.md").read_text(encoding="utf-8")
    section = text.partition("\n## StatsD and DogStatsD\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| .*? \| `(\{.*?\})` \|$", section, re.M)

    assert len(rows) >= 10
    for line, said in rows:
        into = decoded(line.replace("\\|", "|").encode())
        [event, *_] = [*into.metrics, *into.annotations]
        assert not into.refused
        expected = json.loads(said)
        assert {name: getattr(event, name) for name in expected} == expected, line
