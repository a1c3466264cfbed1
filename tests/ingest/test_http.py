"""The HTTP side of the ingest port, through real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import ssl
import time

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import trustme

from msgspec import structs
from structlog.testing import capture_logs

from monitord.errors import SettingsError
from monitord.ingest.http import IngestServer
from monitord.intake.bus import Bus
from monitord.intake.intake import Intake
from monitord.intake.spool.spool import open_spool
from monitord.intake.window import Window
from monitord.model import Batch
from monitord.settings import Ingest, Secret, Tls
from monitord.telemetry import Telemetry


GOOD = b'{"type":"metric","name":"queue.depth","value":1}'
ENVELOPE = b'{"type":"sender","id":"7f","service":"s","age_ms":9,"sequence":4,"events":2}'
LINES = {"Content-Type": "application/x-ndjson"}
MIB = 1024 * 1024
# Without the time, which would be in the names of the tests.
ZIPPED = gzip.compress(GOOD, mtime=0)


class Odd:
    """Gives an intake what no decoder lets through: half of a surrogate pair in each event."""

    def __init__(self, intake: Intake) -> None:
        self.check_room = intake.check_room
        self._intake = intake

    async def deliver(self, batch: Batch) -> None:
        odd = [structs.replace(metric, unit="\ud800") for metric in batch.metrics]
        await self._intake.deliver(structs.replace(batch, metrics=odd))


class Client:
    """Posts to one server and reads its answers."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self.port = port

    async def post(
        self,
        body: bytes | AsyncIterator[bytes],
        headers: dict[str, str] | None = None,
        path: str = "/v1/ingest",
    ) -> tuple[int, Any, Any]:
        url = f"http://127.0.0.1:{self.port}{path}"
        data = io.BytesIO(body) if isinstance(body, bytes) else body
        async with self._session.post(url, data=data, headers=LINES | (headers or {})) as response:
            return response.status, await response.json(), response.headers


@contextlib.asynccontextmanager
async def serving(sink: Any, telemetry: Telemetry, **options: Any) -> AsyncIterator[Client]:
    async with (
        IngestServer(Ingest(port=0, **options), sink, telemetry) as server,
        aiohttp.ClientSession() as session,
    ):
        yield Client(session, server.port)


@contextlib.contextmanager
def quiet() -> Any:
    """Check that nothing at warning or above is logged."""
    with capture_logs() as logs:
        yield
    assert [line for line in logs if line["log_level"] in ("warning", "error", "critical")] == []


def counted(telemetry: Telemetry, name: str, **labels: str) -> float:
    return telemetry.registry.get_sample_value(f"monitord_{name}", labels) or 0.0


async def exchange(port: int, raw: bytes, half_close: bool = False) -> bytes:
    """Send raw bytes and read until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        if half_close:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


class TestTaking:
    async def test_good_and_bad_lines(self, sink, telemetry) -> None:
        """The good items are taken; the reply names index and reason of the bad ones."""
        body = b"\n".join((GOOD, b"nonsense", GOOD, b'{"type":"event"}', b""))
        async with serving(sink, telemetry) as client:
            status, answer, _ = await client.post(body)

        assert status == 202
        assert (answer["accepted"], answer["rejected"]) == (2, 2)
        assert [error["index"] for error in answer["errors"]] == [1, 3]
        assert answer["errors"][1] == {
            "index": 3,
            "reason": "type: expected request, log, metric, span, annotation, sender, got 'event'",
            "code": "unsupported_type",
        }
        assert sink.events == 2
        for reason in ("not_json", "unsupported_type"):
            labels = {"protocol": "http", "reason": reason}
            assert counted(telemetry, "ingest_rejected_events_total", **labels) == 1
        assert counted(telemetry, "ingest_events_total", protocol="http", type="metric") == 2

    async def test_an_envelope_is_no_event(self, sink, telemetry) -> None:
        """No count and no index includes it; a body of it alone is good, not so with a bad line."""
        async with serving(sink, telemetry) as client:
            among = await client.post(b"\n".join((ENVELOPE, GOOD, b"nonsense")))
            alone = await client.post(ENVELOPE)
            bad = await client.post(b"\n".join((ENVELOPE, b"nonsense")))

        assert (among[0], among[1]["accepted"], among[1]["errors"][0]["index"]) == (202, 1, 1)
        assert alone[:2] == (202, {"accepted": 0, "rejected": 0, "errors": []})
        assert (bad[0], bad[1]["error"]) == (400, "no event could be taken")
        assert sink.events == 1

    @pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson; charset=UTF-8"])
    async def test_array(self, sink, telemetry, kind: str) -> None:
        """A JSON array is as good as lines, under either content type."""
        async with serving(sink, telemetry) as client:
            status, answer, _ = await client.post(
                b"[" + GOOD + b",7," + GOOD + b"]", {"Content-Type": kind}
            )

        assert (status, answer["accepted"], answer["errors"][0]["index"]) == (202, 2, 1)

    @pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
    async def test_gzip(self, sink, telemetry, encoding: str) -> None:
        """A compressed body is taken like a plain one, and counts as it is decompressed."""
        body = b"\n".join([GOOD] * 1_000)
        async with serving(sink, telemetry) as client:
            status, answer, _ = await client.post(
                gzip.compress(body), {"Content-Encoding": encoding}
            )

        assert (status, answer) == (202, {"accepted": 1_000, "rejected": 0, "errors": []})
        assert sink.batches[0].size_bytes == len(body)

    async def test_chunked(self, sink, telemetry) -> None:
        """A body without a declared length is taken too."""

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield GOOD + b"\n"

        async with serving(sink, telemetry) as client:
            status, answer, _ = await client.post(chunks())

        assert (status, answer["accepted"]) == (202, 100)

    async def test_only_the_first_twenty_are_described(self, sink, telemetry) -> None:
        """However many are bad, the reply stays small and its numbers right."""
        async with serving(sink, telemetry) as client:
            status, answer, _ = await client.post(GOOD + b"\n{}" * 5_000)

        assert (status, answer["accepted"], answer["rejected"]) == (202, 1, 5_000)
        assert len(answer["errors"]) == 20

    @pytest.mark.parametrize(
        ("body", "rejected"), [(b"", 0), (b"[]", 0), (b"\n", 0), (b"{}\n{}", 2), (b"[{},", 1)]
    )
    async def test_nothing_taken_is_400(self, sink, telemetry, body: bytes, rejected: int) -> None:
        """A body of which nothing can be taken is the client's mistake, with the same reply."""
        async with serving(sink, telemetry) as client:
            status, answer, _ = await client.post(body)

        assert (status, answer["accepted"], answer["rejected"]) == (400, 0, rejected)
        assert len(answer["errors"]) == rejected
        assert answer["error"]
        assert sink.batches == []

    async def test_a_large_body_does_not_hold_the_loop_up(self, sink, telemetry) -> None:
        """While the worst body of its size is decoded, other work goes on."""
        body = b"\n".join([GOOD[:-1] + b',"unknown":[[1],[2],[3]]}'] * 10_000)
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.002)

        async with serving(sink, telemetry) as client:
            ticking = asyncio.create_task(tick())
            started = time.monotonic()
            status, answer, _ = await client.post(body)
            elapsed = time.monotonic() - started
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

        assert (status, answer["accepted"]) == (202, 10_000)
        assert turns > elapsed / 0.1
        assert counted(telemetry, "ingest_unknown_fields_total") == 10_000


class TestLimits:
    async def test_body_bytes(self, sink, telemetry) -> None:
        """4 MiB fit; one byte more does not, compressed or not, and nothing is taken."""
        full = b"\n".join([GOOD, b" " * (4 * MIB - len(GOOD) - 1)])
        async with serving(sink, telemetry) as client:
            assert (await client.post(full))[0] == 202
            for body, headers in (
                (full + b" ", {}),
                (gzip.compress(full + b" "), {"Content-Encoding": "gzip"}),
            ):
                status, answer, _ = await client.post(body, headers)
                assert (status, set(answer)) == (413, {"error"})

        assert sink.events == 1

    async def test_items(self, sink, telemetry) -> None:
        """10,000 events fit; one more does not, and nothing is taken."""
        async with serving(sink, telemetry) as client:
            assert (await client.post(b"\n".join([GOOD] * 10_000)))[0] == 202
            status, answer, _ = await client.post(b"\n".join([GOOD] * 10_001))

        assert (status, answer) == (413, {"error": "expected at most 10000 events"})
        assert sink.events == 10_000

    async def test_bombs_are_cheap(self, sink, telemetry, bomb: bytes) -> None:
        """A gibibyte of zeros and two million brackets are refused without their memory."""
        brackets = b"[" + b"[]," * (4 * MIB // 3 - 10) + b"[]]"
        zipped = {"Content-Encoding": "gzip"}
        process = psutil.Process()
        async with serving(sink, telemetry) as client:
            await client.post(GOOD)
            before = process.memory_info().rss
            assert (await client.post(bomb, zipped))[0] == 413
            assert (await client.post(brackets))[0] == 413
            assert (await client.post(gzip.compress(brackets), zipped))[0] == 413
            assert (await client.post(b"[" * (4 * MIB)))[0] == 400
            assert (await client.post(b'{"type":"log","fields":' * 50_000))[0] == 400
            grown = process.memory_info().rss - before

        assert grown < 128 * MIB

    @pytest.mark.parametrize(
        ("headers", "told"),
        [
            ({"Content-Type": "text/plain"}, "Content-Type"),
            ({"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type"),
            ({"Content-Type": "application/octet-stream"}, "Content-Type"),
            ({"Content-Type": "application/x-protobuf"}, "Content-Type"),
            ({"Content-Type": "application/json; charset=latin-1"}, "charset"),
            ({"Content-Encoding": "br"}, "Content-Encoding"),
            ({"Content-Encoding": "deflate"}, "Content-Encoding"),
            ({"Content-Encoding": "gzip, gzip"}, "Content-Encoding"),
            ({"Content-Encoding": "foo"}, "Content-Encoding"),
        ],
    )
    async def test_unsupported(self, sink, telemetry, headers: dict[str, str], told: str) -> None:
        """Another content type or encoding is 415, and the reply says what is expected."""
        with quiet():
            async with serving(sink, telemetry) as client:
                status, answer, _ = await client.post(GOOD, headers)

        assert status == 415
        assert told in answer["error"]
        assert sink.batches == []

    @pytest.mark.parametrize("body", [b"plain", ZIPPED[:-3], ZIPPED + b"x", b"\x1f\x8b\x08"])
    async def test_corrupt_gzip(self, sink, telemetry, body: bytes) -> None:
        """A broken compression is one sentence to the client and none in the log."""
        with quiet():
            async with serving(sink, telemetry) as client:
                status, answer, _ = await client.post(body, {"Content-Encoding": "gzip"})

        assert status == 400
        assert answer["error"].startswith("not gzip: ")


class TestRoom:
    async def test_full_spool_is_503_and_leaves_no_trace(self, sink, telemetry) -> None:
        """Without room nothing is taken or shown; the client is told when to come."""
        sink.room = 5
        async with serving(sink, telemetry) as client:
            assert (await client.post(b"\n".join([GOOD] * 4)))[0] == 202
            for events in (2, 5):
                status, answer, headers = await client.post(b"\n".join([GOOD] * events))
                assert (status, answer) == (503, {"error": "the spool is full"})
                assert 2 <= int(headers["Retry-After"]) <= 6
            assert (await client.post(GOOD))[0] == 202
            assert (await client.post(GOOD))[0] == 503

        assert sink.events == 5
        # Decoded, and refused after that: the last one was not even read.
        decoded = 4 + 2 + 5 + 1
        assert counted(telemetry, "ingest_events_total", protocol="http", type="metric") == decoded

    async def test_a_burst_too_many_is_429(self, sink, telemetry) -> None:
        """Where it is only a burst that finds no room, the answer says so."""
        sink.room, sink.crowded = 0, True
        async with serving(sink, telemetry) as client:
            status, _, headers = await client.post(GOOD)

        assert status == 429
        assert int(headers["Retry-After"]) >= 1

    async def test_answered_only_when_safe(self, sink, telemetry) -> None:
        """The reply waits until the sink has made the events safe."""
        safe = asyncio.Event()

        async def slowly(batch: object) -> None:
            await safe.wait()

        sink.deliver = slowly
        async with serving(sink, telemetry) as client:
            posting = asyncio.create_task(client.post(GOOD))
            done, _ = await asyncio.wait([posting], timeout=0.3)
            assert not done

            safe.set()

            assert (await posting)[0] == 202

    async def test_what_can_never_be_kept_is_422(self, telemetry, tmp_path: Path) -> None:
        """Events beyond the spool's format are the client's to mend: not to be sent again."""
        async with open_spool(tmp_path / "spool", 42) as spool:
            intake = Intake(spool, Window(time.time), Bus())
            async with serving(Odd(intake), telemetry) as client:
                status, answer, headers = await client.post(GOOD)

            assert status == 422
            assert answer == {
                "error": "the events cannot be kept in the spool's format; nothing was taken"
            }
            assert "Retry-After" not in headers
            assert spool.pending_events == 0

    async def test_key_of_a_body_is_of_its_content(self, sink, telemetry) -> None:
        """The same body under one key is one thing, compressed or not; another body is another."""
        large = b"\n".join([GOOD] * 2_000)
        async with serving(sink, telemetry) as client:
            for body in (GOOD, GOOD, b"\n".join([GOOD] * 2), large):
                await client.post(body, {"Idempotency-Key": "order 7"})
            zipped = {"Idempotency-Key": "order 7", "Content-Encoding": "gzip"}
            await client.post(gzip.compress(large), zipped)
            await client.post(GOOD, {"Idempotency-Key": "order 8"})
            await client.post(GOOD)

        first, again, other, long, unzipped, renamed, none = (
            batch.idempotency_key for batch in sink.batches
        )
        assert first == again
        assert long == unzipped
        assert len({first, other, long, renamed}) == 4
        assert all(key.startswith("order 7 ") for key in (first, other, long))
        assert none == ""

    async def test_longest_key_is_kept(self, sink, telemetry, tmp_path: Path) -> None:
        """A key of 200 characters is taken, and the spool can be read with it."""
        async with open_spool(tmp_path / "spool", 42) as spool:
            intake = Intake(spool, Window(time.time), Bus())
            async with serving(intake, telemetry) as client:
                status, _, _ = await client.post(GOOD, {"Idempotency-Key": "k" * 200})
            [frame] = await spool.next(10, MIB)

        assert status == 202
        assert frame.batch.idempotency_key.startswith("k" * 200)

    @pytest.mark.parametrize("key", ["k" * 201, "tab\there"])
    async def test_odd_key_is_refused(self, sink, telemetry, key: str) -> None:
        """A key that is too long or no plain text is a mistake, said before anything is taken."""
        async with serving(sink, telemetry) as client:
            status, answer, _ = await client.post(GOOD, {"Idempotency-Key": key})

        assert status == 400
        assert answer["error"].startswith("Idempotency-Key: expected at most 200 printable")
        assert not sink.batches

    async def test_too_many_bodies_at_once_are_429(self, sink, telemetry) -> None:
        """Bodies being read are bounded in bytes; the next one is told to come again soon."""
        head = (
            b"POST /v1/ingest HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Content-Type: application/x-ndjson\r\nContent-Length: 4194304\r\n\r\n"
        )
        async with serving(sink, telemetry) as client:
            connections = [
                await asyncio.open_connection("127.0.0.1", client.port) for _ in range(16)
            ]
            for _, writer in connections:
                writer.write(head % client.port)
            await asyncio.sleep(0.3)

            status, _, headers = await client.post(GOOD)

            assert (status, int(headers["Retry-After"]) >= 1) == (429, True)
            for _, writer in connections:
                writer.close()
            await asyncio.sleep(0.3)
            assert (await client.post(GOOD))[0] == 202

    async def test_a_fault_of_ours_is_503_and_one_line(self, telemetry) -> None:
        """If taking fails, the events stay with the client, who may come again."""

        class Broken:
            def has_room(self, events: int, size_bytes: int) -> bool:
                raise RuntimeError("bug")

        with capture_logs() as logs:
            async with serving(Broken(), telemetry) as client:
                status, answer, headers = await client.post(GOOD)

        assert (status, answer) == (503, {"error": "cannot take events now"})
        assert int(headers["Retry-After"]) >= 1
        errors = [line for line in logs if line["log_level"] == "error"]
        assert [line["event"] for line in errors] == ["ingest.failed"]


class TestSenders:
    TOKENS = (Secret("first"), Secret("sécond"))

    @pytest.mark.parametrize(
        ("authorization", "status"),
        [
            (None, 401),
            ("Bearer", 401),
            ("Bearer ", 401),
            ("Bearer third", 401),
            ("Basic first", 401),
            ("first", 401),
            ("Bearer \xe9", 401),
            ("Bearer " + "x" * 7_000, 401),
            ("Bearer first", 202),
            ("bearer first", 202),
            ("Bearer sécond", 202),
        ],
    )
    async def test_token(self, sink, telemetry, authorization: str | None, status: int) -> None:
        """With tokens set, one of them must come, whatever its letters; nothing else does."""
        headers = {} if authorization is None else {"Authorization": authorization}
        with quiet():
            async with serving(sink, telemetry, tokens=self.TOKENS) as client:
                found, answer, sent = await client.post(GOOD, headers)

        assert found == status
        assert (sent.get("WWW-Authenticate") == "Bearer") is (status == 401)
        assert len(sink.batches) == (status == 202)
        assert "third" not in json.dumps(answer)

    async def test_two_tokens_are_none(self, sink, telemetry) -> None:
        """Two Authorization headers are a trick, not a token."""
        raw = (
            b"POST /v1/ingest HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 48\r\n"
            b"Content-Type: application/x-ndjson\r\nConnection: close\r\n"
            b"Authorization: Bearer wrong\r\nAuthorization: Bearer first\r\n\r\n" + GOOD
        )
        async with serving(sink, telemetry, tokens=self.TOKENS) as client:
            answer = await exchange(client.port, raw % client.port)

        assert answer.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 400 "))
        assert sink.batches == []

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("127.0.0.1:{port}", 202),
            ("localhost:{port}", 202),
            ("[::1]:{port}", 202),
            ("MONITORD", 202),
            ("monitord:9125", 202),
            ("127.0.0.1", 421),
            ("localhost:1", 421),
            ("evil.example", 421),
            ("127.0.0.1.evil.example:{port}", 421),
        ],
    )
    @pytest.mark.parametrize("path", ["/v1/ingest", "/healthz", "/nothing"])
    async def test_host(self, sink, telemetry, host: str, status: int, path: str) -> None:
        """Every path answers only to the listener's own names."""
        async with serving(sink, telemetry, allowed_hosts=("monitord",)) as client:
            headers = {"Host": host.format(port=client.port)}
            found, _, _ = await client.post(GOOD, headers, path)

        others = {"/healthz": 405, "/nothing": 404}
        assert found == (status if status == 421 else others.get(path, status))

    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9125"])
    async def test_browsers_may_not_push(self, sink, telemetry, origin: str) -> None:
        """A page in a browser cannot write events, wherever it comes from."""
        async with serving(sink, telemetry) as client:
            status, _, _ = await client.post(GOOD, {"Origin": origin})

        assert status == 403
        assert sink.batches == []

    async def test_reachable_bind_needs_a_token(self, sink, telemetry) -> None:
        """A bind that others can reach refuses to start without a token, unless that is meant."""
        with pytest.raises(SettingsError, match=r"^ingest\.host: 127\.1 can be reached"):
            async with IngestServer(Ingest(host="127.1", port=0), sink, telemetry):
                pass

        async with IngestServer(Ingest(host="127.1", port=0), sink, telemetry, insecure=True) as on:
            assert on.port
        safe = Ingest(host="127.1", port=0, tokens=self.TOKENS)
        async with IngestServer(safe, sink, telemetry) as server:
            assert server.port


class TestServing:
    async def test_healthz(self, sink, telemetry) -> None:
        """Health needs no token and tells nothing else."""
        async with (
            IngestServer(Ingest(port=0, tokens=(Secret("t"),)), sink, telemetry) as server,
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{server.port}/healthz") as response,
        ):
            assert (response.status, await response.json()) == (200, {"status": "ok"})
            assert response.headers["Server"] == "monitord"

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [("GET", "/v1/ingest", 405), ("PUT", "/v1/ingest", 405), ("POST", "/", 404)],
    )
    async def test_other_routes(self, sink, telemetry, method: str, path: str, status: int) -> None:
        """What is not there is said in JSON."""
        async with (
            IngestServer(Ingest(port=0), sink, telemetry) as server,
            aiohttp.ClientSession() as session,
            session.request(method, f"http://127.0.0.1:{server.port}{path}") as response,
        ):
            assert response.status == status
            assert set(await response.json()) == {"error"}
            assert ("POST" in response.headers.get("Allow", "")) is (status == 405)

    @pytest.mark.parametrize(
        "raw",
        [
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"NONSENSE\r\n\r\n",
            b"POST /v1/ingest HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ],
    )
    async def test_broken_http(self, sink, telemetry, raw: bytes) -> None:
        """Broken HTTP is 400, without an error or a traceback in the log."""
        with quiet():
            async with serving(sink, telemetry) as client:
                answer = await exchange(client.port, raw.replace(b"%d", b"%d" % client.port))

        assert b" 400 " in answer.splitlines()[0]

    async def test_a_client_that_leaves_is_no_error(self, sink, telemetry) -> None:
        """A body that ends with its connection is dropped without a word."""
        raw = (
            b"POST /v1/ingest HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Content-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n" + GOOD
        )
        with quiet():
            async with serving(sink, telemetry) as client:
                for _ in range(5):
                    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
                    writer.write(raw % client.port)
                    await writer.drain()
                    await asyncio.sleep(0.05)
                    writer.transport.abort()
                await asyncio.sleep(0.1)
                assert (await client.post(GOOD))[0] == 202

        assert sink.events == 1

    async def test_slow_heads_do_not_block_others(self, sink, telemetry) -> None:
        """Connections that dawdle leave room for those that do not."""
        async with serving(sink, telemetry) as client:
            dawdlers = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(100)]
            for _, writer in dawdlers:
                writer.write(b"POST /v1/ingest HTTP/1.1\r\nX: ")

            assert (await client.post(GOOD))[0] == 202

            for _, writer in dawdlers:
                writer.close()

    async def test_tls(self, sink, telemetry, tmp_path: Path) -> None:
        """With a certificate in the settings the port speaks HTTPS."""
        authority = trustme.CA()
        leaf = authority.issue_cert("localhost")
        leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
        leaf.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        tls = Tls(certificate=tmp_path / "chain.pem", key=tmp_path / "key.pem")

        async with (
            IngestServer(Ingest(port=0, tls=tls), sink, telemetry) as server,
            aiohttp.ClientSession() as session,
            session.post(
                f"https://localhost:{server.port}/v1/ingest", data=GOOD, headers=LINES, ssl=trust
            ) as response,
        ):
            assert response.status == 202
