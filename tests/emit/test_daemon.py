"""From the emitter to the daemon's own sockets: what is recorded there is what arrives here."""

from __future__ import annotations

import asyncio

from monitord.emit import Emitter, MonitordMiddleware
from monitord.ingest.http import IngestServer
from monitord.ingest.udp import UdpListener
from monitord.model import Annotation, Batch, Request, Span
from monitord.settings import Ingest
from monitord.telemetry import Telemetry
from tests.emit.asgi import answering, ask


class Memory:
    """A sink with room for everything, which keeps what it took."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.spans: list[Span] = []
        self.annotations: list[Annotation] = []

    def check_room(self) -> None:
        pass

    def offer(self, batch: Batch) -> bool:
        self.requests += batch.requests
        self.spans += batch.spans
        self.annotations += batch.annotations
        return True

    async def deliver(self, batch: Batch) -> None:
        self.offer(batch)


async def serve_one(emitter: Emitter) -> None:
    """Serve a request within which a step fails."""

    async def app(*given: object) -> None:
        try:
            with emitter.span("charge card", "client", {"shop.id": "s1"}):
                raise LookupError("no card")
        except LookupError:
            await answering(*given)

    await ask(MonitordMiddleware(app, emitter))


async def test_a_request_its_span_and_a_deploy() -> None:
    """
    The daemon takes them all, by datagram and by HTTP, and they belong together.
    """
    sink, telemetry, settings = Memory(), Telemetry(), Ingest(port=0)
    async with (
        IngestServer(settings, sink, telemetry) as http,
        UdpListener(Ingest(port=http.port), sink, telemetry, http.senders),
    ):
        emitter = Emitter(f"127.0.0.1:{http.port}", service="shop", version="1.8.2")
        await serve_one(emitter)
        await asyncio.to_thread(emitter.close, 10)
        async with asyncio.timeout(20):
            while len(sink.spans) < 2 or not sink.annotations:  # noqa: ASYNC110 - it polls
                await asyncio.sleep(0.01)

    [request], [mark] = sink.requests, sink.annotations
    step, server = sorted(sink.spans, key=lambda span: span.kind)
    assert (server.kind, server.trace_id, server.span_id) == (
        "server",
        request.trace_id,
        request.span_id,
    )
    assert (step.name, step.parent_id, step.status) == ("charge card", server.span_id, "error")
    assert step.attributes == {"shop.id": "s1"}
    assert step.error is not None
    assert step.error.message == "no card"
    assert (mark.kind, mark.title, mark.service) == ("deploy", "1.8.2", "shop")
    assert emitter.lost == {}
