"""`/api/v1/traces`: the newest, and everything of one."""

from __future__ import annotations

import time

from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from monitord.model import ErrorInfo, Log, Request, Span, StackFrame
from monitord.store.fingerprint import fingerprint
from tests.http.conftest import Served


PATH = "/api/v1/traces"
ERROR = ErrorInfo("ValueError", "no", [StackFrame("shop/a.py", 7, "buy")])


async def get(
    served: Served, browser: aiohttp.ClientSession, path: str, status: int = 200, **asked: Any
) -> Any:
    query = {name: str(value) for name, value in asked.items()}
    async with browser.get(served.address(path), params=query) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def traced(served: Served) -> tuple[str, float]:
    """Store a trace with one of everything, and another; return its id, and when it ended."""
    trace, at = uuid4().hex, time.time() - 10
    served.offer(
        [
            Request(at, "shop", "POST", "/checkout", 500, 80.0, trace, error=ERROR),
            Request(at - 60, "cart", "GET", "/cart", 200, 5.0, uuid4().hex),
        ],
        [Log(at, "shop", "ERROR", "payment refused", "shop.pay", trace, error=ERROR)],
        spans=[
            Span(at - 0.01, "shop", trace, "b" * 16, "SELECT", 20.0, "a" * 16, "client", "ok"),
            Span(at - 0.02, "shop", trace, "c" * 16, "GET key", 50.0, "a" * 16, "client"),
        ],
    )
    await served.settled()
    return trace, at


@pytest.mark.parametrize("hint", [True, False])
async def test_all_of_a_trace(stored: Served, browser: aiohttp.ClientSession, hint: bool) -> None:
    """
    Requests, spans, log lines and errors of a trace come in one answer, with and without a moment.
    """
    trace, at = await traced(stored)
    asked = {"near": int(at)} if hint else {}

    found = await get(stored, browser, f"{PATH}/{trace.upper()}", **asked)

    assert found["trace_id"] == trace
    assert (found["start"], found["end"]) == (pytest.approx(at - 0.08), pytest.approx(at))
    kind = str(fingerprint(ERROR))
    assert found["requests"] == [
        {
            "start": pytest.approx(at - 0.08),
            "duration_ms": 80.0,
            "service": "shop",
            "method": "POST",
            "route": "/checkout",
            "status": 500,
            "error": True,
            "error_id": kind,
        }
    ]
    assert [one["name"] for one in found["spans"]] == ["GET key", "SELECT"]
    assert found["spans"][1]["parent_id"] == "a" * 16
    [line] = found["logs"]
    assert (line["message"], line["logger"], line["error_id"]) == (
        "payment refused",
        "shop.pay",
        kind,
    )
    [error] = found["errors"]
    assert (error["id"], error["type"], error["requests"], error["logs"]) == (
        kind,
        "ValueError",
        1,
        1,
    )
    assert found["cut"] == {"requests": False, "spans": False, "logs": False}


async def test_a_trace_that_is_not_stored(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Of a trace that is not stored there is nothing, and no moment.
    """
    found = await get(stored, browser, f"{PATH}/{uuid4().hex}")

    assert (found["requests"], found["spans"], found["logs"]) == ([], [], [])
    assert (found["start"], found["end"]) == (None, None)


@pytest.mark.parametrize("trace_id", ["47", "g" * 32, "0" * 33, "٣" * 32])
async def test_what_is_no_trace_id(
    served: Served, browser: aiohttp.ClientSession, trace_id: str
) -> None:
    """
    A trace id is 32 hexadecimal digits and nothing else.
    """
    refused = await get(served, browser, f"{PATH}/{trace_id}", 400)

    assert refused["error"]["message"] == "a trace id is 32 hexadecimal digits"


async def test_recent_traces(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    The newest comes first, with what began it and how many spans it has.
    """
    trace, at = await traced(stored)

    found = await get(stored, browser, PATH)

    newest, oldest = found["traces"]
    assert newest == {
        "trace_id": trace,
        "time": pytest.approx(at),
        "start": pytest.approx(at - 0.08),
        "duration_ms": 80.0,
        "service": "shop",
        "name": "POST /checkout",
        "kind": "request",
        "status": "500",
        "error": True,
        "error_id": str(fingerprint(ERROR)),
        "spans": 2,
    }
    assert (oldest["name"], oldest["spans"]) == ("GET /cart", 0)
    assert (found["searched_since"], found["end"] - found["start"]) == (None, 3_600)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"service": "cart"}, ["GET /cart"]),
        ({"name": "check"}, ["POST /checkout"]),
        ({"min_ms": 80}, ["POST /checkout"]),
        ({"errors": 1}, ["POST /checkout"]),
        ({"errors": 0}, ["POST /checkout", "GET /cart"]),
        ({"limit": 1}, ["POST /checkout"]),
        ({"service": "nobody"}, []),
    ],
)
async def test_which_traces(
    stored: Served, browser: aiohttp.ClientSession, asked: dict[str, Any], names: list[str]
) -> None:
    """
    Every parameter narrows the list.
    """
    await traced(stored)

    found = await get(stored, browser, PATH, **asked)

    assert [one["name"] for one in found["traces"]] == names


@pytest.mark.parametrize(
    "asked", [{"errors": 2}, {"limit": 0}, {"min_ms": -1}, {"x": 1}, {"range": "2h"}]
)
async def test_mistakes(
    served: Served, browser: aiohttp.ClientSession, asked: dict[str, Any]
) -> None:
    """
    A wrong or unknown parameter is 400.
    """
    assert (await get(served, browser, PATH, 400, **asked))["error"]["rule"]


@pytest.mark.parametrize("path", [PATH, f"{PATH}/{'5e' * 16}"])
async def test_only_the_store_knows(
    served: Served, browser: aiohttp.ClientSession, path: str
) -> None:
    """
    While the store is down it is 503, with what the store said.
    """
    refused = await get(served, browser, path, 503)

    assert refused["error"]["message"].startswith("store: ")
