"""Background work: each run is an observation and a span, whatever it ends with."""

from __future__ import annotations

import inspect

from typing import Any

import pytest

from monitord.emit import Emitter, job, trace_id
from tests.emit.receiver import Receiver


async def test_jobs(emitter: Emitter, receiver: Receiver) -> None:
    """
    Functions and coroutine functions return and raise what they did, timed by name and outcome.
    """

    @job("tidy", emitter)
    def tidy(count: int) -> int:
        """Tidy up."""
        emitter.log("INFO", "tidying")
        return count * 2

    @job("mail", emitter)
    async def mail() -> None:
        raise LookupError("no address")

    assert tidy(4) == 8
    with pytest.raises(LookupError):
        await mail()

    assert (tidy.__doc__, tidy.__name__) == ("Tidy up.", "tidy")
    assert inspect.iscoroutinefunction(mail)
    assert trace_id.get() is None
    told = {line["attributes"]["job"]: line for line in receiver.wait("metric", 2)}
    assert {name: line["attributes"]["outcome"] for name, line in told.items()} == {
        "tidy": "success",
        "mail": "failure",
    }
    for line in told.values():
        assert (line["name"], line["kind"], line["unit"]) == ("job.duration", "histogram", "ms")
        assert line["value"] >= 0
    spans = {span["name"]: span for span in receiver.wait("span", 2)}
    assert {span["kind"] for span in spans.values()} == {"consumer"}
    assert spans["mail"]["error"]["message"] == "no address"
    assert "error" not in spans["tidy"]
    [line] = receiver.wait("log")
    assert (line["trace_id"], line["span_id"]) == (
        spans["tidy"]["trace_id"],
        spans["tidy"]["span_id"],
    )


def test_jobs_without_spans(receiver: Receiver) -> None:
    """
    With spans switched off the lines of one run still have one trace.
    """
    emitter = Emitter(receiver.address, service="shop", spans=0, flush_every=0.01)
    seen: list[Any] = []

    @job("tidy", emitter)
    def tidy() -> None:
        seen.append(trace_id.get())

    tidy()
    tidy()

    assert len({*seen, None}) == 3
    assert len(receiver.wait("metric", 2)) == 2
    assert receiver.events("span") == []
    emitter.close()
