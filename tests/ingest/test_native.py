"""The native protocol's decoder: bytes in, nouns out."""

from __future__ import annotations

import json

from typing import Any, ClassVar

import pytest

from monitord.ingest.decoded import VALUE_BYTES, Code, Decoded, TooManyItems
from monitord.ingest.envelope import Envelope
from monitord.ingest.limits import BODY_ITEMS, ITEM_BYTES, MESSAGE_BYTES, STACK_FRAMES
from monitord.ingest.native import STEP_BYTES, decode_body, decode_datagrams, decoding
from monitord.model import (
    LISTS,
    Annotation,
    Distribution,
    ErrorInfo,
    Event,
    Log,
    Metric,
    Request,
    Span,
    StackFrame,
)


NOW = 1_795_459_200.0
TRACE = "0af7651916cd43dd8448eb211c80319c"

REQUEST = {
    "type": "request",
    "time": NOW - 1,
    "service": "shop",
    "method": "GET",
    "route": "/orders/{id}",
    "status": 200,
    "duration_ms": 12.5,
}
LOG = {"type": "log", "time": NOW - 1, "service": "shop", "level": "INFO", "message": "paid"}
METRIC = {"type": "metric", "time": NOW - 1, "service": "shop", "name": "queue.depth", "value": 3}

SPAN = {
    "type": "span",
    "time": NOW - 1,
    "service": "shop",
    "trace_id": TRACE,
    "span_id": TRACE[:16],
    "name": "SELECT orders",
    "duration_ms": 3.1,
}
DISTRIBUTION = {"count": 3, "sum": 6.0, "min": 1.0, "max": 3.0, "buckets": {"1048576": 2, "0": 1}}
ANNOTATION = {"type": "annotation", "time": NOW - 1, "title": "1.8.2"}


def line(event: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**event, **changes}).encode()


def one(raw: bytes) -> Event:
    """The event of a body that must hold exactly one good one."""
    decoded = decode_body(raw, NOW)
    assert decoded.refusals == []
    batch = decoded.batch(NOW, len(raw))
    [event] = [event for name in LISTS.values() for event in getattr(batch, name)]
    return event


def why_not(raw: bytes) -> tuple[Code, str]:
    """Why the only event of a body is refused."""
    decoded = decode_body(raw, NOW)
    assert decoded.accepted == 0
    [refusal] = decoded.refusals
    assert decoded.refused == {refusal.code: 1}
    return refusal.code, refusal.sentence


class TestWhatIsTaken:
    def test_every_field_of_a_request(self) -> None:
        """All fields of a request arrive as they were sent."""
        error = {
            "type": "ValueError",
            "message": "no such order",
            "frames": [{"path": "/srv/shop/orders.py", "line": 17, "function": "load"}],
        }

        event = one(line(REQUEST, trace_id=TRACE, span_id=TRACE[:16], id="a-1", error=error))

        assert event == Request(
            time=NOW - 1,
            service="shop",
            method="GET",
            route="/orders/{id}",
            status=200,
            duration_ms=12.5,
            trace_id=TRACE,
            span_id=TRACE[:16],
            id="a-1",
            error=ErrorInfo(
                "ValueError", "no such order", [StackFrame("/srv/shop/orders.py", 17, "load")]
            ),
        )

    def test_every_field_of_a_log(self) -> None:
        """All fields of a log record arrive as they were sent."""
        fields = {"order": 17, "tags": ["a", {"b": None}], "ok": True}

        event = one(
            line(LOG, logger="shop.orders", trace_id=TRACE, span_id=TRACE[:16], fields=fields)
        )

        assert event == Log(
            time=NOW - 1,
            service="shop",
            level="INFO",
            message="paid",
            logger="shop.orders",
            trace_id=TRACE,
            span_id=TRACE[:16],
            fields=fields,
        )

    def test_a_distribution(self) -> None:
        """Observations that were put together arrive with every bucket."""
        event = one(line(METRIC, kind="histogram", distribution=DISTRIBUTION))

        assert isinstance(event, Metric)
        assert event.distribution == Distribution(3, 6.0, 1.0, 3.0, {1_048_576: 2, 0: 1})

    def test_every_field_of_a_span(self) -> None:
        """All fields of a span arrive as they were sent, its attributes of any type."""
        attributes = {"db.query.text": "SELECT 1", "rows": 17, "tags": ["a", {"b": None}]}
        said = {"parent_id": "0" * 15 + "1", "kind": "client", "status": "error", "id": "s-1"}

        event = one(line(SPAN, attributes=attributes, error={"type": "KeyError"}, **said))

        assert event == Span(
            time=NOW - 1,
            service="shop",
            trace_id=TRACE,
            span_id=TRACE[:16],
            name="SELECT orders",
            duration_ms=3.1,
            parent_id="0" * 15 + "1",
            kind="client",
            status="error",
            id="s-1",
            attributes=attributes,
            error=ErrorInfo("KeyError"),
        )

    def test_every_field_of_an_annotation(self) -> None:
        """All fields of an annotation arrive as they were sent."""
        said = {"service": "shop", "kind": "deploy", "text": "by Ada", "id": "a-1"}

        event = one(line(ANNOTATION, attributes={"version": "1.8.2"}, **said))

        assert event == Annotation(
            time=NOW - 1, title="1.8.2", **said, attributes={"version": "1.8.2"}
        )

    def test_a_span_is_mended_where_it_can_be(self) -> None:
        """Ids become lower case, kinds too; no parent is often an empty text; texts are cut."""
        event = one(
            line(
                SPAN,
                trace_id=TRACE.upper(),
                parent_id="",
                kind="SERVER",
                status="OK",
                attributes={"sql": "x" * 40_000},
            )
        )

        assert isinstance(event, Span)
        assert (event.trace_id, event.parent_id) == (TRACE, None)
        assert (event.kind, event.status) == ("server", "ok")
        assert event.attributes["sql"].endswith("… [truncated, was 40000 bytes]")

    def test_every_field_of_a_metric(self) -> None:
        """All fields of a sample arrive as they were sent."""
        event = one(line(METRIC, kind="counter", unit="1", attributes={"queue": "mail"}, id="m"))

        assert event == Metric(
            time=NOW - 1,
            name="queue.depth",
            value=3,
            service="shop",
            kind="counter",
            unit="1",
            attributes={"queue": "mail"},
            id="m",
        )

    @pytest.mark.parametrize(
        "sent",
        [
            NOW - 60,
            int(NOW - 60),
            "2026-11-23T18:39:00Z",
            "2026-11-23T18:39:00.000000+00:00",
            "2026-11-23t20:39:00+02:00",
            "2026-11-23 18:39:00z",
        ],
    )
    def test_time(self, sent: object) -> None:
        """Unix seconds, whole or not, and RFC 3339 with an offset mean the same moment."""
        assert one(line(METRIC, time=sent)).time == NOW - 60

    @pytest.mark.parametrize("sent", [{}, {"time": None}])
    def test_no_time_is_now(self, sent: dict[str, object]) -> None:
        """An event without a time happened when it was received."""
        event = {key: value for key, value in REQUEST.items() if key != "time"}

        assert one(line(event, **sent)).time == NOW

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            (NOW - 3_600, NOW - 3_600),
            (NOW + 600, NOW + 600),
            (NOW - 3_601, NOW - 3_600),
            (NOW + 601, NOW + 600),
            (0, NOW - 3_600),
            (-1e300, NOW - 3_600),
            (NOW * 1_000, NOW + 600),
            ("1970-01-01T00:00:00Z", NOW - 3_600),
            ("9999-12-31T23:59:59Z", NOW + 600),
        ],
    )
    def test_time_is_kept_in_range(self, sent: object, kept: float) -> None:
        """An hour before to ten minutes after receipt; what is outside is moved and counted."""
        decoded = decode_body(line(REQUEST, time=sent), NOW)

        assert [event.time for event in decoded.requests] == [kept]
        assert decoded.clamped_times == int(sent != kept)

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("GET", "GET"),
            ("get", "GET"),
            ("BREW", "OTHER"),
            ("X" * 1_000, "OTHER"),
            ("\u017f", "OTHER"),
        ],
    )
    def test_method(self, sent: str, kept: str) -> None:
        """A method that is none of HTTP's cannot become a label of its own."""
        assert one(line(REQUEST, method=sent)) == one(line(REQUEST, method=kept))

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("ERROR", "ERROR"),
            ("error", "ERROR"),
            ("WARN", "WARNING"),
            ("warning", "WARNING"),
            ("fatal", "CRITICAL"),
            ("Critical", "CRITICAL"),
            ("trace", "DEBUG"),
            ("notice", "INFO"),
        ],
    )
    def test_level(self, sent: str, kept: str) -> None:
        """Levels go by the five names, whatever the sender calls them."""
        assert one(line(LOG, level=sent)) == one(line(LOG, level=kept))

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            (TRACE, TRACE),
            (TRACE.upper(), TRACE),
            ("0af76519-16cd-43dd-8448-eb211c80319c", TRACE),
            ("0AF76519-16CD-43DD-8448-EB211C80319C", TRACE),
            ("", None),
            (None, None),
        ],
    )
    def test_trace_id(self, sent: object, kept: str | None) -> None:
        """32 hexadecimal digits in any case, also as a UUID; an empty one is none."""
        event = one(line(LOG, trace_id=sent))

        assert isinstance(event, Log)
        assert event.trace_id == kept

    def test_attribute_values_become_text(self) -> None:
        """Numbers and the like are written as JSON writes them; null is no attribute."""
        sent = {"a": 1, "b": 1.5, "c": True, "d": None, "e": ["x", 1], "f": "text"}

        event = one(line(METRIC, attributes=sent))

        assert isinstance(event, Metric)
        assert event.attributes == {
            "a": "1",
            "b": "1.5",
            "c": "true",
            "e": '["x",1]',
            "f": "text",
        }

    def test_a_metric_without_a_service_is_of_an_unknown_one(self) -> None:
        """Only what monitord scrapes itself has no service."""
        bare = {name: value for name, value in METRIC.items() if name != "service"}

        for raw in (line(bare), line(bare, time="2026-11-23T18:40:00Z"), line(bare, service="")):
            event = one(raw)
            assert isinstance(event, Metric)
            assert event.service == "unknown"
        assert decode_datagrams([line(METRIC), line(bare)], NOW).metrics[1].service == "unknown"

    def test_unknown_fields_are_ignored_and_counted(self) -> None:
        """What is sent by a newer application costs nothing but its unknown fields."""
        decoded = decode_body(line(REQUEST, region="eu", tier=1) + b"\n" + line(LOG, x={}), NOW)

        assert (decoded.accepted, decoded.rejected, decoded.unknown_fields) == (2, 0, 3)
        assert decode_body(line(REQUEST), NOW).requests == decoded.requests

    def test_null_is_absent(self) -> None:
        """An optional field that is null is as if it had not been sent."""
        nothing = dict.fromkeys(("trace_id", "span_id", "id", "logger", "fields", "error"))

        assert one(line(LOG, **nothing)) == one(line(LOG))
        assert one(line(REQUEST, error={"type": "E", "message": None, "frames": None})) == one(
            line(REQUEST, error={"type": "E"})
        )

    def test_bom_crlf_and_blank_lines(self) -> None:
        """What Windows and hand-made files add is no event and no mistake."""
        raw = b"\xef\xbb\xbf" + line(LOG) + b"\r\n\r\n \t\n" + line(METRIC) + b"\r\n"

        for decoded in (decode_body(raw, NOW), decode_datagrams([raw, b"", b"\n"], NOW)):
            assert (len(decoded.logs), len(decoded.metrics), decoded.rejected) == (1, 1, 0)

    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b" \r\n"])
    def test_array(self, mark: bytes) -> None:
        """A JSON array holds the same events as lines do."""
        raw = mark + json.dumps([REQUEST, LOG, METRIC], indent=2).encode() + b"\n"

        for decoded in (decode_body(raw, NOW), decode_datagrams([raw], NOW)):
            lines = decode_body(b"\n".join(map(line, (REQUEST, LOG, METRIC))), NOW)
            assert decoded == lines
            assert decoded.accepted == 3

    @pytest.mark.parametrize("raw", [b"", b"\n", b"[]", b" [ ] ", b"\xef\xbb\xbf"])
    def test_nothing(self, raw: bytes) -> None:
        """An empty body holds no event and no mistake."""
        assert decode_body(raw, NOW) == Decoded()


class TestWhatIsMended:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            (b"a\\u0000b", "a\N{REPLACEMENT CHARACTER}b"),
            (b"a\\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
            (b"a\\uDFFFb", "a\N{REPLACEMENT CHARACTER}b"),
            (b"a\xffb", "a\N{REPLACEMENT CHARACTER}b"),
            (b"a\xed\xa0\x80b", "a" + "\N{REPLACEMENT CHARACTER}" * 3 + "b"),
            (b"\\ud83d\\ude00", "\N{GRINNING FACE}"),
            (b"\xf0\x9f\x98\x80", "\N{GRINNING FACE}"),
            (b"\\\\u0000", "\\u0000"),
            (b"\\u001b[31m\\u202e", "\x1b[31m\u202e"),
        ],
    )
    def test_what_postgres_refuses_is_replaced(self, sent: bytes, kept: str) -> None:
        """NUL, half a surrogate pair and bytes that are no UTF-8 cost a character, not the line."""
        good = b'{"type":"log","service":"s","level":"INFO","message":"good","time":%d}' % NOW
        raw = (
            b'{"type":"log","service":"%b","level":"INFO","message":"%b","time":%d,'
            b'"fields":{"%b":["%b"]},"error":{"type":"E","message":"%b"}}'
        ) % (sent, sent, NOW, sent, sent, sent)

        for decoded in (
            decode_body(good + b"\n" + raw, NOW),
            decode_datagrams([good, raw], NOW),
            decode_body(b"[" + good + b"," + raw + b"]", NOW),
        ):
            _, mended = decoded.logs
            assert mended == Log(
                time=NOW,
                service=kept,
                level="INFO",
                message=kept,
                fields={kept: [kept]},
                error=ErrorInfo("E", kept),
            )

    @pytest.mark.parametrize("character", ["x", "é", "\N{GRINNING FACE}"])
    def test_long_message_is_cut_and_says_so(self, character: str) -> None:
        """Above 256 KiB a message keeps its beginning, a mark and its length in bytes."""
        size = len(character.encode())
        fits = character * (MESSAGE_BYTES // size)

        whole, cut = one(line(LOG, message=fits)), one(line(LOG, message=fits + "end"))

        assert isinstance(whole, Log)
        assert isinstance(cut, Log)
        assert whole.message == fits
        assert MESSAGE_BYTES - 4 < len(cut.message.encode()) <= MESSAGE_BYTES
        assert cut.message.startswith(character * 1_000)
        assert cut.message.endswith(f" … [truncated, was {MESSAGE_BYTES + 3} bytes]")

    def test_long_field_is_cut_and_says_so(self) -> None:
        """One long value in `fields` costs its end, however deep it lies."""
        event = one(line(LOG, fields={"a": {"b": ["x" * 40_000]}}))

        assert isinstance(event, Log)
        text = event.fields["a"]["b"][0]
        assert len(text.encode()) == 32 * 1024
        assert text.endswith(" … [truncated, was 40000 bytes]")

    def test_long_traceback_keeps_its_innermost_frames(self) -> None:
        """Deep recursion keeps the frames next to the cause, and odd line numbers become 0."""
        frames = [{"path": "p" * 1_500, "line": number, "function": "f"} for number in range(500)]
        frames[-1]["line"] = 2**40

        event = one(line(REQUEST, error={"type": "E", "message": "m" * 40_000, "frames": frames}))

        assert isinstance(event, Request)
        assert event.error is not None
        assert len(event.error.frames) == STACK_FRAMES
        assert [frame.line for frame in event.error.frames[-2:]] == [498, 0]
        assert {len(frame.path) for frame in event.error.frames} == {1_000}
        assert event.error.message.endswith(" … [truncated, was 40000 bytes]")


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("raw", "code", "sentence"),
        [
            (b"hello", Code.NOT_JSON, "not JSON: "),
            (b'{"type":"log"', Code.NOT_JSON, "not JSON: it ends too early"),
            (b"{'type':'log'}", Code.NOT_JSON, "not JSON: "),
            (line(METRIC).replace(b": 3", b": NaN"), Code.NOT_JSON, "not JSON: "),
            (line(METRIC).replace(b": 3", b": Infinity"), Code.NOT_JSON, "not JSON: "),
            (line(METRIC) + line(METRIC), Code.NOT_JSON, "not JSON: "),
            (b"17", Code.NOT_AN_OBJECT, "expected an object, got a number"),
            (b'"text"', Code.NOT_AN_OBJECT, "expected an object, got a string"),
            (b"null", Code.NOT_AN_OBJECT, "expected an object, got null"),
            (b"true", Code.NOT_AN_OBJECT, "expected an object, got a boolean"),
            (b"{}", Code.MISSING_FIELD, "type: missing"),
            (b'{"type":null}', Code.MISSING_FIELD, "type: missing"),
            (
                b'{"type":"event","time":1}',
                Code.UNSUPPORTED_TYPE,
                "type: expected request, log, metric, span, annotation, sender, got 'event'",
            ),
            (
                b'{"type":["log"]}',
                Code.UNSUPPORTED_TYPE,
                "type: expected request, log, metric, span, annotation, sender, got",
            ),
            (
                b'{"type":"\\ud800"}',
                Code.UNSUPPORTED_TYPE,
                "type: expected request, log, metric, span, annotation, sender, got",
            ),
            (b'{"type":"request"}', Code.MISSING_FIELD, "service: missing"),
            (line(LOG, message=None), Code.MISSING_FIELD, "message: missing"),
            (line(REQUEST, error={"message": "m"}), Code.MISSING_FIELD, "error.type: missing"),
        ],
    )
    def test_no_event(self, raw: bytes, code: Code, sentence: str) -> None:
        """What is no event of a known type is refused with the rule it breaks."""
        found, said = why_not(raw)

        assert found == code
        assert said.startswith(sentence)

    @pytest.mark.parametrize(
        ("event", "changes", "sentence"),
        [
            (REQUEST, {"status": 99}, "status: expected int >= 100, got 99"),
            (REQUEST, {"status": 600}, "status: expected int <= 599, got 600"),
            (REQUEST, {"status": "200"}, "status: expected int, got str"),
            (REQUEST, {"status": True}, "status: expected int, got bool"),
            (REQUEST, {"duration_ms": -0.1}, "duration_ms: expected float >= 0.0, got -0.1"),
            (REQUEST, {"duration_ms": 86_400_001}, "duration_ms: expected float <= 86400000.0"),
            (REQUEST, {"duration_ms": "fast"}, "duration_ms: expected float, got str"),
            (REQUEST, {"service": ""}, "service: expected str of length >= 1"),
            (REQUEST, {"service": 7}, "service: expected str, got int"),
            (REQUEST, {"trace_id": "xyz"}, "trace_id: expected str of length >= 32, got 'xyz'"),
            (REQUEST, {"trace_id": "z" * 32}, "trace_id: expected hexadecimal digits, got 'zzz"),
            (REQUEST, {"trace_id": "٣" * 32}, "trace_id: expected hexadecimal digits, got '"),
            (REQUEST, {"span_id": "0" * 15 + "g"}, "span_id: expected hexadecimal digits"),
            (REQUEST, {"error": "boom"}, "error: expected object | null, got str"),
            (REQUEST, {"time": "yesterday"}, "time: expected Unix seconds or RFC 3339 with an"),
            (REQUEST, {"time": "2026-11-23T18:39:00"}, "time: expected Unix seconds or RFC 3339"),
            (REQUEST, {"time": "2026-02-30T00:00:00Z"}, "time: expected Unix seconds or RFC 3339"),
            (REQUEST, {"time": "٢026-11-23T18:39:00Z"}, "time: expected Unix seconds or RFC"),
            (REQUEST, {"time": [1]}, "time: expected float, got array"),
            (LOG, {"level": "LOUD"}, "level: expected DEBUG, INFO, WARNING, ERROR, CRITICAL, got"),
            (LOG, {"level": 30}, "level: expected str, got int"),
            (LOG, {"fields": [1]}, "fields: expected object, got array"),
            (METRIC, {"value": "3"}, "value: expected float, got str"),
            (METRIC, {"value": False}, "value: expected float, got bool"),
            (METRIC, {"value": 10**400}, "value: number out of range"),
            (METRIC, {"kind": "sum"}, "kind: invalid enum value 'sum'"),
            (METRIC, {"attributes": "a"}, "attributes: expected object, got str"),
            (METRIC, {"distribution": DISTRIBUTION}, "distribution: expected, of a histogram"),
            (
                METRIC,
                {"kind": "histogram", "distribution": DISTRIBUTION | {"count": 4}},
                "distribution: expected, of a histogram, finite numbers, and buckets whose",
            ),
            (
                METRIC,
                {"kind": "histogram", "distribution": DISTRIBUTION | {"min": 9}},
                "distribution: expected, of a histogram, finite numbers, and buckets whose",
            ),
            (SPAN, {"kind": "database"}, "kind: invalid enum value 'database'"),
            (SPAN, {"status": 200}, "status: expected str, got int"),
            (SPAN, {"parent_id": "z" * 16}, "parent_id: expected hexadecimal digits"),
            (SPAN, {"attributes": ["a"]}, "attributes: expected object, got array"),
        ],
    )
    def test_wrong_field(
        self, event: dict[str, Any], changes: dict[str, Any], sentence: str
    ) -> None:
        """A wrong value is refused with its field, the rule and what was found."""
        code, said = why_not(line(event, **changes))

        assert code == Code.INVALID_FIELD
        assert said.startswith(sentence)

    @pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1" * 5_000])
    def test_number_out_of_range(self, number: bytes) -> None:
        """A number too large for any column is refused wherever it stands."""
        for raw in (
            line(METRIC).replace(b": 3", b": " + number),
            line(LOG, fields={"a": 3}).replace(b": 3", b": " + number),
            line(LOG, fields={"a": 3, "b": "\ud800"}).replace(b": 3", b": " + number),
        ):
            code, said = why_not(raw)
            assert code in (Code.INVALID_FIELD, Code.NOT_JSON)
            assert len(said) < 300

    @pytest.mark.parametrize(
        ("event", "changes", "code", "field"),
        [
            (REQUEST, {"route": "r" * 1_001}, Code.TOO_LONG, "route: "),
            (REQUEST, {"id": "i" * 129}, Code.TOO_LONG, "id: "),
            (LOG, {"logger": "l" * 1_001}, Code.TOO_LONG, "logger: "),
            (LOG, {"fields": {"k" * 201: 1}}, Code.TOO_LONG, "a key of fields: "),
            (LOG, {"fields": dict.fromkeys(map(str, range(65)), 1)}, Code.TOO_MANY_ATTRIBUTES, ""),
            (LOG, {"fields": {"a": [0] * 1_001}}, Code.TOO_MANY_ATTRIBUTES, "fields: "),
            (METRIC, {"name": "n" * 256}, Code.TOO_LONG, "name: "),
            (METRIC, {"service": "s" * 1_001}, Code.TOO_LONG, "service: "),
            (METRIC, {"unit": "u" * 64}, Code.TOO_LONG, "unit: "),
            (METRIC, {"id": "i" * 129}, Code.TOO_LONG, "id: "),
            (METRIC, {"attributes": {"k" * 201: "v"}}, Code.TOO_LONG, "a key of attributes: "),
            (METRIC, {"attributes": {"k": "v" * 1_001}}, Code.TOO_LONG, "attributes.k: "),
            (
                METRIC,
                {"attributes": dict.fromkeys(map(str, range(65)), "v")},
                Code.TOO_MANY_ATTRIBUTES,
                "attributes: expected at most 64, got 65",
            ),
            (SPAN, {"name": "n" * 1_001}, Code.TOO_LONG, "name: "),
            (SPAN, {"attributes": {"k" * 201: 1}}, Code.TOO_LONG, "a key of attributes: "),
            (ANNOTATION, {"title": "t" * 1_001}, Code.TOO_LONG, "title: "),
            (ANNOTATION, {"attributes": {"k": "v" * 1_001}}, Code.TOO_LONG, "attributes.k: "),
        ],
    )
    def test_too_much(
        self, event: dict[str, Any], changes: dict[str, Any], code: Code, field: str
    ) -> None:
        """What identifies something is never cut: too long a name is refused."""
        found, said = why_not(line(event, **changes))

        assert found == code
        assert said.startswith(field)

    @pytest.mark.parametrize("levels", [31, 200, 3_000])
    @pytest.mark.parametrize("unknown", [False, True])
    def test_depth(self, levels: int, unknown: bool) -> None:
        """32 levels of nesting in all, the event's own included, and no more, however many."""
        nested = b"[" * levels + b"]" * levels
        key = b'"x"' if unknown else b'"fields"'
        raw = line(LOG)[:-1] + b"," + key + b': {"a": ' + nested + b"}}"
        fits = line(LOG)[:-1] + b"," + key + b': {"a": ' + b"[" * 30 + b"]" * 30 + b"}}"

        code, said = why_not(raw)

        assert (code, "at most 32 levels" in said) == (Code.TOO_DEEP, True)
        assert isinstance(one(fits), Log)

    def test_item_size(self) -> None:
        """One line above 1 MiB is refused unread, and costs its neighbours nothing."""
        large = line(LOG, message="x" * ITEM_BYTES)

        decoded = decode_body(b"\n".join((line(LOG), large, line(METRIC))), NOW)

        assert (decoded.accepted, decoded.refused) == (2, {Code.ITEM_TOO_LARGE: 1})
        assert decoded.refusals[0].index == 1


class TestNeighbours:
    GOOD = line(REQUEST)
    BAD = b'{"type":"log","message":'

    def test_lines(self) -> None:
        """A bad line is refused by its place among the lines that are not blank."""
        decoded = decode_body(b"\n\n".join((self.GOOD, self.BAD, self.GOOD, b"x")), NOW)

        assert len(decoded.requests) == 2
        assert [refusal.index for refusal in decoded.refusals] == [1, 3]

    def test_array_items(self) -> None:
        """A bad item is refused by its place in the array."""
        huge = line(METRIC).replace(b": 3", b": " + b"9" * 5_000)
        items = (self.GOOD, b'{"type":"event"}', line(LOG), b"7", huge, self.GOOD)
        raw = b"[" + b" ,\n".join(items) + b"]"

        decoded = decode_body(raw, NOW)

        assert (len(decoded.requests), len(decoded.logs)) == (2, 1)
        assert [refusal.index for refusal in decoded.refusals] == [1, 3, 4]

    @pytest.mark.parametrize(
        "raw",
        [
            b"[%b,%b",
            b"[%b,%b]]",
            b"[%b,%b],",
            b"[%b %b]",
            b"[%b,%b,]",
            b"[,%b,%b]",
            b"[%b,%b,nonsense]",
            b"[%b,%b]\n{}",
            b"[%b,%b," + b"[" * 100_000,
        ],
    )
    def test_broken_array_is_taken_not_at_all(self, raw: bytes) -> None:
        """Where an array is broken nobody can tell its items: none is taken, one is refused."""
        decoded = decode_body(raw % (self.GOOD, self.GOOD), NOW)

        assert (decoded.accepted, decoded.rejected) == (0, 1)
        assert set(decoded.refused) <= {Code.NOT_JSON, Code.TOO_DEEP}

    @pytest.mark.parametrize(
        "bad",
        [
            b"",
            b"\x00\xff",
            b"{",
            b'{"type":"request","x":',
            b'"',
            b"[",
            b'[{"type":"log"}',
            b"\xef\xbb\xbf",
            b'{"type":"log","message":"',
        ],
    )
    def test_datagrams(self, bad: bytes) -> None:
        """A bad datagram, even a torn one, spoils neither the one before nor the one after."""
        decoded = decode_datagrams([self.GOOD, bad, b"1}", self.GOOD], NOW)

        assert len(decoded.requests) == 2
        assert decoded.rejected == (2 if bad.strip(b"\xef\xbb\xbf") else 1)

    def test_order_is_kept(self) -> None:
        """Lines that need mending stay in their place among those that do not."""
        sent = [line(LOG, message=f"{n}" + "\x00" * (n % 3 == 1)) for n in range(20)]

        decoded = decode_datagrams(sent, NOW)

        assert [log.message.rstrip("\ufffd") for log in decoded.logs] == [str(n) for n in range(20)]

    def test_event_over_two_datagrams_is_two_bad_ones(self) -> None:
        """What one sender tears and another completes is nobody's event."""
        decoded = decode_datagrams([self.GOOD[:40], self.GOOD[40:]], NOW)

        assert (decoded.accepted, decoded.rejected) == (0, 2)


class TestEnvelopes:
    SENT: ClassVar = {"id": "7f3a", "service": "shop", "age_ms": 5, "sequence": 40, "events": 2}
    LINE = line({"type": "sender"}, **SENT)

    @pytest.mark.parametrize(
        "neighbour",
        [line(REQUEST), line(LOG), line(METRIC), line(LOG, level="warn"), line(LOG, x=1), b"{"],
    )
    def test_beside_what_is_taken_and_what_is_not(self, neighbour: bytes) -> None:
        """Whatever its neighbours need, an envelope is taken as it is and is no event."""
        lines = [self.LINE, neighbour]

        for decoded in (
            decode_datagrams([b"\n".join(lines), neighbour, self.LINE], NOW),
            decode_body(b"\n".join([*lines, neighbour, self.LINE]), NOW),
        ):
            assert decoded.envelopes == [Envelope(**self.SENT)] * 2
            assert decoded.accepted + decoded.rejected == 2

    def test_index_counts_events(self) -> None:
        """The place of a refused event does not count envelopes, in lines and in arrays."""
        items = (self.LINE, line(LOG), self.LINE, line(LOG, level="loud"), self.LINE, b"7")

        for raw in (b"\n".join(items), b"[" + b",".join(items) + b"]"):
            decoded = decode_body(raw, NOW)
            assert [refusal.index for refusal in decoded.refusals] == [1, 2]
            assert len(decoded.envelopes) == 3

    def test_mended(self) -> None:
        """An unknown field of a later version is counted and costs the envelope nothing."""
        decoded = decode_body(line({"type": "SENDER"}, **self.SENT, host="web-1"), NOW)

        assert (decoded.envelopes, decoded.rejected) == ([Envelope(**self.SENT)], 0)
        assert decoded.unknown_fields == 1

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"id": ""}, Code.MISSING_FIELD),
            ({"id": "x" * 65}, Code.TOO_LONG),
            ({"service": ""}, Code.INVALID_FIELD),
            ({"sequence": -1}, Code.INVALID_FIELD),
            ({"sequence": 2**53}, Code.INVALID_FIELD),
            ({"events": 1.5}, Code.INVALID_FIELD),
            ({"age_ms": None}, Code.MISSING_FIELD),
        ],
    )
    def test_what_is_none(self, changes: dict[str, Any], code: Code) -> None:
        """A broken envelope is refused like any bad line."""
        found, _ = why_not(line({"type": "sender"}, **{**self.SENT, **changes}))

        assert found == code


class TestBounds:
    def test_items_of_a_body(self) -> None:
        """A body holds 10,000 events at most, as lines and as an array; blank lines are none."""
        good = line(METRIC)

        for raw in (
            b"\n\n".join([good] * BODY_ITEMS),
            b"[" + b",".join([good] * BODY_ITEMS) + b"]",
        ):
            assert decode_body(raw, NOW).accepted == BODY_ITEMS
        for item in (good, b"1"):
            for raw in (
                b"\n".join([item] * (BODY_ITEMS + 1)),
                b"[" + b",".join([item] * (BODY_ITEMS + 1)) + b"]",
            ):
                with pytest.raises(TooManyItems):
                    decode_body(raw, NOW)

    def test_too_long_an_array_in_a_datagram_is_one_refusal(self) -> None:
        """A datagram of a hundred thousand nothings is not looked into one by one."""
        decoded = decode_datagrams([b"[" + b"1," * 20_000 + b"1]", line(METRIC)], NOW)

        assert (decoded.accepted, decoded.refused) == (1, {Code.ITEM_TOO_LARGE: 1})

    def test_a_flood_of_scraps_is_counted_to_the_last(self) -> None:
        """Every scrap counts as one refused event; the first twenty are described."""
        decoded = decode_datagrams([b"{}\n" * 20_000, line(METRIC)], NOW)

        assert (decoded.accepted, decoded.rejected) == (1, 20_000)
        assert [refusal.index for refusal in decoded.refusals] == list(range(20))

    def test_what_must_be_looked_into_pauses(self) -> None:
        """A drain that needs mending leaves others a turn; one that needs none is done at once."""
        odd = b"\n".join([line(REQUEST, region="eu")] * 20)
        nested = b"\n".join([line(LOG, level="warn", fields={"a": [1]})] * 20)
        good = b"\n".join([line(REQUEST)] * 20)

        for datagram in (odd, nested):
            into = Decoded()
            pauses = sum(1 for _ in decoding([datagram] * 100, NOW, into))
            assert into.accepted == 2_000
            assert pauses >= 100 * len(datagram) // STEP_BYTES - 1
        assert list(decoding([good] * 100, NOW, Decoded())) == []

    def test_structure_is_charged(self) -> None:
        """What takes much more memory than bytes counts for what it takes."""
        flat = decode_body(line(LOG, fields={"a": 1, "b": "x"}), NOW)
        nested = decode_body(line(LOG, fields={"a": [[], [], {"b": [1]}]}), NOW)
        others = line(METRIC, attributes={"a": "b"}) + b"\n"
        others += line(REQUEST, error={"type": "E", "frames": [{}, {}]})

        charged = [decoded.batch(NOW, 100).size_bytes for decoded in (flat, nested)]

        assert charged == [100 + 2 * VALUE_BYTES, 100 + 6 * VALUE_BYTES]
        assert decode_body(others, NOW).batch(NOW, 0).size_bytes == 3 * VALUE_BYTES

    def test_sentences_are_short(self) -> None:
        """However large the bad value is, the sentence about it is not."""
        for changes in ({"level": "x" * 10_000}, {"level": ["x"] * 10_000}, {"time": "x" * 10_000}):
            _, said = why_not(line(LOG, **changes))
            assert len(said) < 300
