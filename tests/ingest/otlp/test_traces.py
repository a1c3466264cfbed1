"""Spans of OTLP: each is a span, and a server's is a request as well."""

from __future__ import annotations

import json
import time
import traceback

from typing import Any

import pytest

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from monitord.ingest.decoded import Decoded, TooManyItems
from monitord.ingest.otlp.malformed import Malformed
from monitord.ingest.otlp.traces import decode_traces
from tests.ingest.otlp.messages import PARENT, SPAN, TRACE, attributes, span, traces


OLD = {"http.method": "GET", "http.status_code": 200, "http.route": "/orders/{id}"}
NEW = {
    "http.request.method": "POST",
    "http.response.status_code": 503,
    "http.route": "/orders",
    "url.path": "/orders",
}


def decoded(*spans: Span, **of: Any) -> Decoded:
    return decode_traces(traces(*spans, **of).SerializeToString(), time.time(), 10_000)


def raised(kind: str = "shop.Declined", message: str = "no", stack: str = "") -> Span.Event:
    said = {"exception.type": kind, "exception.message": message, "exception.stacktrace": stack}
    return Span.Event(name="exception", attributes=attributes(said))


def server(name: str = "GET", found: dict[str, Any] | None = None, **more: Any) -> Span:
    return span(kind=Span.SPAN_KIND_SERVER, name=name, found=found, **more)


class TestSpans:
    def test_every_field(self) -> None:
        """A span keeps its ids, its end in Unix seconds, its duration, kind, status and values."""
        found = {"db.query.text": "SELECT 1", "n": 3, "f": 0.5, "b": True, "l": [1, "a"]}
        sent = span(parent_span_id=PARENT, found=found, status=Status(code=Status.STATUS_CODE_OK))

        into = decoded(sent)

        [one] = into.spans
        assert (one.trace_id, one.span_id, one.parent_id) == (TRACE.hex(), SPAN.hex(), PARENT.hex())
        assert one.time == pytest.approx(sent.end_time_unix_nano / 1e9)
        assert one.duration_ms == 250
        assert (one.service, one.name, one.kind, one.status) == (
            "shop",
            "SELECT orders",
            "client",
            "ok",
        )
        assert one.attributes == found
        assert (into.requests, into.rejected) == ([], 0)

    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            (0, "internal"),
            (1, "internal"),
            (2, "server"),
            (4, "producer"),
            (5, "consumer"),
            (9, "internal"),
        ],
    )
    def test_kinds(self, kind: int, name: str) -> None:
        """The five kinds go by their names; one that is none of them is internal."""
        [one] = decoded(span(kind=kind)).spans

        assert one.kind == name

    def test_a_resource_is_not_repeated_but_for_where_it_ran(self) -> None:
        """Version and host come along, below what the span says itself; the SDK's name does not."""
        of = {"service.version": "1.8", "host.name": "a", "telemetry.sdk.language": "python"}

        into = decoded(span(found={"host.name": "b"}), span(found={"x": 1}), **of)

        assert [one.attributes for one in into.spans] == [
            {"service.version": "1.8", "host.name": "b"},
            {"service.version": "1.8", "host.name": "a", "x": 1},
        ]

    def test_no_service(self) -> None:
        """A resource without a name is the service `unknown`."""
        assert decoded(span(), service="").spans[0].service == "unknown"

    def test_more_attributes_than_an_event_has(self) -> None:
        """The first 63 are kept, and how many were not."""
        [one] = decoded(span(found={f"k{n}": n for n in range(100)})).spans

        assert len(one.attributes) == 64
        assert one.attributes["otlp.dropped_attributes"] == 37

    def test_odd_values(self) -> None:
        """NUL becomes U+FFFD, bytes base64, what is no number its name; long texts are cut."""
        found = {"nul": "a\0b", "raw": b"\x01\x02", "nan": float("nan"), "long": "x" * 40_000}
        [one] = decoded(span(found=found | {"none": None, "deep": {"a": [{"b": 1}]}})).spans

        assert one.attributes["nul"] == "a\N{REPLACEMENT CHARACTER}b"
        assert one.attributes["raw"] == "AQI="
        assert one.attributes["nan"] == "nan"
        assert one.attributes["long"].endswith("[truncated, was 40000 bytes]")
        assert one.attributes["none"] is None
        assert one.attributes["deep"] == {"a": [{"b": 1}]}

    def test_too_wide_a_value_is_text(self) -> None:
        """So is one that holds more than its share of what an event may."""
        found = {"few": list(range(14)), "many": {"a": list(range(20))}}
        [one] = decoded(span(found=found)).spans

        assert one.attributes["few"] == found["few"]
        assert json.loads(one.attributes["many"]) == found["many"]

    def test_too_deep_a_value_is_text(self) -> None:
        """What is nested deeper than an event may be costs no event: it is kept as its JSON."""
        deep: Any = 1
        for _ in range(31):
            deep = [deep]
        [one] = decoded(span(found={"deep": deep})).spans

        assert one.attributes["deep"] == "[" * 31 + "1" + "]" * 31

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"trace_id": b"short"}, "trace_id: expected 16 bytes"),
            ({"trace_id": bytes(16)}, "not all zero"),
            ({"span_id": b""}, "span_id: expected 8 bytes"),
            ({"span_id": bytes(8)}, "not all zero"),
            (
                {"attributes": attributes({"k" * 201: 1})},
                "a key of attributes: expected at most 200",
            ),
            ({"attributes": attributes({"k": 1}) * 1_001}, "attributes: expected at most 1000"),
            ({"name": "x" * 1_001}, "name: expected at most 1000"),
            ({"start_time_unix_nano": 1}, "start_time_unix_nano: expected at most 24 h"),
            ({"end_time_unix_nano": 0}, "end_time_unix_nano: missing"),
            ({"start_time_unix_nano": 0}, "start_time_unix_nano: missing"),
            (
                {"start_time_unix_nano": 0, "end_time_unix_nano": 1},
                "start_time_unix_nano: missing",
            ),
            (
                {"start_time_unix_nano": 0, "end_time_unix_nano": 0},
                "start_time_unix_nano and end_time_unix_nano: missing",
            ),
        ],
    )
    def test_a_bad_span_costs_no_other(self, wrong: dict[str, Any], said: str) -> None:
        """What cannot be a span is refused by its place and with a sentence; the others stay."""
        into = decoded(span(), span(**wrong), server(found=OLD))

        assert [(refusal.index, said in refusal.sentence) for refusal in into.refusals] == [
            (1, True)
        ]
        assert (len(into.spans), len(into.requests)) == (2, 1)

    def test_too_long_a_service(self) -> None:
        """All spans of a service that cannot be one are refused, each counted."""
        into = decoded(span(), span(), service="x" * 1_001)

        assert into.rejected == 2
        assert "service.name" in into.refusals[0].sentence

    def test_what_can_be_mended(self) -> None:
        """A clock set back gives no time at all; a span without a name and a parent is one."""
        sent = span(seconds=-1, name="", parent_span_id=bytes(8))
        [one] = decoded(sent).spans

        assert (one.duration_ms, one.name, one.parent_id) == (0.0, "unknown", None)

    def test_late_spans(self) -> None:
        """A span of hours ago and its request are moved to one time, and counted once."""
        late = server(found=OLD)
        late.start_time_unix_nano -= 7_200 * 10**9
        late.end_time_unix_nano -= 7_200 * 10**9
        now = time.time()
        into = decode_traces(traces(late, span()).SerializeToString(), now, 10)

        assert [one.time for one in (*into.requests, *into.spans[:1])] == [now - 3_600] * 2
        assert into.clamped_times == 1

    def test_too_many(self) -> None:
        """A body of more spans than the limit is not looked into."""
        body = traces(span(), span(), span()).SerializeToString()
        with pytest.raises(TooManyItems):
            decode_traces(body, time.time(), 2)

    def test_groups_without_a_span(self) -> None:
        """A body of nothing but groups is as far above the limit as one of spans."""
        with pytest.raises(TooManyItems):
            decode_traces(b"\x0a\x00" * 11, time.time(), 10)

    @pytest.mark.parametrize(
        "body", [b"\xff", b"{}", traces(span(found={"a": "b"})).SerializeToString()[:-1]]
    )
    def test_no_message(self, body: bytes) -> None:
        """Bytes that are no such message are malformed as a whole."""
        with pytest.raises(Malformed, match="ExportTraceServiceRequest"):
            decode_traces(body, time.time(), 10)

    def test_no_attribute(self) -> None:
        """So is a body with an attribute that is none, though the rest can be read."""
        body = traces(span(found={"abc": "def"})).SerializeToString()
        broken = body.replace(b"\x0a\x03abc", b"\x0a\x09abc")
        with pytest.raises(Malformed, match="attribute"):
            decode_traces(broken, time.time(), 10)


class TestRequests:
    def test_old_names(self) -> None:
        """A server's span by the old names of the conventions is a request with the span's ids."""
        into = decoded(server(found=OLD))

        [request], [one] = into.requests, into.spans
        assert (request.method, request.route, request.status) == ("GET", "/orders/{id}", 200)
        assert (request.service, request.duration_ms, request.time) == ("shop", 250, one.time)
        assert (request.trace_id, request.span_id) == (TRACE.hex(), SPAN.hex())
        assert request.error is None

    def test_new_names(self) -> None:
        """So it is by the new ones."""
        [request] = decoded(server(found=NEW)).requests

        assert (request.method, request.route, request.status) == ("POST", "/orders", 503)

    @pytest.mark.parametrize("kind", [Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_CONSUMER])
    def test_other_kinds(self, kind: Any) -> None:
        """A call to another service, or a message's, is no request of this one."""
        assert decoded(span(kind=kind, found=OLD)).requests == []

    @pytest.mark.parametrize(
        ("name", "path", "route"),
        [
            ("GET /x/{id}", "/x/17", "/x/{id}"),
            ("HTTP GET /x/:id", "/x/17", "/x/:id"),
            ("OrdersController.show", "/x/17", "OrdersController.show"),
            ("GET /orders", "/orders", "/orders"),
            ("/x/17", "/x/17?q=1", "unknown"),
            ("GET /x/17", "/x/17", "unknown"),
            ("GET /x?q=1", "/x?q=1", "unknown"),
            ("GET", "/x/17", "unknown"),
            ("HTTP GET", "/x/17", "unknown"),
        ],
    )
    def test_without_a_route(self, name: str, path: str, route: str) -> None:
        """It is the span's name then, without the method; never a path that has values in it."""
        for key in ("url.path", "http.target"):
            found = {"http.method": "GET", "http.status_code": 200, key: path}

            assert decoded(server(name, found)).requests[0].route == route

    @pytest.mark.parametrize(
        ("found", "status"),
        [({"http.status_code": "404"}, 404), ({"http.status_code": 99}, None), ({}, None)],
    )
    def test_statuses(self, found: dict[str, Any], status: int | None) -> None:
        """Without a status that can be there is no request: nobody knows how it was answered."""
        requests = decoded(server(found={"http.method": "brew"} | found)).requests

        assert [(each.method, each.status) for each in requests] == (
            [("OTHER", status)] if status else []
        )

    def test_it_failed_before_its_answer(self) -> None:
        """A failed span without a status is a request answered with 500."""
        failed = server(found={"http.method": "get"}, status=Status(code=Status.STATUS_CODE_ERROR))

        assert [(each.method, each.status) for each in decoded(failed).requests] == [("GET", 500)]

    def test_not_http(self) -> None:
        """A server's span of another protocol is a span alone."""
        into = decoded(server(found={"rpc.system": "grpc"}))

        assert (len(into.spans), into.requests) == (1, [])


class TestErrors:
    def test_a_python_traceback(self) -> None:
        """The last exception is the error of span and request, its frames are read."""
        try:
            time.sleep("x")  # type: ignore[arg-type]
        except TypeError:
            stack = traceback.format_exc()
        failed = server(
            found=NEW,
            events=[raised("KeyError"), raised("TypeError", "bad", stack), Span.Event(name="log")],
        )

        into = decoded(failed)

        error = into.spans[0].error
        assert error is not None
        assert (error.type, error.message) == ("TypeError", "bad")
        [frame] = error.frames
        assert frame.path.endswith("test_traces.py")
        assert (frame.function, frame.in_app) == ("test_a_python_traceback", True)
        assert frame.source.startswith('time.sleep("x")')
        assert frame.line > 0
        assert into.requests[0].error == error

    def test_another_language(self) -> None:
        """A stack that is none of Python's stays among the span's attributes as text."""
        stack = "java.lang.Error: no\n\tat shop.Orders.get(Orders.java:12)"
        [one] = decoded(span(events=[raised("java.lang.Error", "no", stack)])).spans

        assert one.error is not None
        assert one.error.frames == []
        assert one.attributes["exception.stacktrace"] == stack

    def test_what_was_handled(self) -> None:
        """An exception of a request that was answered well is the span's alone."""
        into = decoded(server(found=OLD, events=[raised()]))

        assert into.spans[0].error is not None
        assert into.requests[0].error is None

    def test_without_a_type(self) -> None:
        """An exception that says only a message has one all the same; one of nothing is none."""
        assert decoded(span(events=[raised("", "no")])).spans[0].error.type == "Exception"  # type: ignore[union-attr]
        assert decoded(span(events=[raised("", "")])).spans[0].error is None
