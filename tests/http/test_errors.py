"""`/api/v1/errors`: the kinds of exceptions of a window, and all of one."""

from __future__ import annotations

import time

from typing import Any

import aiohttp
import pytest

from monitord.http.errors import seen
from monitord.http.parameters import Span
from monitord.model import ErrorInfo, Log, Request, StackFrame
from monitord.store.errors import ErrorGroup
from monitord.store.fingerprint import fingerprint
from tests.http.conftest import Served


PATH = "/api/v1/errors"
ERROR = ErrorInfo("ValueError", "no", [StackFrame("shop/a.py", 7, "buy", "raise", True)])
OTHER = ErrorInfo("KeyError", "gone", [])
TRACE = "5e" * 16


async def get(
    served: Served, browser: aiohttp.ClientSession, path: str, status: int = 200, **asked: Any
) -> Any:
    query = {name: str(value) for name, value in asked.items()}
    async with browser.get(served.address(path), params=query) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def failed(served: Served) -> float:
    """Store two kinds of exceptions; return when the first of the one with more was."""
    at = time.time() - 20
    served.offer(
        [
            Request(at, "shop", "POST", "/checkout", 500, 80.0, error=ERROR),
            Request(at + 5, "shop", "POST", "/checkout", 500, 90.0, TRACE, error=ERROR),
        ],
        [
            Log(at + 1, "shop", "ERROR", "it broke", error=ERROR),
            Log(at - 5, "cart", "ERROR", "gone", error=OTHER),
        ],
    )
    await served.settled()
    return at


async def test_errors_of_a_window(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    Each kind has an id that is a text, its counts by what had it, and where it happened.
    """
    at = await failed(stored)

    found = await get(stored, browser, PATH, range="15m")

    first, second = found["errors"]
    assert first == {
        "id": str(fingerprint(ERROR)),
        "type": "ValueError",
        "message": "no",
        "service": "shop",
        "first_seen": pytest.approx(at),
        "last_seen": pytest.approx(at + 5),
        "regressed_at": None,
        "requests": 2,
        "logs": 1,
        "spans": 0,
        "trace_id": TRACE,
        "new": True,
        "regressed": False,
        "endpoints": [
            {
                "service": "shop",
                "method": "POST",
                "route": "/checkout",
                "requests": 2,
                "first_seen": pytest.approx(at),
                "last_seen": pytest.approx(at + 5),
            }
        ],
    }
    assert (second["type"], second["endpoints"]) == ("KeyError", [])
    assert found["left_out"] == 0
    [one] = (await get(stored, browser, PATH, service="cart"))["errors"]
    assert one["type"] == "KeyError"
    assert (await get(stored, browser, PATH, limit=1))["left_out"] == 1


def test_new_and_regressed() -> None:
    """
    New is what was first seen in the window, regressed what came back in it.
    """

    def group(first: float, regressed: float | None) -> ErrorGroup:
        values: dict[str, Any] = {"id": "1", "type": "E", "message": "", "service": "", "logs": 0}
        values |= {"requests": 1, "spans": 0, "trace_id": None, "last_seen": 900.0}
        return ErrorGroup(first_seen=first, regressed_at=regressed, **values)

    window = Span(100.0, 200.0)
    cases = [(100.0, None), (99.0, None), (200.0, None), (1.0, 100.0), (1.0, 99.0), (1.0, 200.0)]
    found = [seen(group(*case), [], window) for case in cases]

    assert [one.new for one in found] == [True, False, False, False, False, False]
    assert [one.regressed for one in found] == [False, False, False, True, False, False]


async def test_all_of_one(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    One kind has the newest exception with its frames, its endpoints and its newest requests.
    """
    at = await failed(stored)

    found = await get(stored, browser, f"{PATH}/{fingerprint(ERROR)}")

    assert (found["type"], found["requests"], found["trace_id"]) == ("ValueError", 2, TRACE)
    assert found["sample"]["frames"] == [
        {"path": "shop/a.py", "line": 7, "function": "buy", "source": "raise"}
    ]
    assert [one["requests"] for one in found["endpoints"]] == [2]
    newest, oldest = found["newest"]
    assert newest == {
        "time": pytest.approx(at + 5),
        "service": "shop",
        "method": "POST",
        "route": "/checkout",
        "status": 500,
        "duration_ms": 90.0,
        "trace_id": TRACE,
    }
    assert oldest["trace_id"] is None
    assert found["searched_since"] is None


async def test_what_is_not_there(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    An id of 64 bits that nothing has is 404.
    """
    refused = await get(stored, browser, f"{PATH}/{-(2**63)}", 404)

    assert refused["error"]["message"] == "no error of this id is stored"


@pytest.mark.parametrize("error_id", ["x", "1.5", str(2**63), "-", "1" * 30, "٣"])
async def test_what_is_no_id(served: Served, browser: aiohttp.ClientSession, error_id: str) -> None:
    """
    What is no whole number of 64 bits is 400.
    """
    refused = await get(served, browser, f"{PATH}/{error_id}", 400)

    assert refused["error"]["message"] == "the id of an error is a whole number of 64 bits"


@pytest.mark.parametrize("path", [PATH, f"{PATH}/47"])
async def test_only_the_store_knows(
    served: Served, browser: aiohttp.ClientSession, path: str
) -> None:
    """
    While the store is down it is 503, with what the store said.
    """
    refused = await get(served, browser, path, 503)

    assert refused["error"]["message"].startswith("store: ")


@pytest.mark.parametrize("asked", [{"limit": 0}, {"x": 1}, {"service": "x" * 1_001}])
async def test_mistakes(
    served: Served, browser: aiohttp.ClientSession, asked: dict[str, Any]
) -> None:
    """
    A wrong or unknown parameter is 400.
    """
    assert (await get(served, browser, PATH, 400, **asked))["error"]["rule"]
