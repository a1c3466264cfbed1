"""The line before the events of a datagram: what the daemon needs to count what it never saw."""

from __future__ import annotations

import json
import os
import textwrap

from typing import Any

import pytest

from monitord.emit import Emitter
from monitord.emit.envelope import MOST, Envelope
from tests.emit.receiver import Receiver, receiving, strict, wait_until
from tests.emit.test_process import script


def envelopes(receiver: Receiver) -> list[dict[str, Any]]:
    return [line for line in receiver.lines() if line["type"] == "sender"]


def test_each_datagram_begins_with_one(receiver: Receiver) -> None:
    """
    It says who sends, how many events went before and how many come; and so it does at the end,
    by HTTP.
    """
    emitter = Emitter(receiver.address, service="shop", flush_every=0.01)
    for number in range(300):
        emitter.request("GET", f"/{number}", 200, 1)
    receiver.wait("request", 300)
    emitter.close()

    sent = 0
    for datagram in receiver.datagrams:
        first, *events = datagram.decode().splitlines()
        envelope = strict(first)
        assert (envelope["type"], envelope["service"]) == ("sender", "shop")
        assert (envelope["sequence"], envelope["events"]) == (sent, len(events))
        sent += len(events)
    [last] = [strict(post.body.decode()) for post in receiver.posts]
    assert (last["sequence"], last["events"]) == (300, 0)
    said = envelopes(receiver)
    assert len({envelope["id"] for envelope in said}) == 1
    assert said[0]["age_ms"] == 0
    assert 0 <= last["age_ms"] < 60_000


def test_the_last_ones_are_told_of_without_another_event(receiver: Receiver) -> None:
    """
    A report says how much was sent, so that a loss shows even when nothing follows.
    """
    emitter = Emitter(receiver.address, service="shop", flush_every=0.01, report_every=0.05)
    emitter.log("INFO", "last")

    wait_until(lambda: len(receiver.datagrams) >= 3)

    assert [(e["sequence"], e["events"]) for e in envelopes(receiver)[:3]] == [
        (0, 1),
        (1, 0),
        (1, 0),
    ]
    emitter.close()


def test_what_goes_by_http_has_none(receiver: Receiver) -> None:
    """
    A post is acknowledged: neither those of an `http://` address nor large events are numbered.
    """
    posting = Emitter(f"http://{receiver.address}", service="shop", flush_every=0.01)
    posting.log("INFO", "posted")
    posting.close()
    large = Emitter(receiver.address, service="shop", flush_every=0.01)
    large.log("INFO", "x" * 20_000)
    large.close()

    assert len(receiver.wait("log", 2)) == 2
    assert receiver.datagrams == []
    assert envelopes(receiver) == []


def test_what_the_emitter_dropped_leaves_no_gap() -> None:
    """
    Numbers are of what was handed over: what was dropped for want of a daemon is told otherwise.
    """
    with receiving() as receiver:
        port = receiver.port
        emitter = Emitter(receiver.address, service="shop", flush_every=0.001)
        emitter.log("INFO", "before")
        receiver.wait("log")
    for number in range(25):
        for _ in range(20):
            emitter.log("INFO", f"while {number}", fields={"padding": "x" * 4_000})
        wait_until(lambda: not emitter._pump.buffer)

    with receiving(port) as receiver:
        emitter.log("INFO", "after")
        wait_until(lambda: b'"after"' in b"".join(receiver.datagrams))
        emitter.close()

        said = envelopes(receiver)
    assert emitter.lost["unreachable"] >= 200
    assert said[0]["sequence"] == 1
    assert [e["sequence"] for e in said[1:]] == [e["sequence"] + e["events"] for e in said[:-1]]


def test_a_fork_is_another_sender(receiver: Receiver) -> None:
    """
    Parent and child have an id each, and the child's numbers begin at 0.
    """
    code = """
        import os
        from monitord.emit import Emitter
        emitter = Emitter(flush_every=0.01)
        emitter.log("INFO", "before")
        assert emitter.flush(5)
        child = os.fork()
        emitter.log("INFO", "after")
        emitter.close(5)
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    """

    script(textwrap.dedent(code), receiver.address)

    assert len(receiver.wait("log", 3)) == 3
    wait_until(lambda: len(receiver.posts) == 2)
    last = {line["id"]: line["sequence"] for line in envelopes(receiver) if not line["events"]}
    assert sorted(last.values()) == [1, 2]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("service", ["shop", "\ud800" * 2_000, '"' * 2_000, "\U0001f600" * 2_000])
def test_datagrams_keep_their_size(host: str, service: str) -> None:
    """
    Whatever the service's name, envelope and events together stay within the datagram's limit.
    """
    with receiving() as receiver:
        emitter = Emitter(f"{host}:{receiver.port}", service=service, flush_every=0.01)
        for number in range(20):
            emitter.log("INFO", "x" * number * 12)

        receiver.wait("log", 20)
        emitter.close()
        limit = 8_192 if host == "127.0.0.1" else 1_400
        assert all(len(datagram) <= limit for datagram in receiver.datagrams)
        assert emitter.lost == {}


def test_room_is_kept_for_the_largest_numbers() -> None:
    """
    The bytes set aside suffice for any number the daemon takes.
    """
    envelope = Envelope("\x01" * 1_000)
    line = envelope.line(MOST, MOST)

    assert envelope.line(0, 0).endswith(b',"age_ms":0,"sequence":0,"events":0}\n')
    assert len(line) <= envelope.most_bytes < 800
    assert json.loads(line)["sequence"] == MOST
    assert os.linesep not in line.decode().rstrip("\n")
