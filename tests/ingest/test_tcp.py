"""Syslog and GELF over TCP, through real sockets; and where each message ends."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import logging.handlers
import random
import shutil
import socket

import asyncpg
import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.errors import SettingsError
from monitord.ingest import tcp
from monitord.ingest.decoded import Refused
from monitord.ingest.framing import Message, NulFraming, SyslogFraming
from monitord.ingest.limits import MESSAGE_BYTES
from monitord.ingest.tcp import GELF, SYSLOG, TcpListener
from monitord.settings import Ingest, Udp
from tests.ingest.test_syslog import sent_by
from tests.ingest.test_udp import counted, until
from tests.test_service import running, unused_port
from tests.test_service import until as until_answered


EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True, database=None)
LOCAL = Ingest(syslog_port=0, gelf_port=0)


def cut(stream: bytes, sizes: int, framing: SyslogFraming | NulFraming) -> list[Message]:
    messages: list[Message] = []
    for at in range(0, len(stream), sizes):
        messages += framing.feed(stream[at : at + sizes])
    return messages + framing.rest()


@pytest.mark.parametrize("sizes", [1, 3, 1_000])
@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"<1>a\n<2>b\n", [b"<1>a", b"<2>b"]),
        (b"<1>a\r\n\n\n<2>b", [b"<1>a\r", b"<2>b"]),
        (b"4 <1>a6 <2>\nbc7 <3>d\x00\n\n", [b"<1>a", b"<2>\nbc", b"<3>d\x00\n\n"]),
        (b"4 <1>a\n<2>b\n4 <3>c", [b"<1>a", b"<2>b", b"<3>c"]),
        (b"4711\n<2>b\n", [b"4711", b"<2>b"]),
        (b"4711", [b"4711"]),
        (b"<1>a\n1795459200 was the time\n<2>b\n", [b"<1>a", b"1795459200 was the time", b"<2>b"]),
        (b"<1>a\n200 OK\n2 <p>b\n5 <", [b"<1>a", b"200 OK", b"2 <p>b", b"5 <"]),
        (b"", []),
    ],
)
def test_framing(stream: bytes, sizes: int, expected: list[bytes]) -> None:
    """Octet counting and newlines are told apart message by message, however they come."""
    assert cut(stream, sizes, SyslogFraming()) == expected


def test_nul_framing() -> None:
    """Who ends a message with a NUL may have newlines inside; blank ones are skipped."""
    framing = SyslogFraming()

    assert framing.feed(b"<1>a\nb\0<2>c") == [b"<1>a\nb"]
    assert framing.feed(b"\nd\0") == [b"<2>c\nd"]
    assert cut(b'{"a":\n1}\0\0{}\0{', 2, NulFraming()) == [b'{"a":\n1}', b"{}", b"{"]


@pytest.mark.parametrize("sizes", [1_000, 70_000, 10**6])
def test_too_long_is_skipped(sizes: int) -> None:
    """A message above the limit is one refusal; the next one is whole."""
    huge = b"<1>" + b"x" * MESSAGE_BYTES
    first, second = cut(huge + b"\n<2>b\n", sizes, SyslogFraming())
    assert isinstance(first, Refused)
    assert second == b"<2>b"
    first, second = cut(huge + b"\0{}\0", sizes, NulFraming())
    assert isinstance(first, Refused)
    assert second == b"{}"
    [cut_off] = cut(b"99 <1>a", sizes, SyslogFraming())
    assert isinstance(cut_off, Refused)


@pytest.mark.parametrize("sizes", [1, 1_000])
def test_a_count_too_high_is_the_end(sizes: int) -> None:
    """After a count above the limit nobody knows where a message begins: nothing is skipped."""
    framing = SyslogFraming()
    first, second = cut(b"<1>a\n1795459200 <13>b\n<2>c\n", sizes, framing)

    assert first == b"<1>a"
    assert isinstance(second, Refused)
    assert framing.broken
    assert framing.feed(b"<2>c\n") == framing.rest() == []


@EXAMPLES
@given(
    st.lists(st.text("<1>a é", min_size=1).map(str.strip).filter(bool), max_size=6),
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.integers(1, 9),
)
def test_any_mixture(texts: list[str], counted_ones: list[bool], sizes: int) -> None:
    """Whatever is sent in either framing comes out as it was."""
    messages = [f"<13>{text}".encode() for text in texts]
    framed = [
        b"%d %s" % (len(one), one) if octets else one + b"\n"
        for one, octets in zip(messages, counted_ones, strict=False)
    ]

    assert cut(b"".join(framed), sizes, SyslogFraming()) == messages


@EXAMPLES
@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"9999999999 ", b"\0<", b"3 "])))
def test_any_bytes(parts: list[bytes]) -> None:
    """No bytes are an error, nor kept longer than a message may be."""
    for framing in (SyslogFraming(), NulFraming()):
        for part in parts:
            framing.feed(part)
        framing.rest()
        assert len(framing._stream.buffer) <= MESSAGE_BYTES


@pytest.mark.skipif(shutil.which("logger") is None, reason="needs logger of util-linux")
@pytest.mark.parametrize("octets", [[], ["--octet-count"]])
@pytest.mark.parametrize("dialect", ["--rfc3164", "--rfc5424"])
async def test_logger(sink, telemetry, octets: list[str], dialect: str) -> None:
    """What `logger` sends by TCP arrives, in both framings."""
    async with TcpListener(SYSLOG, LOCAL, sink, telemetry) as listener:
        command = ["logger", "-n", "127.0.0.1", "-P", str(listener.port), "--tcp", dialect]
        await sent_by([*command, *octets, "-t", "shop", "-p", "user.crit", "out of cards"])
        await until(lambda: sink.events == 1)

    [log] = sink.batches[0].logs
    assert (log.service, log.level, log.message) == ("shop", "CRITICAL", "out of cards")
    assert counted(telemetry, "ingest_events_total", protocol="syslog", type="log") == 1


async def test_python_handler(sink, telemetry) -> None:
    """Python's handler over TCP ends its messages with a NUL; a traceback stays in one."""
    async with TcpListener(SYSLOG, LOCAL, sink, telemetry) as listener:
        handler = logging.handlers.SysLogHandler(
            ("127.0.0.1", listener.port or 0), socktype=socket.SOCK_STREAM
        )
        handler.ident = "shop: "
        logger = logging.Logger("shop")
        logger.addHandler(handler)
        for number in range(3):
            try:
                raise ValueError(number)
            except ValueError:
                logger.exception("failed")
        handler.close()
        await until(lambda: sink.events == 3)

    logs = [log for batch in sink.batches for log in batch.logs]
    assert [log.error.message for log in logs if log.error] == ["0", "1", "2"]
    assert {log.message.partition("\n")[0] for log in logs} == {"failed"}


async def send(port: int | None, data: bytes, source: str = "127.0.0.1") -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        assert await reader.read() == b""
    except ConnectionError:
        pass
    finally:
        writer.close()


async def test_many_connections(sink, telemetry) -> None:
    """Several senders at once lose nothing and share batches; what is wrong costs no neighbour."""
    lines = b"".join(b"<13>shop: %d\n" % number for number in range(2_000))
    async with TcpListener(SYSLOG, LOCAL, sink, telemetry) as listener:
        await asyncio.gather(*[send(listener.port, lines + b"nonsense\n") for _ in range(8)])
        await until(lambda: sink.events == 16_000)

    texts = [log.message for batch in sink.batches for log in batch.logs]
    assert sorted(map(int, texts)) == sorted([*range(2_000)] * 8)
    labels = {"protocol": "syslog", "reason": "invalid_field"}
    assert counted(telemetry, "ingest_rejected_events_total", **labels) == 8


async def test_what_arrived_before_the_end_is_taken_along(sink, telemetry) -> None:
    """Closing takes what has been read, though its connection is open."""
    async with TcpListener(SYSLOG, LOCAL, sink, telemetry) as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"<13>shop: a\n<13>shop: b")
        await until(lambda: bool(listener._held.accepted or sink.events))

    assert [log.message for batch in sink.batches for log in batch.logs] == ["a", "b"]
    writer.close()


async def test_a_full_sink_makes_senders_wait(sink, telemetry) -> None:
    """While there is no room nothing is read; with room again nothing was lost."""
    sink.room = 0
    async with TcpListener(SYSLOG, LOCAL, sink, telemetry) as listener:
        sending = asyncio.create_task(send(listener.port, b"<13>shop: a\n" * 1_000))
        await until(lambda: listener._full_since is not None)
        sink.room = 10**6
        await sending
        await until(lambda: sink.events == 1_000)

    assert counted(telemetry, "dropped_events_total", source="syslog") == 0


async def test_a_full_sink_is_not_waited_for_for_long(sink, telemetry, monkeypatch) -> None:
    """An application must not stand still for its logs: then they are let go, and counted."""
    monkeypatch.setattr(tcp, "PATIENCE_SECONDS", 0.1)
    sink.room = 0
    async with TcpListener(SYSLOG, LOCAL, sink, telemetry) as listener:
        await send(listener.port, b"<13>shop: a\n" * 1_000)

    assert counted(telemetry, "dropped_events_total", source="syslog") == 1_000


async def test_strangers_are_not_read(sink, telemetry) -> None:
    """Where others may connect, only the named networks are read."""
    allowed = (ipaddress.ip_network("127.0.0.2/32"),)
    # Not known to be a loopback address until it is resolved: hence guarded, and still harmless.
    ingest = Ingest(host="127.1", gelf_port=0, udp=Udp(allow_from=allowed))
    async with TcpListener(GELF, ingest, sink, telemetry) as listener:
        await send(listener.port, b'{"short_message":"a"}\0', "127.0.0.1")
        await send(listener.port, b'{"short_message":"b"}\0', "127.0.0.2")
        await until(lambda: sink.events == 1)

    assert sink.batches[0].logs[0].message == "b"
    labels = {"protocol": "gelf", "reason": "source_not_allowed"}
    assert counted(telemetry, "ingest_rejected_events_total", **labels) == 1


async def test_reachable_bind_needs_networks(sink, telemetry) -> None:
    """A bind that others can reach refuses to start without `allow_from`."""
    ingest = Ingest(host="0.0.0.0", syslog_port=0)
    with pytest.raises(SettingsError, match=r"^ingest\.udp\.allow_from: 0\.0\.0\.0 can be reached"):
        async with TcpListener(SYSLOG, ingest, sink, telemetry):
            pass


async def test_connections_are_bounded(sink, telemetry, monkeypatch) -> None:
    """One connection too many is closed; the others go on."""
    monkeypatch.setattr(tcp, "CONNECTIONS", 2)
    async with TcpListener(SYSLOG, LOCAL, sink, telemetry) as listener:
        kept = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(2)]
        await until(lambda: len(listener._open) == 2)
        await send(listener.port, b"<13>shop: c\n")
        for _, writer in kept:
            writer.write(b"<13>shop: a\n")
        await until(lambda: sink.events == 2)
        for _, writer in kept:
            writer.close()

    assert {log.message for batch in sink.batches for log in batch.logs} == {"a"}


async def test_idle_connections_end(sink, telemetry, monkeypatch) -> None:
    """A connection on which nothing comes is closed at its deadline."""
    monkeypatch.setattr(tcp, "IDLE_SECONDS", 0.05)
    async with TcpListener(SYSLOG, LOCAL, sink, telemetry) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


async def test_no_port_no_listener(sink, telemetry) -> None:
    """Where the port is not set, nothing listens."""
    async with TcpListener(SYSLOG, Ingest(), sink, telemetry) as listener:
        assert listener.port is None


async def test_a_count_too_high_closes_the_connection(sink, telemetry) -> None:
    """Its sender is told by the end of the connection, and one refusal is counted."""
    async with TcpListener(SYSLOG, LOCAL, sink, telemetry) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"<13>shop: a\n999999 <13>shop: b")
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()

    assert [log.message for batch in sink.batches for log in batch.logs] == ["a"]
    labels = {"protocol": "syslog", "reason": "item_too_large"}
    assert counted(telemetry, "ingest_rejected_events_total", **labels) == 1


@pytest.mark.parametrize(("protocol", "message"), [(SYSLOG, b"<1>a\n"), (GELF, b"{}\0")])
async def test_others_get_turns_between(sink, telemetry, protocol, message: bytes) -> None:
    """However much one read gives, the loop has a turn after each part of it."""
    turns = []
    async with TcpListener(protocol, LOCAL, sink, telemetry) as listener:

        async def turning() -> None:
            while True:
                turns.append(0)
                await asyncio.sleep(0)

        reader = asyncio.StreamReader()
        reader.feed_data(message * 10_000)
        reader.feed_eof()
        other = asyncio.create_task(turning())
        await listener._read(reader)
        other.cancel()

    rejected = telemetry.total("monitord_ingest_rejected_events_total")
    assert sink.events + rejected == 10_000
    assert len(turns) > 40


async def test_noise_is_no_error(sink, telemetry) -> None:
    """Random bytes end in refusals alone."""
    noise = random.Random(1).randbytes(300_000)
    async with (
        TcpListener(SYSLOG, LOCAL, sink, telemetry) as syslog,
        TcpListener(GELF, LOCAL, sink, telemetry) as gelf,
    ):
        await send(syslog.port, noise)
        await send(gelf.port, noise)

    assert telemetry.total("monitord_ingest_rejected_events_total") > 1_000


async def test_the_daemon_listens(tmp_path, database: str) -> None:
    """Where their ports are set, what comes by TCP and UDP is stored, and counted by protocol."""
    ports = {"syslog_port": unused_port(), "gelf_port": unused_port()}
    store = {"dsn": database}
    async with running(tmp_path, store=store, ingest={"port": 0, **ports}) as daemon:
        await send(ports["syslog_port"], b"<11>shop: by tcp\n")
        await send(ports["gelf_port"], b'{"short_message":"gelf by tcp"}\0')
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"<11>shop: by udp", ("127.0.0.1", ports["syslog_port"]))

        async def metrics() -> str:
            async with daemon.session.get(f"{daemon.web}/metrics") as reply:
                return await reply.text()

        counted = [
            'monitord_ingest_events_total{protocol="syslog",type="log"} 2.0',
            'monitord_ingest_events_total{protocol="gelf",type="log"} 1.0',
        ]
        shown = await until_answered(metrics, lambda text: all(line in text for line in counted))
        assert [line for line in counted if line not in shown] == []

    connection = await asyncpg.connect(database)
    rows = await connection.fetch("SELECT message FROM logs")
    await connection.close()
    assert sorted(row["message"] for row in rows) == ["by tcp", "by udp", "gelf by tcp"]
