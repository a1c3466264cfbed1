"""GELF as pygelf and docker send it, in chunks and compressed; and whatever bytes."""

from __future__ import annotations

import gzip
import json
import logging
import random
import zlib

from typing import Any

import msgspec
import pygelf
import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.ingest import gelf_chunks
from monitord.ingest.decoded import Code, Decoded
from monitord.ingest.gelf import Gelf, decode_message
from monitord.ingest.limits import ITEM_BYTES
from monitord.ingest.protocols import Sorted
from monitord.ingest.tcp import GELF, TcpListener
from monitord.ingest.udp import UdpListener
from monitord.intake.spool import record
from monitord.model import Frame, Log
from monitord.settings import Ingest, Udp
from tests.ingest.test_udp import counted, until


NOW = 1_795_459_200.0
EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True, database=None)
DOCKER = {
    "version": "1.1",
    "host": "web1",
    "short_message": "ready",
    "timestamp": 1_795_459_199.25,
    "level": 3,
    "_command": "serve",
    "_container_name": "shop-web-1",
    "_tag": "4ac6c8",
}


def decoded(*datagrams: bytes, gelf: Gelf | None = None, now: float = NOW) -> Decoded:
    into = Decoded()
    for _ in (gelf or Gelf()).decoding(datagrams, now, into):
        pass
    return into


def log_of(**found: Any) -> Log:
    into = Decoded()
    decode_message(0, json.dumps(found).encode(), NOW, into)
    assert not into.refused
    [log] = into.logs
    return log


def chunks(message: bytes, size: int = 50, name: bytes = b"8 octets") -> list[bytes]:
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return [
        b"\x1e\x0f" + name + bytes([number, len(parts)]) + part for number, part in enumerate(parts)
    ]


@pytest.mark.parametrize("pack", [bytes, zlib.compress, gzip.compress])
def test_docker(pack) -> None:
    """Docker's messages arrive with their container, however they are compressed."""
    datagram = pack(json.dumps(DOCKER).encode())
    into = decoded(datagram)

    assert Gelf().owns(datagram)
    [log] = into.logs
    assert (log.service, log.level, log.message) == ("shop-web-1", "ERROR", "ready")
    assert log.time == 1_795_459_199.25
    assert log.fields == {
        "host": "web1",
        "command": "serve",
        "container_name": "shop-web-1",
        "tag": "4ac6c8",
    }


@pytest.mark.parametrize("missing", range(5))
def test_service(missing: int) -> None:
    """The service is the first there is of five fields, in their order."""
    keys = ("_service", "_container_name", "_tag", "facility", "host")
    found = {key: key.strip("_") for key in keys[missing:]}

    assert log_of(short_message="x", **found).service == keys[missing].strip("_")
    assert log_of(short_message="x", host="").service == "unknown"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"level": 0}, {"level": "CRITICAL"}),
        ({"level": "4"}, {"level": "WARNING"}),
        ({"level": "Debug"}, {"level": "DEBUG"}),
        ({"level": 10}, {"level": "INFO", "fields": {"level": 10}}),
        ({}, {"level": "INFO", "time": NOW, "service": "unknown", "fields": {}}),
        ({"timestamp": "1795459199.5"}, {"time": NOW - 0.5}),
        ({"timestamp": "soon"}, {"time": NOW}),
        ({"timestamp": "nan"}, {"time": NOW}),
        ({"full_message": "a and more"}, {"message": "a and more"}),
        ({"full_message": "more"}, {"message": "a\nmore"}),
        ({"_logger_name": "shop.pay", "_n": None}, {"logger": "shop.pay", "fields": {}}),
        ({"_trace_id": "A" * 32, "_span_id": "no"}, {"trace_id": "a" * 32, "span_id": None}),
    ],
)
def test_fields(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """What each field becomes."""
    log = log_of(short_message="a", **found)

    assert {name: getattr(log, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("datagram", "code"),
    [
        (b'{"version":"1.1","host":"a","n":"short_message"}', Code.MISSING_FIELD),
        (b'{"short_message":17}', Code.MISSING_FIELD),
        (b"[]", Code.NOT_AN_OBJECT),
        (b'{"short_message":', Code.NOT_JSON),
        (b"\x78\x9cnonsense", Code.NOT_JSON),
        (gzip.compress(b"{}" * 99, mtime=0)[:-9], Code.NOT_JSON),
        (zlib.compress(b" " * (ITEM_BYTES + 1)), Code.ITEM_TOO_LARGE),
        (b'{"short_message":"a","_b":' + b"[" * 40 + b"]" * 40 + b"}", Code.TOO_DEEP),
        (b'{"short_message":"a","host":"%s"}' % (b"a" * 1_001), Code.TOO_LONG),
        (b"\x1e\x0f8 octets\x05\x05a", Code.INVALID_FIELD),
        (b"\x1e\x0f8 octets\x00\x81a", Code.INVALID_FIELD),
        (b"\x1e\x0f8", Code.INVALID_FIELD),
    ],
)
def test_refused(datagram: bytes, code: Code) -> None:
    """What cannot be taken is refused by its reason."""
    assert decoded(datagram).refused == {code: 1}


def test_bomb(bomb: bytes) -> None:
    """A gibibyte in a megabyte is let go of after the first one."""
    assert decoded(bomb).refused == {Code.ITEM_TOO_LARGE: 1}


@pytest.mark.parametrize(
    "values",
    [
        b"0," * 500_000,
        b"[]," * 340_000,
        b'{"":0},' * 145_000,
        b'"\\ud800",' * 100_000,
        b'"\\\\",' * 200_000,
    ],
)
def test_a_bomb_of_values_is_not_looked_into(values: bytes) -> None:
    """A kilobyte of very many values is refused before any of them is looked at."""
    packed = zlib.compress(b'{"short_message":"a","_b":[' + values + b"0]}", 9)
    into = decoded(packed)

    assert len(packed) < 8_000
    assert into.refused == {Code.TOO_MANY_ATTRIBUTES: 1}
    assert into.refusals[0].sentence == "expected at most 1000 values in all"


def test_a_text_may_hold_anything() -> None:
    """What stands in a text is no value, whatever it is escaped with."""
    text = '[{"a":\\"\\\\",' * 20_000
    log = log_of(short_message=text)

    assert log.message.startswith(text[:100_000])


@pytest.mark.parametrize(
    "datagram",
    [
        zlib.compress(b'{"short_message":"%s"}' % (b"a" * 100_000)),
        zlib.compress(b'{"short_message":"a","_b":[' + b"0," * 500_000 + b"0]}"),
        zlib.compress(b" " * (ITEM_BYTES + 1)),
        zlib.compress(b" " * 999_999)[:-1],
    ],
)
def test_others_get_turns_between(datagram: bytes) -> None:
    """Each datagram that is large when it is unpacked is a step, whether it is taken or not."""
    assert len(list(Gelf().decoding([datagram] * 9, NOW, Decoded()))) == 9


def test_too_many_fields() -> None:
    """The first 63 are kept, and how many there were besides."""
    fields = log_of(short_message="a", **{f"_{number}": number for number in range(70)}).fields

    assert fields == {**{str(number): number for number in range(63)}, "dropped_fields": 7}
    assert len(log_of(short_message="a", **dict.fromkeys(map(str, range(64)), 1)).fields) == 64


def test_odd_fields() -> None:
    """A long key is cut; values that are too many, too deep or have such keys become their JSON."""
    deep: Any = 1
    for _ in range(31):
        deep = [deep]
    for wide in (list(range(1_200)), {"k" * 201: 1}, deep):
        log = log_of(short_message="a", _wide=wide, _list=[1], _plain=1)
        assert log.fields == {"wide": msgspec.json.encode(wide).decode(), "list": "[1]", "plain": 1}
    assert log_of(short_message="a", **{"_" + "k" * 201: [1]}).fields == {"k" * 200: [1]}


def test_chunks_in_any_order() -> None:
    """Chunks of several messages, shuffled, doubled and in several drains, give each once."""
    gelf, messages, texts = Gelf(), [], [f"message {number} " * 40 for number in range(20)]
    for number, text in enumerate(texts):
        packed = zlib.compress(json.dumps({"short_message": text + "é"}).encode(), number % 3)
        messages += chunks(packed, 20, b"%08d" % number)
    random.Random(1).shuffle(messages)
    taken = []
    for at in range(0, len(messages), 7):
        taken += decoded(*messages[at : at + 7], messages[at], gelf=gelf).logs

    assert sorted(log.message for log in taken) == sorted(text + "é" for text in texts)


def test_what_stays_incomplete_is_refused_once() -> None:
    """After 5 s a message that is not whole is a counted refusal, and forgotten."""
    gelf = Gelf()
    first, *_, last = chunks(json.dumps(DOCKER).encode())

    assert decoded(first, gelf=gelf).rejected == 0
    assert decoded(b"{", gelf=gelf, now=NOW + 4.9).refused == {Code.NOT_JSON: 1}
    late = decoded(last, gelf=gelf, now=NOW + 5.1)
    assert late.refused == {Code.MISSING_FIELD: 1}
    assert late.refusals[0].sentence == "chunks: 1 of 4 came within 5 s"
    assert decoded(gelf=gelf, now=NOW - 1).refused == {Code.MISSING_FIELD: 1}
    assert decoded(gelf=gelf, now=NOW + 99).refused == {}


def test_chunks_are_bounded(monkeypatch) -> None:
    """Neither many messages nor large ones take more memory than they may."""
    gelf, into = gelf_chunks.Chunks(), Decoded()
    for number in range(2_000):
        first = b"\x1e\x0f" + b"%08d" % number + b"\x00\x02" + bytes(100)
        assert gelf.whole(number, first, NOW, into) is None
    assert len(gelf) == gelf_chunks.MESSAGES
    assert into.refused == {Code.MISSING_FIELD: 1_000}

    gelf, into = gelf_chunks.Chunks(), Decoded()
    for number in range(600):
        first = b"\x1e\x0f" + b"%08d" % number + b"\x00\x02" + bytes(60_000)
        gelf.whole(number, first, NOW, into)
    assert len(gelf) < gelf_chunks.IN_FLIGHT_BYTES / 60_000
    assert into.rejected + len(gelf) == 600

    gelf, into = gelf_chunks.Chunks(), Decoded()
    for number in range(127):
        gelf.whole(0, b"\x1e\x0f8 octets" + bytes([number, 128]) + bytes(60_000), NOW, into)
    assert into.refused == {Code.ITEM_TOO_LARGE: 1}
    gelf.expire(NOW + 6, into)
    assert into.rejected == 1


@pytest.mark.parametrize(
    ("datagram", "name"),
    [
        (b'{"version":"1.1","short_message":"a","_type":"b"}', "gelf"),
        (b' {"short_message":"say \\"type\\": now"}', "gelf"),
        (b'{"type":"log","service":"s","level":"INFO","message":"\\"short_message\\""}', "udp"),
        (b'{"type":"log","service":"s","level":"INFO","message":"a","short_message":1}', "udp"),
        (b'{"type": "metric","name":"n","value":1}\n{"type":"metric","name":"m","value":1}', "udp"),
        (b"<13>shop: {}", "syslog"),
    ],
)
def test_told_apart(datagram: bytes, name: str) -> None:
    """On the port all share, a datagram is of the protocol its first bytes say."""
    into: dict[str, Decoded] = {}
    for _ in Sorted().decoding([datagram], NOW, into):
        pass

    assert {name for name, found in into.items() if found.accepted} == {name}


KEYS = st.sampled_from(
    [
        *("short_message", "full_message", "version", "host", "level", "timestamp", "facility"),
        *("_service", "_tag", "_id", "_trace_id", "_logger", "", "_", "x" * 300),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([10**400, "Traceback (most recent call last):\nA: b", "a" * 32, "x" * 2_000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
OBJECTS = st.dictionaries(KEYS, VALUES).map(lambda found: {"short_message": "a", **found})
MESSAGES = st.binary(max_size=100) | OBJECTS.map(lambda found: json.dumps(found).encode())
DATAGRAMS = (
    MESSAGES
    | MESSAGES.map(zlib.compress)
    | MESSAGES.map(gzip.compress).map(lambda packed: packed[:-1])
    | st.binary(max_size=30).map(lambda rest: b"\x1e\x0f" + rest)
)


@EXAMPLES
@given(st.lists(DATAGRAMS, max_size=6))
def test_any_bytes(datagrams: list[bytes]) -> None:
    """Whatever comes gives logs that the spool keeps, or declared refusals, and waits no longer."""
    gelf = Gelf()
    into = decoded(*datagrams, gelf=gelf)
    waiting = len(gelf._chunks)

    assert into.accepted + into.rejected + waiting <= len(datagrams)
    if not any(datagram.startswith(b"\x1e\x0f") for datagram in datagrams):
        assert into.accepted + into.rejected == len(datagrams)
    record.encode(Frame(1, 1, into.batch(NOW, 1)), 1)
    assert decoded(gelf=gelf, now=NOW + 6).rejected == waiting


@EXAMPLES
@given(MESSAGES)
def test_any_message(message: bytes) -> None:
    """Of a stream as well, each message gives one log or one refusal."""
    into = Decoded()
    decode_message(0, message, NOW, into)

    assert into.accepted + into.rejected == 1


def write(handler: logging.Handler, text: str) -> None:
    logger = logging.Logger("shop.orders")
    logger.addHandler(handler)
    try:
        raise ValueError("no card")
    except ValueError:
        logger.exception(text, extra={"order": 17})
    handler.close()


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("size", [10, 20_000])
async def test_pygelf_by_udp(sink, telemetry, compress: bool, size: int) -> None:
    """pygelf's messages arrive whole, compressed or not, in one datagram or many."""
    noise = random.Random(1).randbytes(size).hex()
    ingest = Ingest(port=0, udp=Udp(receive_buffer_bytes=4 * 1024 * 1024))
    async with UdpListener(ingest, sink, telemetry) as listener:
        handler = pygelf.GelfUdpHandler(
            "127.0.0.1", listener.port, compress=compress, include_extra_fields=True, debug=True
        )
        write(handler, noise)
        await until(lambda: sink.events == 1)

    [log] = [log for batch in sink.batches for log in batch.logs]
    check(log, noise)
    assert counted(telemetry, "ingest_events_total", protocol="gelf", type="log") == 1


async def test_pygelf_by_tcp(sink, telemetry) -> None:
    """Over TCP as well, where each ends with a NUL."""
    async with TcpListener(GELF, Ingest(gelf_port=0), sink, telemetry) as listener:
        handler = pygelf.GelfTcpHandler(
            "127.0.0.1", listener.port, include_extra_fields=True, debug=True
        )
        write(handler, "a\n\nb")
        await until(lambda: sink.events == 1)

    check(sink.batches[0].logs[0], "a\n\nb")


def check(log: Log, text: str) -> None:
    assert log.message.startswith(f"{text}\nTraceback (most recent call last):\n")
    assert (log.level, log.logger) == ("ERROR", "shop.orders")
    assert log.fields["order"] == 17
    assert log.fields["func"] == "write"
    assert log.service == log.fields["host"]
    assert log.error is not None
    assert (log.error.type, log.error.message) == ("ValueError", "no card")
    assert [frame.function for frame in log.error.frames] == ["write"]
