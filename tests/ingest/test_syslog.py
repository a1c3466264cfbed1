"""Syslog as others write it: `logger`, Python's handler, docker and nginx; and whatever bytes."""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import os
import shutil
import socket

from typing import Any

import pytest

from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitord.ingest.decoded import Code, Decoded
from monitord.ingest.syslog import FACILITIES, Syslog, decode_message
from monitord.ingest.udp import UdpListener
from monitord.intake.spool import record
from monitord.model import Batch, Frame, Log
from monitord.settings import Ingest, Udp
from tests.ingest.test_udp import until


NOW = 1_795_459_200.0  # 2026-11-23T18:40:00Z
EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True, database=None)
TRACEBACK = """card declined
Traceback (most recent call last):
  File "/srv/shop/orders.py", line 17, in pay
    charge(card)
  File "/srv/venv/lib/python3.12/site-packages/stripe/api.py", line 4, in charge
    raise Declined("no")
stripe.Declined: no"""


def log_of(message: bytes) -> Log:
    into = Decoded()
    decode_message(0, message, NOW, into)
    assert not into.refused
    [log] = into.logs
    return log


async def sent_by(process: list[str]) -> None:
    running = await asyncio.create_subprocess_exec(*process)
    assert await asyncio.wait_for(running.wait(), 30) == 0


def ingest() -> Ingest:
    return Ingest(port=0, udp=Udp(receive_buffer_bytes=1024 * 1024))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            b"<34>1 2026-11-23T18:39:14.003Z web1 su 12 ID47 - \xef\xbb\xbf'su root' failed",
            {"time": 1_795_459_154.003, "service": "su", "level": "CRITICAL"}
            | {"message": "'su root' failed"}
            | {
                "fields": {
                    "facility": "auth",
                    "host": "web1",
                    "process_id": "12",
                    "message_id": "ID47",
                }
            },
            id="rfc5424",
        ),
        pytest.param(
            b'<165>1 2026-11-23T18:39:14+01:00 - shop - - [a@1 b="c\\"d\\]" e="f"][g@2 h="i"] hi',
            {"time": NOW - 3_600, "service": "shop", "level": "INFO", "message": "hi"}
            | {
                "fields": {"facility": "local4", "a@1.b": 'c"d]', "a@1.e": "f", "g@2.h": "i"},
            },
            id="structured data",
        ),
        pytest.param(
            b"<30>1 2026-11-23T18:39:59.123456Z web1 4ac6c8 4711 4ac6c8 - ready",
            {"time": 1_795_459_199.123456, "service": "4ac6c8", "message": "ready"},
            id="docker rfc5424micro",
        ),
        pytest.param(
            b"<27>Nov 23 18:39:59 web1 shop/web[4711]: broken",
            {"time": NOW, "service": "shop/web", "level": "ERROR", "message": "broken"}
            | {"fields": {"facility": "daemon", "host": "web1", "process_id": "4711"}},
            id="docker rfc3164",
        ),
        pytest.param(
            b"<30>Nov  3 18:39:59 nginx:1.29[4711]: ready",
            {"service": "nginx:1.29", "message": "ready", "time": NOW - 3_600}
            | {"fields": {"facility": "daemon", "process_id": "4711"}},
            id="docker without a format, days late",
        ),
        pytest.param(
            b'<190>Nov 23 19:39:59 web1 nginx: 127.0.0.1 - - "GET / HTTP/1.1" 200',
            {"service": "nginx", "message": '127.0.0.1 - - "GET / HTTP/1.1" 200', "time": NOW}
            | {"fields": {"facility": "local7", "host": "web1"}},
            id="nginx",
        ),
        pytest.param(
            b"<12>2026-11-23T18:39:58.5+00:00 web1 cron: late",
            {"time": NOW - 1.5, "service": "cron", "level": "WARNING", "message": "late"},
            id="rsyslog",
        ),
        pytest.param(
            b"<189>Nov 23 2026 18:39:58 UTC: %LINK-3-UPDOWN: up",
            {"time": NOW - 2, "service": "%LINK-3-UPDOWN", "message": "up"},
            id="year and zone",
        ),
        pytest.param(
            b"<15>shop: ready\x00",
            {"time": NOW, "service": "shop", "level": "DEBUG", "message": "ready"}
            | {"fields": {"facility": "user"}},
            id="python with ident",
        ),
        pytest.param(
            b"<14>card declined: no\x00",
            {"service": "unknown", "message": "card declined: no"},
            id="python",
        ),
        pytest.param(
            b"<14>1 order sold in a day or two\x00",
            {"service": "unknown", "message": "1 order sold in a day or two"},
            id="no version",
        ),
        pytest.param(b"<13>1 - - - - - -", {"service": "unknown", "message": ""}, id="all nil"),
        pytest.param(
            b"<13>1 - web1 - - - [broken hi",
            {"service": "web1", "message": "[broken hi"},
            id="broken structured data",
        ),
        pytest.param(
            b"<13>Feb 30 18:39:58 web1 shop: \xff\x00x",
            {"time": NOW, "service": "shop", "message": "\ufffd\ufffdx"},
            id="no such day, no UTF-8",
        ),
    ],
)
def test_messages(message: bytes, expected: dict[str, Any]) -> None:
    """Each dialect gives its service, level, time, text and fields."""
    log = log_of(message)

    assert {name: getattr(log, name) for name in expected} == expected


def test_json_message() -> None:
    """A JSON object with a message gives its keys; what has none stays text."""
    log = log_of(
        b'<30>Nov 23 18:39:59 web1 shop[7]: {"msg":"sold","level":"warn","logger":"shop.pay",'
        b'"time":"2026-11-23T18:39:58Z","trace_id":"0AF7651916CD43DD8448EB211C80319C","order":17}'
    )

    assert (log.message, log.level, log.logger) == ("sold", "WARNING", "shop.pay")
    assert (log.time, log.service) == (NOW - 2, "shop")
    assert log.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert log.fields == {"facility": "daemon", "host": "web1", "process_id": "7", "order": 17}
    for text in (b'{"order":17}', b'{"msg":"a"', b'{"msg":{}}', b'{"msg":"a","b":' + b"[" * 50):
        assert log_of(b"<30>" + text).message.encode() == text
    many = b'<30>{"message": "a",' + b",".join(b'"%d":1' % each for each in range(99)) + b"}"
    assert log_of(many).message.encode() == many[4:]


def test_too_many_parameters() -> None:
    """The first fields are kept, and how many there were besides; long keys are cut."""
    data = b" ".join(b'k%d="v"' % number for number in range(70))
    log = log_of(b"<11>1 - web shop 1 - [x@1 %s] card declined" % data)

    assert log.message == "card declined"
    assert len(log.fields) == 64
    assert log.fields["dropped_fields"] == 10
    assert log.fields["host"] == "web"
    long = log_of(b'<11>1 - - - - - [%s %s="v"] hi' % (b"a" * 150, b"b" * 150))
    assert long.fields == {"facility": "user", ("a" * 150 + "." + "b" * 150)[:200]: "v"}


def test_others_get_turns_between() -> None:
    """A turn comes after so many bytes, not after so many messages alone."""
    for size, count, turns in ((60_000, 8, 7), (4_000, 100, 24), (1, 2_000, 14)):
        messages = [b"<11>shop: " + b"x" * size] * count
        assert len(list(Syslog().decoding(messages, NOW, Decoded()))) >= turns


def test_traceback() -> None:
    """A traceback in the message is the log's error."""
    error = log_of(b"<11>shop: " + TRACEBACK.encode()).error

    assert error is not None
    assert (error.type, error.message) == ("stripe.Declined", "no")
    assert [(frame.path, frame.line, frame.function) for frame in error.frames] == [
        ("/srv/shop/orders.py", 17, "pay"),
        ("stripe/api.py", 4, "charge"),
    ]
    assert [frame.in_app for frame in error.frames] == [True, False]
    assert error.frames[0].source == "charge(card)"


@pytest.mark.parametrize("message", [b"<192>no", b"<no", b"<>", b"hi", b"", b"<9999>1"])
def test_priority_is_needed(message: bytes) -> None:
    """Without a priority nothing is known of a message: it is refused, and said why."""
    into = Decoded()
    decode_message(0, message, NOW, into)

    assert into.refused == {Code.INVALID_FIELD: 1}
    assert into.refusals[0].sentence.startswith("priority: expected <0> to <191>, got ")


@EXAMPLES
@given(
    st.binary(max_size=200)
    | st.builds(
        lambda priority, parts: b"<%d>%s" % (priority, b" ".join(parts)),
        st.integers(0, 191),
        st.lists(
            st.sampled_from(
                [
                    b"1",
                    b"-",
                    b"Nov 23 18:40:00",
                    b"2026-11-23T18:40:00Z",
                    b"web",
                    b"a[1]:",
                    b"a:",
                    b'[a b="c"]',
                    b'[a b="',
                    b'{"msg":"\\ud800","a":1e999}',
                    b"\xef\xbb\xbf",
                    b"\x00",
                    b"9999-12-31T23:59:59-23:59",
                    b"Feb 29 0000 00:00:00",
                    b"x" * 1100 + b":",
                ]
            )
            | st.binary(max_size=20),
            max_size=9,
        ),
    )
)
@example(b'<13>{"msg":"a","n":' + b"9" * 5_000 + b"}")
def test_any_bytes(message: bytes) -> None:
    """Whatever comes gives one log that the spool keeps, or one declared refusal."""
    into = Decoded()
    for _ in Syslog().decoding([message], NOW, into):
        pass

    assert into.accepted + into.rejected == 1
    record.encode(Frame(1, 1, into.batch(NOW, len(message))), 1)


def test_hostile_text_is_cheap() -> None:
    """No text costs the square of its length."""
    for part in (b' a="b', b"[a", b"x:", b" ", b'[a b="c"]', b"a[", b"{", b"\\"):
        text = b"<13>1 - - - - - " + part * (60_000 // len(part))
        assert log_of(text).service == "unknown"
        assert log_of(b"<13>Nov 23 18:40:00 " + part * (60_000 // len(part)))


@pytest.mark.skipif(shutil.which("logger") is None, reason="needs logger of util-linux")
@pytest.mark.parametrize(
    "options",
    [
        ["--rfc3164"],
        ["--rfc5424"],
        ["--rfc5424", "--sd-id", "shop@1", "--sd-param", 'order="17"', "--msgid", "PAID"],
        ["--rfc5424=notime,nohost"],
    ],
)
async def test_logger(sink, telemetry, options: list[str]) -> None:
    """What `logger` sends by UDP arrives with its priority, tag and process."""
    async with UdpListener(ingest(), sink, telemetry) as listener:
        command = ["logger", "-n", "127.0.0.1", "-P", str(listener.port), "--udp", "-t", "shop"]
        await sent_by([*command, "--id=4711", "-p", "local3.err", *options, "card declined"])
        await until(lambda: sink.events == 1)

    [log] = sink.batches[0].logs
    assert (log.service, log.level, log.message) == ("shop", "ERROR", "card declined")
    assert log.fields["facility"] == "local3"
    assert log.fields["process_id"] == "4711"
    if "nohost" not in options[0]:
        assert log.fields["host"] == socket.gethostname().partition(".")[0]
    if "--sd-id" in options:
        assert (log.fields["shop@1.order"], log.fields["message_id"]) == ("17", "PAID")
    assert abs(log.time - sink.batches[0].received_at) < 30


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
async def test_python_handler(sink, telemetry, level: str) -> None:
    """Python's own handler: each level is ours, and a traceback the error."""
    async with UdpListener(ingest(), sink, telemetry) as listener:
        address = ("127.0.0.1", listener.port)
        handler = logging.handlers.SysLogHandler(address, "local0")
        handler.ident = "shop: "
        logger = logging.Logger("shop.orders")
        logger.addHandler(handler)
        try:
            os.stat("/no/such/file")
        except OSError as error:
            getattr(logger, level)("lost\nand found", exc_info=error)
        handler.close()
        await until(lambda: sink.events == 1)

    [log] = sink.batches[0].logs
    assert (log.service, log.level) == ("shop", level.upper())
    assert log.message.startswith("lost\nand found\nTraceback (most recent call last):\n")
    assert log.fields == {"facility": "local0"}
    assert log.error is not None
    assert log.error.type == "FileNotFoundError"
    assert log.error.frames[0].function == "test_python_handler"


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
async def test_nginx(sink, telemetry, tmp_path) -> None:
    """nginx's access log arrives under its tag."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with UdpListener(ingest(), sink, telemetry) as listener:
        log_to = f"syslog:server=127.0.0.1:{listener.port},tag=shop"
        config = tmp_path / "nginx.conf"
        config.write_text(
            f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}"
            f"http {{ access_log {log_to}; server {{ listen 127.0.0.1:{port}; }} }}"
        )
        nginx = await asyncio.create_subprocess_exec("nginx", "-c", str(config))
        try:
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
            writer.write(b"GET /x HTTP/1.0\r\n\r\n")
            await until(lambda: sink.events == 1)
            writer.close()
        finally:
            nginx.terminate()
            await nginx.wait()

    [log] = sink.batches[0].logs
    assert log.service == "shop"
    assert '"GET /x HTTP/1.0" 404' in log.message


def test_names() -> None:
    """There is a name for each of the 24 facilities."""
    assert len(FACILITIES) == 24
    assert Batch(NOW, logs=[log_of(b"<191>x: y")]).logs[0].fields == {"facility": "local7"}
