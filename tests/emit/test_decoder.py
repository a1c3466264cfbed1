"""Everything the emitter can say is understood by the daemon, without mending and without rest."""

from __future__ import annotations

import math
import time

from time import perf_counter_ns
from typing import Any

import msgspec

from monitord.emit import Emitter
from monitord.emit.trace import Joined
from monitord.ingest.native import decode_body, decode_datagrams
from tests.emit.receiver import Receiver, wait_until


# A request's part in the trace of a caller.
PART = Joined("ab" * 16, "cd" * 8, "01", "", "ef" * 8)


def everything(emitter: Emitter) -> None:
    """Record every kind of event, plain and at every limit."""
    try:
        int("x" * 100_000)
    except ValueError as error:
        failure = error
    for text in ("", "x", "é\u2028\x00\ud800\n\r\x7f", "x" * 100_000, "\U0001f600" * 100_000):
        fields = {text: text, "nested": {"a": [text, {"b": text}]}, "number": 2**70}
        emitter.log("info", text, logger=text, fields=fields, error=failure, id=text)
        emitter.metric(text or "x", 1.5, "histogram", text, {text: text, "number": text})
        emitter.request(text or "GET", text or "/", 200, 1.5, "ab" * 16, "cd" * 8, failure, id=text)
    emitter.log(35, "x", fields={f"{n}": [0] * 100 for n in range(100)}, trace_id="AB" * 16)
    emitter.count("x", 2**63, {f"{n}": "x" for n in range(100)})
    emitter.gauge("x", math.nextafter(0, 1), unit="By")
    emitter.gauge("x", -1e308)
    spans(emitter, failure)


def spans(emitter: Emitter, failure: Exception) -> None:
    """Record spans, plain and at every limit, with a request they hang on."""
    for text in ("x", "é\u2028\x00\ud800\n\r\x7f", "x" * 100_000, "\U0001f600" * 100_000):
        with emitter.span(text, "producer", {text: text, "nested": {"a": [text, 2**70]}}) as outer:
            emitter.record_span(text, "client", 0, {"db.query.text": text}, failure)
        emitter.served("GET", text, 599, 1e12, outer.trace_id or "", PART)
        emitter.record_span(text, "internal", 2**63)
    many = {f"{n}" * 50: ["x" * 10_000] * 100 for n in range(100)}
    emitter.record_span("x", "server", perf_counter_ns(), many)
    emitter.served("nonsense", "__unmatched__", 100, 0, "ab" * 16, PART)


def test_the_daemon_takes_it_all(receiver: Receiver) -> None:
    """
    Nothing is rejected, no field is unknown, no time is moved; the emitter's reports included.
    """
    emitter = Emitter(
        receiver.address,
        service="s" * 2_000,
        version="1\x00" * 1_000,
        flush_every=0.01,
        report_every=0.05,
    )
    everything(emitter)
    emitter.metric("x", math.nan)
    wait_until(lambda: any(line.get("events") == 0 for line in receiver.lines()))
    emitter.close()

    now = time.time()
    decoded = [decode_datagrams(receiver.datagrams, now)]
    decoded += [decode_body(post.body, now) for post in receiver.posts]

    assert [(each.refusals, each.rejected) for each in decoded] == [([], 0)] * len(decoded)
    assert sum(each.unknown_fields for each in decoded) == 0
    assert sum(each.clamped_times for each in decoded) == 0
    taken = sum(each.accepted + len(each.envelopes) for each in decoded)
    assert taken == len(receiver.lines())
    assert sum(len(each.requests) for each in decoded) == 5
    assert sum(len(each.spans) for each in decoded) == 18
    assert sum(len(each.annotations) for each in decoded) == 1


def test_nothing_needs_mending(emitter: Emitter, receiver: Receiver) -> None:
    """
    What arrives is what was sent: the daemon shortens, renames and replaces nothing of it.
    """
    everything(emitter)
    receiver.wait("log", 6)
    assert emitter.flush(5)
    emitter.close()

    now = time.time()
    bodies = [*receiver.datagrams, *(post.body for post in receiver.posts)]
    taken: list[Any] = []
    for body in bodies:
        decoded = decode_body(body, now)
        taken += [*decoded.envelopes, *decoded.requests, *decoded.logs, *decoded.metrics]
        taken += [*decoded.spans, *decoded.annotations]

    def key(event: dict[str, Any]) -> str:
        return msgspec.json.encode(event, order="deterministic").decode()

    def bare(event: dict[str, Any]) -> dict[str, Any]:
        # The structs leave out what equals its default, and have text and numbers in one form.
        known = {name: value for name, value in event.items() if name != "error"}
        return {
            name: value
            for name, value in known.items()
            if value not in ("", {}, "gauge", "internal")
        }

    sent = sorted(key(bare(line)) for line in receiver.lines())
    assert sorted(key(bare(msgspec.to_builtins(event))) for event in taken) == sent
