"""The kinds of exceptions as they are read again: those of a window, and all of one."""

from __future__ import annotations

import time

from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import pytest

from monitord.model import Batch, ErrorInfo, Frame, Log, Request, Span, StackFrame
from monitord.store import error_groups, errors
from monitord.store.errors import ErrorReader
from monitord.store.fingerprint import fingerprint
from monitord.store.pool import Store


Write = Callable[[Sequence[Frame]], Awaitable[None]]

# The start of an hour some hours ago.
AT = time.time() // 3_600 * 3_600 - 4 * 3_600
DAY = 86_400.0
SLOW_BEFORE = """
CREATE OR REPLACE VIEW request_rows AS
SELECT at, duration_us, trace_id, error_id, endpoint_id, status, host_id
FROM requests
WHERE at > to_timestamp({}) OR pg_sleep(60) IS NOT NULL
"""
TRACE = uuid4().hex


def error(kind: str = "ValueError", message: str = "no") -> ErrorInfo:
    return ErrorInfo(kind, message, [StackFrame("shop/a.py", 7, "buy", "raise", True)])


def request(at: float = AT, **changes: object) -> Request:
    values: dict[str, object] = {"service": "shop", "method": "GET", "route": "/orders/{id}"}
    values |= {"status": 500, "duration_ms": 12.5, "error": error()}
    return Request(at, **(values | changes))  # type: ignore[arg-type]


def frame(seq: int, **events: Sequence[object]) -> Frame:
    return Frame(1, seq, Batch(time.time(), **events))  # type: ignore[arg-type]


async def seen(
    store: Store, start: float = AT - 60, end: float = AT + 60, service: str = "", limit: int = 10
) -> list[str]:
    found = await ErrorReader(store).seen(start, end, service, limit)
    return [group.type for group, _ in found.groups]


async def test_groups_of_a_window(store: Store, write: Write) -> None:
    """
    The group seen last comes first, with its counts by what had it, and the endpoints with most of
    its requests.
    """
    requests = [request(AT + n, route=f"/{n % 7}") for n in range(7)]
    requests += [request(AT, route="/6"), request(AT - DAY, error=error("KeyError"))]
    log = Log(AT + 9, "worker", "ERROR", "it broke", error=error(message="last"), trace_id=TRACE)
    span = Span(AT, "shop", TRACE, "0" * 16, "buy", 1.0, error=error())
    await write([frame(1, requests=requests, logs=[log], spans=[span])])

    found = await ErrorReader(store).seen(AT - 2 * DAY, AT + 60, "", 10)

    assert [group.type for group, _ in found.groups] == ["ValueError", "KeyError"]
    assert found.left_out == 0
    group, places = found.groups[0]
    assert (group.id, group.message) == (str(fingerprint(error())), "last")
    assert (group.service, group.trace_id) == ("worker", TRACE)
    assert (group.requests, group.logs, group.spans) == (8, 1, 1)
    assert (group.first_seen, group.last_seen, group.regressed_at) == (AT, AT + 9, None)
    assert [one.requests for one in places] == [2, 1, 1, 1, 1]
    assert (places[0].service, places[0].method, places[0].route) == ("shop", "GET", "/6")
    assert (places[0].first_seen, places[0].last_seen) == (AT, AT + 6)


async def test_which_groups(store: Store, write: Write) -> None:
    """
    A window, a service and a number choose among them; how many more there are is said.
    """
    other = request(AT + 30, service="cart", error=error("KeyError"))
    moved = request(AT + 31, service="cart")
    await write([frame(1, requests=[request(), other, moved, request(service="pay")])])

    assert await seen(store) == ["ValueError", "KeyError"]
    assert await seen(store, AT + 31) == ["ValueError"]
    assert await seen(store, end=AT) == []
    assert await seen(store, service="cart") == ["ValueError", "KeyError"]
    assert await seen(store, service="pay") == ["ValueError"]
    assert await seen(store, service="nobody") == []
    assert (await ErrorReader(store).seen(AT, AT + 60, "", 1)).left_out == 1


async def test_all_of_one(store: Store, write: Write) -> None:
    """
    A group has the newest exception with its frames, its endpoints, and its newest requests.
    """
    many = [request(AT - 60 * n, trace_id=TRACE) for n in range(25)]
    other = request(AT + 1, error=error("KeyError"))
    await write([frame(1, requests=[*many, other])])
    await write([frame(2, requests=[request(AT + 2, error=error(message="newest"))])])

    found = await ErrorReader(store).one(fingerprint(error()))

    assert found is not None
    assert (found.group.requests, found.sample) == (26, error(message="newest"))
    [place] = found.endpoints
    assert (place.route, place.requests) == ("/orders/{id}", 26)
    assert [one.time for one in found.newest] == [AT + 2, *(AT - 60 * n for n in range(19))]
    newest, second = found.newest[:2]
    assert (newest.trace_id, second.trace_id) == (None, TRACE)
    assert (newest.status, newest.duration_ms, newest.method) == (500, 12.5, "GET")
    assert found.searched_since is None


async def test_a_long_message(store: Store, write: Write) -> None:
    """
    A list has the beginning of a message, a group by itself all of it.
    """
    await write([frame(1, requests=[request(error=error(message="x" * 3_000))])])
    reader = ErrorReader(store)

    [(group, _)] = (await reader.seen(AT - 60, AT + 60, "", 10)).groups
    found = await reader.one(fingerprint(error()))

    assert group.message == "x" * 500
    assert found is not None
    assert found.group.message == "x" * 3_000


async def test_what_is_not_there(store: Store) -> None:
    """
    An id that no group has is no group.
    """
    assert await ErrorReader(store).one(-(2**63)) is None


async def test_all_others(store: Store, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What stands for all groups above the cap is read like any other, but for its requests: in rows
    each has its own id.
    """
    monkeypatch.setattr(error_groups, "MOST", 0)
    await write([frame(1, requests=[request()])])

    found = await ErrorReader(store).one(error_groups.OVERFLOW)

    assert found is not None
    assert (found.group.id, found.group.requests, found.newest) == ("0", 1, [])


async def test_a_search_that_takes_long(
    store: Store, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Its time being up, a search for requests gives what it found, and says how far it came.
    """
    await write([frame(1, requests=[request(AT), request(AT - 1_000)])])
    monkeypatch.setattr(errors, "DEADLINE_SECONDS", 0.5)
    async with store.connection() as connection:
        await connection.execute(SLOW_BEFORE.format(AT - 1))

    found = await ErrorReader(store).one(fingerprint(error()))

    assert found is not None
    assert [one.time for one in found.newest] == [AT]
    assert found.searched_since is not None
    assert AT - 1_000 < found.searched_since < AT
