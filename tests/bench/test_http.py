"""The bodies that are posted: each a whole request, none twice."""

from __future__ import annotations

import json

from typing import Any

from tests.bench.http import EVENTS, Body


def test_no_event_of_a_body_is_sent_again() -> None:
    """
    Each turn of a body has trace ids of its own and this moment for its times.
    """
    body = Body(0, 8125)
    turns = [parsed(body.fresh()) for _ in range(2)]

    ids = {one["trace_id"] for turn in turns for one in turn}
    assert len(ids) == 2 * EVENTS
    assert all(len(one) == 32 for one in ids)
    assert turns[0][0]["time"] < turns[1][0]["time"]
    assert [one["route"] for one in turns[0]] == [one["route"] for one in turns[1]]


def parsed(request: bytes) -> list[dict[str, Any]]:
    head, _, lines = request.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(lines)}".encode() in head
    return [json.loads(line) for line in lines.splitlines()]
