"""What a test's emitter has sent so far, in the order in which it ended."""

from __future__ import annotations

from typing import Any

from monitord.emit import Emitter
from tests.emit.receiver import Receiver, wait_until


def spans(emitter: Emitter, receiver: Receiver) -> list[dict[str, Any]]:
    """Return the spans recorded so far."""
    return sent(emitter, receiver, "span")


def sent(emitter: Emitter, receiver: Receiver, kind: str) -> list[dict[str, Any]]:
    """Return the events of one type recorded so far; a mark tells when they have all come."""
    mark = f"mark {len(receiver.events('log'))}"
    emitter.log("INFO", mark)
    assert emitter.flush(5)
    wait_until(lambda: any(line["message"] == mark for line in receiver.events("log")))
    return receiver.events(kind)


def counted(emitter: Emitter, receiver: Receiver) -> dict[tuple[str, str], float]:
    """Return the sum of each counter by its name and its type."""
    sums: dict[tuple[str, str], float] = {}
    for event in sent(emitter, receiver, "metric"):
        key = event["name"], event["attributes"]["type"]
        sums[key] = sums.get(key, 0) + event["value"]
    return sums
