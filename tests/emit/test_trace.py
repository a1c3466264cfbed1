"""Trace ids in and out: W3C Trace Context and X-Trace-ID."""

from __future__ import annotations

import re

from typing import Any

import pytest

from monitord.emit import Emitter, MonitordMiddleware, headers, span_id, trace_id, traced
from tests.emit.asgi import BODY, START, ask, header


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


async def joined(emitter: Emitter, *given: tuple[bytes, bytes]) -> tuple[str, dict[str, str]]:
    """Return the trace id of a request with these headers, and what it would send on."""
    outgoing: dict[str, str] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        outgoing.update(headers())
        assert outgoing["traceparent"].split("-")[2] == span_id()
        await send(START)
        await send(BODY)

    sent = await ask(MonitordMiddleware(app, emitter), headers=[(b"host", b"x"), *given])
    [answered] = header(sent, b"x-trace-id")
    assert outgoing["traceparent"].split("-")[1] == answered.decode()
    return answered.decode(), outgoing


@pytest.mark.parametrize(
    "value",
    [
        f"00-{TRACE}-{CALLER}-01",
        f"00-{TRACE}-{CALLER}-00",
        f" 00-{TRACE}-{CALLER}-01\t",
        f"00-{TRACE}-{CALLER}-ff",
        f"cc-{TRACE}-{CALLER}-01",
        f"01-{TRACE}-{CALLER}-01-what-the-future-will-be-like",
        f"fe-{TRACE}-{CALLER}-01-",
    ],
)
async def test_a_valid_traceparent_is_joined(emitter: Emitter, value: str) -> None:
    """
    Version 00, and later versions as far as they are read like it; flags may be any two digits.
    """
    trace, outgoing = await joined(emitter, (b"traceparent", value.encode()))

    assert trace == TRACE
    sampled = "00" if "-00" in value[52:] else "01"
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-{sampled}", outgoing["traceparent"])
    assert CALLER not in outgoing["traceparent"]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"ff-{TRACE}-{CALLER}-01",
        f"0-{TRACE}-{CALLER}-01",
        f"000-{TRACE}-{CALLER}-01",
        f".0-{TRACE}-{CALLER}-01",
        f"00-{'0' * 32}-{CALLER}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{CALLER}-01",
        f"00-{TRACE}-{CALLER.upper()}-01",
        f"00-{TRACE[:-1]}-{CALLER}-01",
        f"00-{TRACE}a-{CALLER}-01",
        f"00-{TRACE[:-1]}.-{CALLER}-01",
        f"00-{TRACE}-{CALLER[:-1]}-01",
        f"00-{TRACE}-{CALLER}0-01",
        f"00-{TRACE}-{CALLER}-1",
        f"00-{TRACE}-{CALLER}-001",
        f"00-{TRACE}-{CALLER}-.0",
        f"00-{TRACE}-{CALLER}-01-extra",
        f"00-{TRACE}-{CALLER}-01-",
        f"cc-{TRACE}-{CALLER}-01.what",
        f"00-{TRACE}-{CALLER}-01\n",
        f"00_{TRACE}_{CALLER}_01",
    ],
)
async def test_an_invalid_traceparent_is_as_none(emitter: Emitter, value: str) -> None:
    """
    What the specification calls invalid begins a new trace instead, and its state goes nowhere.
    """
    trace, outgoing = await joined(
        emitter, (b"traceparent", value.encode()), (b"tracestate", b"a=1")
    )

    assert re.fullmatch("[0-9a-f]{32}", trace)
    assert trace.lower() != TRACE
    assert set(outgoing) == {"traceparent"}


async def test_two_traceparents_are_none(emitter: Emitter) -> None:
    """
    The header given twice cannot be trusted.
    """
    value = f"00-{TRACE}-{CALLER}-01".encode()

    trace, _ = await joined(emitter, (b"traceparent", value), (b"traceparent", value))

    assert trace != TRACE


async def test_tracestate_travels_on(emitter: Emitter) -> None:
    """
    The state of other vendors is passed on unchanged, its several headers as one list.
    """
    _, outgoing = await joined(
        emitter,
        (b"tracestate", b"congo=t61rcWkgMzE"),
        (b"traceparent", f"00-{TRACE}-{CALLER}-01".encode()),
        (b"tracestate", b"rojo=00f067aa0ba902b7"),
    )

    assert outgoing["tracestate"] == "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        (TRACE, TRACE),
        (TRACE.upper(), TRACE),
        ("4bf92f35-77b3-4da6-a3ce-929d0e0e4736", TRACE),
        ("4BF92F35-77B3-4DA6-A3CE-929D0E0E4736", TRACE),
        ("4bf92f35-77b34da6a3ce929d0e0e4736", None),
        ("0" * 32, None),
        ("00000000-0000-0000-0000-000000000000", None),
        (TRACE + "0", None),
        ("<script>", None),
        ("", None),
    ],
)
async def test_x_trace_id_in(emitter: Emitter, value: str, trace: str | None) -> None:
    """
    32 hex digits or a UUID are taken, in either case; anything else begins a new trace.
    """
    found, outgoing = await joined(emitter, (b"x-trace-id", value.encode()))

    assert re.fullmatch("[0-9a-f]{32}", found)
    assert (found == TRACE) == (trace == TRACE)
    assert outgoing["traceparent"].endswith("-01")


async def test_traceparent_counts_before_x_trace_id(emitter: Emitter) -> None:
    """
    With both, the standard wins when it is valid, else the other.
    """
    other = "a" * 32

    first, _ = await joined(
        emitter,
        (b"x-trace-id", other.encode()),
        (b"traceparent", f"00-{TRACE}-{CALLER}-01".encode()),
    )
    second, _ = await joined(emitter, (b"traceparent", b"junk"), (b"x-trace-id", other.encode()))

    assert (first, second) == (TRACE, other)


def test_outside_a_trace_nothing_is_sent_on() -> None:
    """
    No trace, no header.
    """
    assert headers() == {}
    assert span_id() is None


def test_a_job_has_a_trace_of_its_own() -> None:
    """
    `traced` gives a block a new id or the one it is told, and puts back what was before.
    """
    with traced() as first:
        with traced(TRACE) as second:
            assert trace_id.get() == second == TRACE
            inner = headers()["traceparent"]
        assert trace_id.get() == first

    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", inner)
    assert len(first) == 32
    assert trace_id.get() is None
