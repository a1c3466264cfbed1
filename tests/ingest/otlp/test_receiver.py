"""OTLP over HTTP, through real sockets: what is answered, and when."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import io
import json
import threading
import time

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import zstandard

from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint, Sum
from structlog.testing import capture_logs

from monitord.errors import NotTaken, SettingsError
from monitord.ingest.http import IngestServer
from monitord.ingest.otlp import receiver
from monitord.ingest.otlp.metrics import MetricDecoder
from monitord.model import Batch
from monitord.settings import Ingest, Secret
from monitord.telemetry import Telemetry
from tests.ingest.otlp.messages import SECOND, SPAN, TRACE, logs, metrics, span, traces, value


PROTOBUF, JSON = "application/x-protobuf", "application/json"


class Client:
    """Posts to one server and reads its answers."""

    def __init__(self, session: aiohttp.ClientSession, server: IngestServer) -> None:
        self._session = session
        self.port = server.port
        self.otlp_port = server.otlp_port

    async def post(
        self,
        signal: str,
        body: Any,
        kind: str = PROTOBUF,
        headers: dict[str, str] | None = None,
        port: int = 0,
    ) -> tuple[int, bytes, Any]:
        raw = body if isinstance(body, bytes) else body.SerializeToString()
        url = f"http://127.0.0.1:{port or self.port}/v1/{signal}"
        said = {"Content-Type": kind} | (headers or {})
        async with self._session.post(url, data=io.BytesIO(raw), headers=said) as response:
            return response.status, await response.read(), response.headers


@contextlib.asynccontextmanager
async def serving(sink: Any, telemetry: Telemetry, **options: Any) -> AsyncIterator[Client]:
    async with (
        IngestServer(Ingest(port=0, **options), sink, telemetry) as server,
        aiohttp.ClientSession() as session,
    ):
        yield Client(session, server)


def status_of(body: bytes) -> Status:
    return Status.FromString(body)


def in_json(message: Any) -> bytes:
    """Write a message as OTLP's JSON: ids in hexadecimal, enums as numbers."""
    tree = json_format.MessageToDict(message, use_integers_for_enums=True)

    def mended(inner: Any, key: str = "") -> Any:
        if isinstance(inner, dict):
            return {name: mended(each, name) for name, each in inner.items()}
        if isinstance(inner, list):
            return [mended(each) for each in inner]
        return base64.b64decode(inner).hex() if key in ("traceId", "spanId") else inner

    return json.dumps(mended(tree)).encode()


def one_log(text: str = "hello") -> LogRecord:
    return LogRecord(body=value(text), severity_number=17, time_unix_nano=time.time_ns())


def one_gauge(name: str = "depth") -> Metric:
    point = NumberDataPoint(as_int=3, time_unix_nano=time.time_ns())
    return Metric(name=name, gauge=Gauge(data_points=[point]))


class TestTaking:
    async def test_three_signals(self, sink, telemetry) -> None:
        """Each path takes its signal, and answers its own message, which is empty."""
        async with serving(sink, telemetry) as client:
            answers = [
                await client.post(
                    "traces",
                    traces(span(kind=2, found={"http.method": "GET", "http.status_code": 200})),
                ),
                await client.post("logs", logs(one_log())),
                await client.post("metrics", metrics(one_gauge())),
            ]

        assert [(status, body) for status, body, _ in answers] == [(200, b"")] * 3
        assert {headers["Content-Type"] for *_, headers in answers} == {PROTOBUF}
        [first, second, third] = sink.batches
        assert (len(first.spans), len(first.requests)) == (1, 1)
        assert (len(second.logs), len(third.metrics)) == (1, 1)
        assert [
            telemetry.registry.get_sample_value(
                "monitord_ingest_events_total", {"protocol": "otlp", "type": kind}
            )
            for kind in ("request", "span", "log", "metric")
        ] == [1, 1, 1, 1]

    async def test_json(self, sink, telemetry) -> None:
        """JSON is the same events: ids in hexadecimal, large numbers as texts, enums as numbers."""
        messages = {
            "traces": traces(span(kind=3, found={"n": 2**60, "raw": b"\1"})),
            "logs": logs(one_log()),
            "metrics": metrics(one_gauge()),
        }
        async with serving(sink, telemetry) as client:
            for signal, message in messages.items():
                await client.post(signal, message)
                status, body, headers = await client.post(signal, in_json(message), JSON)
                assert (status, json.loads(body)) == (200, {})
                assert headers["Content-Type"].startswith(JSON)

        for in_protobuf, json_one in zip(sink.batches[::2], sink.batches[1::2], strict=True):
            assert in_protobuf.spans == json_one.spans
            assert in_protobuf.logs == json_one.logs
            assert in_protobuf.metrics == json_one.metrics
        assert sink.batches[1].spans[0].trace_id == TRACE.hex()

    async def test_json_as_others_write_it(self, sink, telemetry) -> None:
        """Unknown fields are ignored, ids may be in capitals, numbers be numbers or texts."""
        now = time.time_ns()
        body = {
            "resourceSpans": [
                {
                    "resource": {
                        "attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]
                    },
                    "scopeSpans": [
                        {
                            "scope": {"name": "x", "new": {}},
                            "spans": [
                                {
                                    "traceId": TRACE.hex().upper(),
                                    "spanId": SPAN.hex().upper(),
                                    "name": "half \ud83d of a pair",
                                    "kind": 2,
                                    "startTimeUnixNano": now - SECOND,
                                    "endTimeUnixNano": str(now),
                                    "status": {"code": 2},
                                    "attributes": [{"key": "a", "value": {"intValue": "7"}}],
                                    "flags": 257,
                                    "unheard": [1],
                                }
                            ],
                        }
                    ],
                }
            ]
        }
        async with serving(sink, telemetry) as client:
            status, *_ = await client.post("traces", json.dumps(body).encode(), JSON)

        assert status == 200
        [one] = sink.batches[0].spans
        assert (one.trace_id, one.span_id) == (TRACE.hex(), SPAN.hex())
        assert (one.name, one.kind, one.status) == (
            "half \N{REPLACEMENT CHARACTER} of a pair",
            "server",
            "error",
        )
        assert (one.duration_ms, one.attributes, one.service) == (1_000, {"a": 7}, "web")

    @pytest.mark.parametrize("encoding", ["gzip", "zstd"])
    @pytest.mark.parametrize("kind", [PROTOBUF, JSON])
    async def test_compressed(self, sink, telemetry, encoding: str, kind: str) -> None:
        """Both encodings may be compressed, in two ways."""
        message = logs(one_log())
        raw = message.SerializeToString() if kind == PROTOBUF else in_json(message)
        packed = gzip.compress(raw) if encoding == "gzip" else zstandard.compress(raw)
        async with serving(sink, telemetry) as client:
            status, *_ = await client.post("logs", packed, kind, {"Content-Encoding": encoding})

        assert (status, sink.events) == (200, 1)

    async def test_nothing_inside(self, sink, telemetry) -> None:
        """An empty message is answered as any other, and nothing is written."""
        async with serving(sink, telemetry) as client:
            answers = [
                await client.post("traces", b""),
                await client.post("logs", b"{}", JSON),
                await client.post("metrics", metrics()),
            ]

        assert [status for status, *_ in answers] == [200, 200, 200]
        assert sink.batches == []

    async def test_its_own_port(self, sink, telemetry) -> None:
        """`otlp_port` has the three paths, and not the native one; both count as one listener."""
        async with serving(sink, telemetry, otlp_port=0) as client:
            assert client.otlp_port not in (None, 0, client.port)
            answers = [
                await client.post("logs", logs(one_log()), port=port)
                for port in (client.port, client.otlp_port or 0)
            ]
            native, *_ = await client.post("ingest", b"{}", JSON, port=client.otlp_port or 0)

        assert [status for status, *_ in answers] == [200, 200]
        assert native == 404
        assert sink.events == 2

    async def test_its_port_is_taken(self, sink, telemetry) -> None:
        """The error names the setting; the port of the others is free again."""
        async with serving(sink, telemetry) as client:
            other = IngestServer(Ingest(port=0, otlp_port=client.port), sink, telemetry)
            with pytest.raises(SettingsError, match=r"^ingest\.otlp_port: cannot listen on"):
                await other.__aenter__()

    async def test_the_same_body_again(self, sink, telemetry) -> None:
        """A retry carries the same key, compressed or not, so that the store takes it once."""
        message = traces(span()).SerializeToString()
        async with serving(sink, telemetry) as client:
            await client.post("traces", message)
            await client.post(
                "traces", gzip.compress(message), headers={"Content-Encoding": "gzip"}
            )
            await client.post("traces", traces(span()))

        first, again, other = [batch.idempotency_key for batch in sink.batches]
        assert first == again != other
        assert first

    @pytest.mark.parametrize("signal", ["logs", "metrics"])
    async def test_a_body_without_times(self, sink, telemetry, signal: str) -> None:
        """What says no time may happen again just so, unless a key of the sender's tells."""
        point = NumberDataPoint(as_int=1)
        total = Sum(aggregation_temporality=1, is_monotonic=True, data_points=[point])
        body = {
            "logs": logs(LogRecord(body=value("backup failed"))),
            "metrics": metrics(Metric(name="jobs", sum=total)),
        }[signal]
        async with serving(sink, telemetry) as client:
            for key in ("", "a", "a", "b"):
                await client.post(signal, body, headers={"Idempotency-Key": key} if key else {})

        unnamed, first, again, other = [batch.idempotency_key for batch in sink.batches]
        assert unnamed == ""
        assert first == again != other
        assert first.startswith("a ")

    async def test_a_key_of_the_senders(self, sink, telemetry) -> None:
        """A key names the body it came with; one that cannot be a key is 400."""
        async with serving(sink, telemetry) as client:
            message = traces(span())
            await client.post("traces", message, headers={"Idempotency-Key": "a"})
            long, *_ = await client.post("traces", message, headers={"Idempotency-Key": "a" * 201})

        assert sink.batches[0].idempotency_key.startswith("a ")
        assert long == 400

    async def test_json_of_many_values(self, sink, telemetry) -> None:
        """JSON of far more values than events have is refused before it is decoded."""
        many = b'{"x":[' + b"[]," * 300_000 + b"[]]}"
        async with serving(sink, telemetry) as client:
            status, answer, _ = await client.post("logs", many, JSON)
            few, *_ = await client.post("logs", b'{"x":[' + b"[]," * 3_000 + b"[]]}", JSON)

        assert (status, few) == (413, 200)
        assert json.loads(answer)["message"] == (
            "JSON: expected at most 500,000 brackets, braces and commas, got 600,003"
        )

    async def test_one_json_body_at_a_time(self, sink, telemetry, monkeypatch) -> None:
        """Bodies in JSON that are too long to decode at once wait for each other, no others do."""
        running, most = 0, 0
        decode = receiver.as_protobuf

        def noted(*given: Any) -> bytes:
            nonlocal running, most
            running += 1
            most = max(most, running)
            time.sleep(0.05)
            running -= 1
            return decode(*given)

        monkeypatch.setattr(receiver, "as_protobuf", noted)
        body = in_json(logs(*[one_log("x" * 1_000)] * 10))
        async with serving(sink, telemetry) as client:
            answers = await asyncio.gather(*(client.post("logs", body, JSON) for _ in range(4)))

        assert [status for status, *_ in answers] == [200] * 4
        assert most == 1

    async def test_many_points_do_not_stop_the_loop(self, sink, telemetry, monkeypatch) -> None:
        """A short body of many records is decoded beside the loop, one of few on it."""
        threads: list[bool] = []
        decode = MetricDecoder.decode

        def noted(*given: Any) -> Any:
            threads.append(threading.current_thread() is threading.main_thread())
            return decode(*given)

        monkeypatch.setattr(MetricDecoder, "decode", noted)
        async with serving(sink, telemetry) as client:
            for number in (10, 1_000):
                point = NumberDataPoint(as_int=1)
                of = Gauge(data_points=[point] * number)
                await client.post("metrics", metrics(Metric(name="n", gauge=of)))
                await client.post("metrics", metrics(*[Metric()] * number))

        assert threads == [True, True, False, False]


class TestPartialSuccess:
    @pytest.mark.parametrize(
        ("signal", "response", "field"),
        [
            ("traces", ExportTraceServiceResponse, "rejected_spans"),
            ("logs", ExportLogsServiceResponse, "rejected_log_records"),
            ("metrics", ExportMetricsServiceResponse, "rejected_data_points"),
        ],
    )
    @pytest.mark.parametrize("kind", [PROTOBUF, JSON])
    async def test_some_were_refused(
        self, sink, telemetry, signal: str, response: Any, field: str, kind: str
    ) -> None:
        """The answer says how many were refused, and which rule that was, in the same encoding."""
        key = {"k" * 201: 1}
        odd_log = one_log()
        odd_log.attributes.extend(span(found=key).attributes)
        message = {
            "traces": traces(span(), span(trace_id=b"x"), span(found=key)),
            "logs": logs(one_log(), odd_log, odd_log),
            "metrics": metrics(one_gauge(), one_gauge(""), one_gauge("x" * 300)),
        }[signal]
        body = message.SerializeToString() if kind == PROTOBUF else in_json(message)
        async with serving(sink, telemetry) as client:
            status, answer, _ = await client.post(signal, body, kind)

        assert (status, sink.events) == (200, 1)
        said = (
            response.FromString(answer)
            if kind == PROTOBUF
            else json_format.Parse(answer, response())
        )
        assert getattr(said.partial_success, field) == 2
        assert "1: " in said.partial_success.error_message
        assert "expected" in said.partial_success.error_message
        if kind == JSON:
            name = field.replace("_s", "S").replace("_l", "L").replace("_r", "R")
            name = name.replace("_d", "D").replace("_p", "P")
            assert json.loads(answer)["partialSuccess"][name] == "2"

    async def test_all_were_refused(self, sink, telemetry) -> None:
        """Where nothing is left it is bad data as a whole: 400, with the sentence."""
        async with serving(sink, telemetry) as client:
            status, answer, _ = await client.post("traces", traces(span(trace_id=b"x")))

        assert status == 400
        assert status_of(answer).code == 3
        assert "0: trace_id: expected 16 bytes" in status_of(answer).message
        labels = {"protocol": "otlp", "reason": "invalid_field"}
        name = "monitord_ingest_rejected_events_total"
        assert telemetry.registry.get_sample_value(name, labels) == 1


class TestRefusing:
    @pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            (PROTOBUF, b"\xff\xff"),
            (JSON, b"\xff"),
            (JSON, b"[]"),
            (JSON, b"{"),
            (JSON, b"null"),
            (JSON, b"[" * 100_000),
            (JSON, b'{"resourceSpans":1,"resourceLogs":1,"resourceMetrics":1}'),
            (JSON, b'{"resourceSpans":[1],"resourceLogs":[1],"resourceMetrics":[1]}'),
        ],
        ids=range(8),
    )
    async def test_no_message(self, sink, telemetry, signal: str, kind: str, body: bytes) -> None:
        """What cannot be decoded is 400 with a Status in the encoding it came in."""
        async with serving(sink, telemetry) as client:
            status, answer, headers = await client.post(signal, body, kind)

        assert status == 400
        assert headers["Content-Type"].startswith(kind)
        said = status_of(answer) if kind == PROTOBUF else json_format.Parse(answer, Status())
        assert said.code == 3
        assert said.message.startswith("the body is no ")

    async def test_corrupt_and_too_large(self, sink, telemetry) -> None:
        """A body that is no gzip is 400; too many bytes, before or after, and spans are 413."""
        many = traces(*[span()] * 3)
        packed = {"Content-Encoding": "gzip"}
        limits = {"body_bytes": 2_000, "body_items": 2}
        async with serving(sink, telemetry, **limits) as client:
            answers = [
                await client.post("traces", b"no", headers=packed),
                await client.post("traces", gzip.compress(bytes(2_001)), headers=packed),
                await client.post("traces", bytes(2_001)),
                await client.post("traces", many),
            ]

        assert [status for status, *_ in answers] == [400, 413, 413, 413]
        messages = [status_of(answer).message for _, answer, _ in answers]
        assert messages[0].startswith("not gzip")
        assert "2000 bytes once decompressed" in messages[1]
        assert "2 events" in messages[3]

    async def test_another_type_or_encoding(self, sink, telemetry) -> None:
        """Another content type or encoding is 415; the answer names those that are taken."""
        async with serving(sink, telemetry) as client:
            kind = await client.post("logs", b"", "text/plain")
            encoding = await client.post("logs", b"", headers={"Content-Encoding": "br"})

        assert (kind[0], encoding[0]) == (415, 415)
        assert PROTOBUF in json.loads(kind[1])["message"]
        assert encoding[2]["Accept-Encoding"] == "zstd, gzip, identity"

    async def test_who_may_send(self, sink, telemetry) -> None:
        """Without the token it is 401, from a web page 403; with the token it is taken."""
        token = {"Authorization": "Bearer secret"}
        async with serving(sink, telemetry, tokens=(Secret("secret"),)) as client:
            none = await client.post("logs", logs(one_log()))
            page = await client.post(
                "logs", logs(one_log()), headers=token | {"Origin": "http://a"}
            )
            good = await client.post("logs", logs(one_log()), headers=token)

        assert [none[0], page[0], good[0]] == [401, 403, 200]
        assert none[2]["WWW-Authenticate"] == "Bearer"
        assert [status_of(answer).code for _, answer, _ in (none, page)] == [16, 7]

    @pytest.mark.parametrize(("crowded", "status", "code"), [(True, 429, 8), (False, 503, 14)])
    async def test_no_room(self, sink, telemetry, crowded: bool, status: int, code: int) -> None:
        """Without room the sender is told when to come again, before decoding and after."""
        sink.crowded = crowded
        async with serving(sink, telemetry) as client:
            sink.room = 0
            before = await client.post("logs", logs(one_log()))
            sink.room = 1
            after = await client.post("logs", logs(one_log(), one_log()))

        for found, answer, headers in (before, after):
            assert found == status
            assert int(headers["Retry-After"]) >= 1
            assert status_of(answer).code == code
            assert status_of(answer).message == "the spool is full"

    async def test_a_fault_of_ours(self, sink, telemetry, monkeypatch) -> None:
        """What nobody expected leaves the events with the sender: 503, and a line in our log."""

        async def broken(batch: Batch) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr(sink, "deliver", broken)
        with capture_logs() as lines:
            async with serving(sink, telemetry) as client:
                status, answer, headers = await client.post("logs", logs(one_log()))

        assert status == 503
        assert "secret" not in status_of(answer).message
        assert "Retry-After" in headers
        assert [line["event"] for line in lines if line["log_level"] == "error"] == [
            "ingest.failed"
        ]


class TestDelivery:
    async def test_answered_after_it_is_safe(self, sink, telemetry, monkeypatch) -> None:
        """The answer is sent after the sink has said that the events are safe, not before."""
        order: list[str] = []
        deliver = sink.deliver

        async def noted(batch: Batch) -> None:
            await deliver(batch)
            order.append("safe")

        monkeypatch.setattr(sink, "deliver", noted)
        async with serving(sink, telemetry) as client:
            await client.post("traces", traces(span()))
            order.append("answered")

        assert order == ["safe", "answered"]

    async def test_increments_that_were_not_taken(self, sink, telemetry, monkeypatch) -> None:
        """A total that could not be kept is not lost: the same sent again counts whole."""
        start, at = time.time_ns() + 60 * SECOND, time.time_ns() + 61 * SECOND
        point = NumberDataPoint(as_int=5, start_time_unix_nano=start, time_unix_nano=at)
        total = Sum(aggregation_temporality=2, is_monotonic=True, data_points=[point])
        message = metrics(Metric(name="n", sum=total))
        deliver = sink.deliver

        async def full(batch: Batch) -> None:
            raise NotTaken("the disk failed", 5)

        async with serving(sink, telemetry) as client:
            monkeypatch.setattr(sink, "deliver", full)
            refused, *_ = await client.post("metrics", message)
            monkeypatch.setattr(sink, "deliver", deliver)
            taken, *_ = await client.post("metrics", message)

        assert (refused, taken) == (503, 200)
        assert [metric.value for metric in sink.batches[0].metrics] == [5.0]
