"""How events travel: packed, by HTTP when large, kept while nobody listens, counted when lost."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import tracemalloc

from typing import Any

import pytest

from monitord.emit import Emitter
from monitord.emit.address import Address, parse
from monitord.emit.carrier import LONGEST_WAIT_S, asked_wait_s
from monitord.emit.trace import new_span, new_trace
from tests.emit.receiver import Receiver, receiving, wait_until


def reports(receiver: Receiver, name: str) -> list[dict[str, Any]]:
    return [line for line in receiver.lines() if line.get("name") == name]


def unused_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize(("host", "limit"), [("127.0.0.1", 8_192), ("0.0.0.0", 1_400)])
def test_events_share_datagrams(host: str, limit: int) -> None:
    """
    Datagrams are filled up to 8 KiB on loopback and 1,400 bytes elsewhere; nothing is lost.
    """
    with receiving() as receiver:
        emitter = Emitter(f"{host}:{receiver.port}", service="shop", flush_every=0.2)

        for number in range(400):
            emitter.request("GET", f"/{number}", 200, 1.5)

        emitter.flush()
        assert [line["route"] for line in receiver.wait("request", 400)] == [
            f"/{number}" for number in range(400)
        ]
        sizes = [len(datagram) for datagram in receiver.datagrams]
        assert limit - 200 < max(sizes) <= limit
        emitter.close()


def test_what_fits_no_datagram_goes_by_http(receiver: Receiver) -> None:
    """
    A huge log line is posted to the same port, with the token; its small neighbours are not.
    """
    emitter = Emitter(receiver.address, service="shop", token="s3cret", flush_every=0.01)

    emitter.log("INFO", "é" * 20_000)
    emitter.log("INFO", "small")

    assert emitter.flush(5)
    [post] = receiver.posts
    assert len(json.loads(post.body)["message"]) == 20_000
    assert post.path == "/v1/ingest"
    assert post.headers["Content-Type"] == "application/x-ndjson"
    assert post.headers["Authorization"] == "Bearer s3cret"
    wait_until(lambda: receiver.datagrams)
    assert b'"small"' in receiver.datagrams[0]
    emitter.close()


def test_an_http_address_uses_no_datagram(receiver: Receiver) -> None:
    """
    Behind `http://` everything is posted, many events in one body and over one connection.
    """
    emitter = Emitter(f"http://{receiver.address}", service="shop", flush_every=0.2)

    for number in range(500):
        emitter.request("GET", f"/{number}", 200, 1)

    assert emitter.flush(5)
    assert len(receiver.events("request")) == 500
    assert len(receiver.posts) < 10
    assert receiver.datagrams == []
    emitter.close()


@pytest.mark.parametrize("host", ["[::1]", "localhost"])
def test_other_spellings_of_loopback(host: str) -> None:
    """
    IPv6 works, and so does a name with two addresses when the daemon listens on one of them.
    """
    bound = "::1" if host == "[::1]" else "127.0.0.1"
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with receiving(host=bound) as receiver:
        emitter = Emitter(f"{host}:{receiver.port}", service="shop", flush_every=0.01)

        emitter.log("INFO", "hello")

        assert receiver.wait("log")[0]["message"] == "hello"
        assert emitter.lost == {}
        emitter.close()


def test_a_full_buffer_drops_and_says_so(receiver: Receiver) -> None:
    """
    Beyond the limit events are dropped without blocking; the exact number arrives, acknowledged.
    """
    emitter = Emitter(receiver.address, service="shop", limit=100, flush_every=60, report_every=0)

    for number in range(250):
        emitter.request("GET", f"/{number}", 200, 1)
    assert emitter.flush(5)
    assert emitter.flush(5)

    assert len(receiver.wait("request", 100)) == 100
    assert emitter.lost == {"buffer_full": 150}
    [dropped] = reports(receiver, "monitord.emit.dropped")
    assert (dropped["kind"], dropped["value"], dropped["unit"]) == ("counter", 150, "1")
    assert dropped["attributes"] == {"pid": str(os.getpid()), "reason": "buffer_full"}
    assert b"monitord.emit.dropped" in receiver.posts[0].body
    emitter.close()


def test_many_threads_lose_nothing_uncounted(receiver: Receiver) -> None:
    """
    Whatever threads record at once either arrives or is counted, to the last event.
    """
    emitter = Emitter(f"http://{receiver.address}", service="shop", limit=2_000, flush_every=0.001)

    def record(name: int) -> None:
        for number in range(3_000):
            emitter.request("GET", f"/{name}/{number}", 200, 1)

    threads = [threading.Thread(target=record, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert emitter.flush(10)
    emitter.close()

    routes = [line["route"] for line in receiver.events("request")]
    assert len(routes) == len(set(routes))
    assert len(routes) + emitter.lost.get("buffer_full", 0) == 24_000


def test_a_dead_daemon_costs_memory_for_the_newest_events_only() -> None:
    """
    With nobody listening nothing is raised; the newest events wait, older ones are counted lost.
    """
    port = unused_port()
    emitter = Emitter(f"127.0.0.1:{port}", service="shop", flush_every=0.001)

    for number in range(20):
        for _ in range(20):
            emitter.log("INFO", f"round {number}", fields={"padding": "x" * 4_000})
        wait_until(lambda: not emitter._pump.buffer)
    with receiving(port) as receiver:
        receiver.wait("log")
        emitter.close()
        arrived = receiver.wait("log", 400 - emitter.lost["unreachable"])

    assert len(arrived) + emitter.lost["unreachable"] == 400
    assert len(arrived) > 100
    assert arrived[-1]["message"] == "round 19"
    told = reports(receiver, "monitord.emit.dropped")
    assert sum(line["value"] for line in told) == emitter.lost["unreachable"]


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_an_hour_without_a_daemon_costs_two_megabytes(scheme: str) -> None:
    """
    However much is recorded while nobody listens, of every kind, at most 2 MB of it wait.
    """
    emitter = Emitter(f"{scheme}127.0.0.1:{unused_port()}", service="shop", flush_every=0.001)

    def record(times: int) -> None:
        for number in range(times):
            emitter.request("GET", f"/{number % 50}", 200, 1.5, new_trace(), new_span())
            emitter.log("INFO", f"number {number}", fields={"padding": "x" * (number % 3_000)})
            with emitter.span("SELECT", "client", {"db.query.text": "x" * 500}):
                emitter.count("orders")
            if number % 50 == 0:
                emitter.log("INFO", "x" * 30_000)
                wait_until(lambda: len(emitter._pump.buffer) < 50)

    tracemalloc.start()
    try:
        record(100)
        before, _ = tracemalloc.get_traced_memory()
        record(5_000)
        wait_until(lambda: not emitter._pump.buffer)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert emitter.lost["unreachable"] > 5_000
    assert after - before < 2_000_000
    emitter.close()


def recorded_in_vain(emitter: Emitter) -> None:
    """Record ten small events and a large one, and wait until they are on their way."""
    for number in range(10):
        emitter.log("INFO", f"number {number}")
    emitter.log("INFO", "x" * 20_000)
    wait_until(lambda: not emitter._pump.buffer)


def test_what_waits_for_a_daemon_that_is_left_counts_as_lost(receiver: Receiver) -> None:
    """
    What was packed for the former target is counted, and the next one hears of it.
    """
    emitter = Emitter(f"127.0.0.1:{unused_port()}", service="shop", flush_every=0.001)
    recorded_in_vain(emitter)

    emitter.configure(receiver.address)
    emitter.log("INFO", "here")
    receiver.wait("log")
    emitter.close()

    assert emitter.lost == {"unreachable": 11}
    [told] = reports(receiver, "monitord.emit.dropped")
    assert (told["value"], told["attributes"]["reason"]) == (11, "unreachable")


def test_what_waits_at_the_end_counts_as_lost() -> None:
    """
    An emitter that is closed while nobody listens says how much it could not send.
    """
    emitter = Emitter(f"127.0.0.1:{unused_port()}", service="shop", flush_every=0.001)
    recorded_in_vain(emitter)

    emitter.close()

    assert emitter.lost == {"unreachable": 11}


def test_a_flush_that_tries_once() -> None:
    """
    It comes back as soon as the attempt has failed, however long it might wait.
    """
    emitter = Emitter(f"127.0.0.1:{unused_port()}", service="shop", flush_every=60)
    started = time.monotonic()

    for _ in range(3):
        emitter.log("INFO", "x")
        assert not emitter.flush(60, once=True)

    assert time.monotonic() - started < 30
    emitter.close()


def test_one_attempt_is_one_for_each_address(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A name with two addresses is reached at once when the daemon listens on the second.
    """
    found = [
        (family, socket.SOCK_DGRAM, 0, "", where)
        for family, where in [
            (socket.AF_INET, ("127.0.0.1", unused_port())),
            (socket.AF_INET, ("127.0.0.1", receiver.port)),
        ]
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    emitter = Emitter(f"localhost:{receiver.port}", service="shop", flush_every=60)

    emitter.log("INFO", "x")

    assert emitter.flush(60, once=True)
    assert receiver.wait("log")
    monkeypatch.undo()
    emitter.close()


def test_a_restart_of_the_daemon_loses_nothing() -> None:
    """
    On loopback even the first datagram to a daemon that is gone is kept and sent to the next one.
    """
    with receiving() as receiver:
        port = receiver.port
        emitter = Emitter(receiver.address, service="shop", flush_every=0.001)
        emitter.log("INFO", "before")
        receiver.wait("log")
    for number in range(10):
        emitter.log("INFO", f"while {number}")
        assert not emitter.flush(0.05)

    with receiving(port) as receiver:
        emitter.log("INFO", "after")

        messages = [line["message"] for line in receiver.wait("log", 11)]

    assert messages == [*(f"while {number}" for number in range(10)), "after"]
    assert emitter.lost == {}
    emitter.close()


@pytest.mark.parametrize("status", [429, 503, 500, 408])
def test_a_post_the_daemon_cannot_take_now_is_sent_again(receiver: Receiver, status: int) -> None:
    """
    Answers that mean "later" lose nothing.
    """
    receiver.answers = [(status, b"{}"), (202, b"{}")]
    emitter = Emitter(f"http://{receiver.address}", service="shop", flush_every=0.01)

    emitter.log("INFO", "hello")

    assert len(receiver.wait("log")) == 1
    assert emitter.lost == {}
    emitter.close()


def test_a_post_without_an_answer_is_sent_again_as_the_same(receiver: Receiver) -> None:
    """
    A body that may have been taken comes again byte by byte under its own key, to be stored once.
    """
    receiver.answers = [(0, b""), (503, b"{}"), (202, b"{}")]
    emitter = Emitter(f"http://{receiver.address}", service="shop", flush_every=0.01)

    emitter.log("INFO", "hello")
    receiver.wait("log", 2)
    emitter.log("INFO", "another")
    receiver.wait("log", 3)
    emitter.close()

    first, again, another = receiver.posts
    [refused] = receiver.refused
    keys = [post.headers["Idempotency-Key"] for post in (first, refused, again, another)]
    assert first.body == refused.body == again.body
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert all(len(key) == 32 for key in keys)
    assert emitter.lost == {}


def test_a_large_event_has_a_key_too(receiver: Receiver) -> None:
    """
    What fits no datagram is posted again as the same; the datagrams beside it need no name.
    """
    receiver.answers = [(0, b""), (202, b"{}")]
    emitter = Emitter(receiver.address, service="shop", flush_every=0.01)

    emitter.log("INFO", "x" * 20_000)
    receiver.wait("log", 2)
    emitter.close()

    first, again = receiver.posts[:2]
    assert first.body == again.body
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"]


def test_who_is_told_when_to_come_again_asked_wait_so_long(receiver: Receiver) -> None:
    """
    `Retry-After` is kept to, though a failure alone would be tried again sooner.
    """
    receiver.answers, receiver.retry_after = [(503, b"{}"), (202, b"{}")], "1"
    emitter = Emitter(f"http://{receiver.address}", service="shop", flush_every=0.01)

    emitter.log("INFO", "hello")

    receiver.wait("log")
    assert len(receiver.refused) == 1
    assert receiver.posts[0].at - receiver.refused[0].at >= 1
    emitter.close()


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("7", 7),
        ("0", 0),
        (" 12 ", 12),
        ("31", LONGEST_WAIT_S),
        ("9" * 5_000, LONGEST_WAIT_S),
        (None, 0),
        ("", 0),
        ("-1", 0),
        ("1.5", 0),
        ("\u0663", 0),
        ("\xb2", 0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
    ],
)
def test_what_is_a_wait(text: str | None, wait_s: float) -> None:
    """
    Whole seconds are, up to a bound; a date or anything else leaves the wait to the emitter.
    """
    assert asked_wait_s(text) == wait_s


@pytest.mark.parametrize("status", [400, 401, 403, 413, 421, 422])
def test_a_post_the_daemon_refuses_is_counted(receiver: Receiver, status: int) -> None:
    """
    Answers that mean "never" are not tried again; the next body has its own chance.
    """
    receiver.answers = [(status, b"{}"), (202, b"{}")]
    emitter = Emitter(f"http://{receiver.address}", service="shop", flush_every=0.01)

    emitter.log("INFO", "refused")
    emitter.log("INFO", "refused")
    emitter.flush(5)
    emitter.log("INFO", "taken")

    assert receiver.wait("log")[0]["message"] == "taken"
    assert emitter.lost == {"refused": 2}
    emitter.close()


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        (b'{"accepted":1,"rejected":1,"errors":[]}', {"rejected": 1}),
        (b"<html>", {}),
        (b"[]", {}),
        (b'{"rejected":"x"}', {}),
        (b"x" * 200_000, {}),
    ],
)
def test_rejected_events_are_counted(
    receiver: Receiver, answer: bytes, lost: dict[str, int]
) -> None:
    """
    What the reply says it rejected counts as lost; a reply that says nothing useful is no loss.
    """
    receiver.answers = [(202, answer)]
    emitter = Emitter(f"http://{receiver.address}", service="shop", flush_every=0.01)

    emitter.log("INFO", "x")
    emitter.flush(5)
    emitter.log("INFO", "y")

    assert len(receiver.wait("log", 2)) == 2
    wait_until(lambda: emitter.flush(1))
    assert set(emitter.lost) == set(lost)
    emitter.close()


def test_another_target_from_now_on(receiver: Receiver) -> None:
    """
    After `configure` nothing goes to the old daemon; switched off, nothing goes anywhere.
    """
    with receiving() as other:
        emitter = Emitter(receiver.address, service="old", flush_every=0.01)
        emitter.log("INFO", "first")
        assert emitter.flush(5)

        emitter.configure(other.address, "new")
        emitter.log("INFO", "second")

        assert other.wait("log")[0]["service"] == "new"
        assert [line["service"] for line in receiver.events("log")] == ["old"]
        emitter.configure("off")
        emitter.log("INFO", "third")
        emitter.close()
        assert len(other.events("log")) == 1


def senders() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "monitord-emit"}


def test_after_close_nothing_is_taken(emitter: Emitter, receiver: Receiver) -> None:
    """
    Closing sends what waits, ends the thread, and can be done twice.
    """
    others = senders()
    emitter.log("INFO", "last")

    emitter.close()
    emitter.close()
    emitter.log("INFO", "too late")

    assert [line["message"] for line in receiver.wait("log")] == ["last"]
    assert senders() == others
    assert emitter.flush()


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("monitord:9125", Address("monitord", 9125)),
        ("monitord", Address("monitord", 9125)),
        ("127.0.0.1:1", Address("127.0.0.1", 1)),
        ("[::1]:9125", Address("::1", 9125)),
        ("http://monitord:80/", Address("monitord", 80, "http")),
        ("https://monitord", Address("monitord", 9125, "https")),
        ("off", None),
    ],
)
def test_addresses(given: str, address: Address | None) -> None:
    """
    An address is a host with or without port, behind http:// or https:// or bare, or `off`.
    """
    assert parse(given) == address


@pytest.mark.parametrize(
    "given",
    ["", ":9125", "host:0", "host:port", "host:99999", "ftp://host", "http://h/path", "[::1"],
)
def test_what_is_no_address(given: str) -> None:
    """
    Anything else given as an argument is refused in a sentence that shows it.
    """
    with pytest.raises(
        ValueError, match=r"expected a monitord address such as '127\.0\.0\.1:9125'"
    ):
        Emitter(given)


def test_the_environment_fills_what_is_not_given(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    MONITORD_ADDRESS and MONITORD_SERVICE are the defaults; an argument wins.
    """
    monkeypatch.setenv("MONITORD_ADDRESS", receiver.address)
    monkeypatch.setenv("MONITORD_SERVICE", "from-environment")
    plain, named = Emitter(flush_every=0.01), Emitter(service="named", flush_every=0.01)

    plain.log("INFO", "x")
    named.log("INFO", "x")

    assert {line["service"] for line in receiver.wait("log", 2)} == {"from-environment", "named"}
    plain.close()
    named.close()


def test_a_wrong_environment_stops_no_application(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A MONITORD_ADDRESS that is none is logged once, and nothing is sent.
    """
    monkeypatch.setenv("MONITORD_ADDRESS", "host:port")

    with caplog.at_level(logging.WARNING):
        emitter = Emitter()
        emitter.log("INFO", "x")

    assert [record.name for record in caplog.records] == ["monitord.emit"]
    assert "MONITORD_ADDRESS: expected a monitord address" in caplog.text
    assert emitter._pump._thread is None
