"""One `POST` of traces, logs or metrics: decoded, and answered when it is safe."""

from __future__ import annotations

import asyncio
import hashlib

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

from monitord.ingest.counts import Counts
from monitord.ingest.entrance import INLINE_BYTES, Entrance, check_content
from monitord.ingest.idempotency import bound, idempotency_key
from monitord.ingest.otlp.answers import JSON, PROTOBUF, answer, described, in_status
from monitord.ingest.otlp.exported import Exported
from monitord.ingest.otlp.json_bodies import TooManyValues, as_protobuf
from monitord.ingest.otlp.logs import are_few_logs, decode_logs
from monitord.ingest.otlp.malformed import Malformed
from monitord.ingest.otlp.metrics import MetricDecoder, are_few_points
from monitord.ingest.otlp.totals import Change
from monitord.ingest.otlp.traces import are_few_spans, decode_traces
from monitord.telemetry import Telemetry


CONTENT_TYPES = (PROTOBUF, JSON)
ENCODINGS = ("identity", "gzip", "zstd")
# JSON takes some thirty times as long as protobuf.
INLINE_JSON_BYTES = INLINE_BYTES // 32
# A bucket is one byte, and takes as long as ten of a span.
INLINE_METRIC_BYTES = INLINE_BYTES // 4
# Of a short body: a record may be two bytes, and takes some 10 us.
INLINE_RECORDS = 512


class _Signal(NamedTuple):
    """What the three differ in; `records` is what a refused one is called in the answer."""

    path: str
    records: str
    request: Any
    response: Any
    decode: Callable[[bytes, float, int], tuple[Exported, Sequence[Change]]]
    are_few: Callable[[bytes, int], bool]
    inline_bytes: int = INLINE_BYTES

    def is_short(self, body: bytes) -> bool:
        """Say whether a body in protobuf is decoded at once. Raises Malformed."""
        return len(body) <= self.inline_bytes and self.are_few(body, INLINE_RECORDS)


class _Taken(NamedTuple):
    """A body decoded: `size_bytes` is its size decompressed, `key` what a repetition shares."""

    decoded: Exported
    changes: Sequence[Change]
    size_bytes: int
    key: str


class OtlpReceiver:
    """Takes what OpenTelemetry exports, on every port that has its routes."""

    def __init__(
        self, entrance: Entrance, telemetry: Telemetry, limit: int, now: Callable[[], float]
    ) -> None:
        self._entrance = entrance
        self._limit = limit
        self._now = now
        self._counts = Counts(telemetry, "otlp")
        self._metrics = MetricDecoder(int(now() * 1e9))
        # JSON holds up all threads while it is decoded: several bodies at once would for longer.
        self._json = asyncio.Semaphore(1)
        self._signals = (
            _Signal(
                "/v1/traces",
                "spans",
                trace.ExportTraceServiceRequest,
                trace.ExportTraceServiceResponse,
                _without_changes(decode_traces),
                are_few_spans,
            ),
            _Signal(
                "/v1/logs",
                "log_records",
                logs.ExportLogsServiceRequest,
                logs.ExportLogsServiceResponse,
                _without_changes(decode_logs),
                are_few_logs,
            ),
            _Signal(
                "/v1/metrics",
                "data_points",
                metrics.ExportMetricsServiceRequest,
                metrics.ExportMetricsServiceResponse,
                self._metrics.decode,
                are_few_points,
                INLINE_METRIC_BYTES,
            ),
        )

    def add_routes(self, app: web.Application) -> None:
        """Add the three paths to an application."""
        for signal in self._signals:
            app.router.add_post(signal.path, self._handler(signal))

    def _handler(self, signal: _Signal) -> Callable[[web.Request], Any]:
        async def receive(request: web.Request) -> web.StreamResponse:
            return await self._receive(request, signal)

        async def handler(request: web.Request) -> web.StreamResponse:
            return await in_status(request, receive)

        return handler

    async def _receive(self, request: web.Request, signal: _Signal) -> web.Response:
        self._entrance.check_sender(request)
        check_content(request, CONTENT_TYPES, ENCODINGS)
        key = idempotency_key(request)
        self._entrance.check_room()
        try:
            taken = await self._read(request, signal, key)
        except Malformed as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        except TooManyValues as error:
            raise web.HTTPRequestEntityTooLarge(0, 0, text=str(error)) from None
        await self._deliver(taken)
        return _answer(request, signal, taken.decoded)

    async def _read(self, request: web.Request, signal: _Signal, key: str) -> _Taken:
        is_json = request.content_type == JSON

        def decode(body: bytes) -> _Taken:
            raw = as_protobuf(signal.request, body, self._limit) if is_json else body
            decoded, changes = signal.decode(raw, self._now(), self._limit)
            return _Taken(decoded, changes, len(body), _key(key, body, decoded))

        if is_json:
            return await self._entrance.read(request, decode, _is_short_json, self._json)
        return await self._entrance.read(request, decode, signal.is_short)

    async def _deliver(self, taken: _Taken) -> None:
        if not taken.decoded.accepted:
            self._counts.count_wrong(taken.decoded)
            return
        self._counts.count(taken.decoded)
        batch = taken.decoded.batch(self._now(), taken.size_bytes, taken.key)
        try:
            await self._entrance.deliver(batch)
        except Exception:
            # The sender comes again with it, or with later points that hold the same.
            self._metrics.undo(list(taken.changes))
            raise


def _is_short_json(body: bytes) -> bool:
    return len(body) <= INLINE_JSON_BYTES


def _key(sent: str, body: bytes, decoded: Exported) -> str:
    """Return what a repetition of the body shares with it and nothing else; empty if none knows."""
    if sent:
        return bound(sent, body)
    if decoded.undated:
        return ""  # the same may have happened again
    # Nothing that happened has this body but its repetition: the times in it are exact.
    return hashlib.blake2b(body, digest_size=16, person=b"otlp").hexdigest()


def _without_changes(
    decode: Callable[[bytes, float, int], Exported],
) -> Callable[[bytes, float, int], tuple[Exported, Sequence[Change]]]:
    return lambda body, now, limit: (decode(body, now, limit), ())


def _answer(request: web.Request, signal: _Signal, decoded: Exported) -> web.Response:
    """Return how much was refused; as an error where nothing is left."""
    said = described(decoded, signal.records)
    if said and not decoded.accepted:
        raise web.HTTPBadRequest(text=said)
    message = signal.response()
    if said:
        setattr(message.partial_success, f"rejected_{signal.records}", decoded.rejected)
        message.partial_success.error_message = said
    return answer(request.content_type, message)
