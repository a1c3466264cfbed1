"""Exceptions are counted by their kind, in the transaction of the rows they came with."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from monitord.model import Batch, ErrorInfo, Frame, Log, Request, Span, StackFrame
from monitord.store import error_groups
from monitord.store.fingerprint import fingerprint


SQL = asyncpg.Connection
Write = Callable[[Sequence[Frame]], Awaitable[None]]

AT = datetime(2026, 8, 1, 12, 30, 15, tzinfo=UTC)
NOW = AT.timestamp()
TRACE = "0123456789abcdef0123456789abcdef"


def error(kind: str = "ValueError", message: str = "no", line: int = 7) -> ErrorInfo:
    return ErrorInfo(kind, message, [StackFrame("shop/a.py", line, "buy")])


def request(at: float = NOW, **changes: object) -> Request:
    values = {"service": "shop", "method": "GET", "route": "/orders/{id}", "error": error()}
    values |= {"status": 500, "duration_ms": 1.0, "trace_id": TRACE}
    return Request(at, **(values | changes))  # type: ignore[arg-type]


def frame(seq: int, **events: Sequence[object]) -> Frame:
    return Frame(1, seq, Batch(NOW, **events))  # type: ignore[arg-type]


async def groups(sql: SQL) -> list[asyncpg.Record]:
    return await sql.fetch("SELECT * FROM error_groups ORDER BY type")


async def test_one_exception_is_one_group(write: Write, sql: SQL) -> None:
    """
    Requests, logs and spans with one exception are one group, each counted apart; another line of
    the same function is the same exception, another type is another.
    """
    span = Span(NOW + 2, "shop", TRACE, "0" * 16, "buy", 1.0, error=error(message="last"))
    await write(
        [
            frame(1, requests=[request(), request(NOW - 60, error=error(line=9)), request(NOW)]),
            frame(
                2,
                requests=[request(error=error("KeyError")), request(error=None)],
                logs=[Log(NOW + 1, "shop", "ERROR", "it broke", error=error())],
                spans=[span],
            ),
        ]
    )

    other, one = await groups(sql)
    assert one["error_id"] == fingerprint(error())
    assert (one["type"], one["message"], one["service"]) == ("ValueError", "last", "shop")
    assert (one["requests"], one["logs"], one["spans"]) == (3, 1, 1)
    assert one["first_seen_at"] == AT - timedelta(seconds=60)
    assert one["last_seen_at"] == AT + timedelta(seconds=2)
    assert one["trace_id"].hex == TRACE
    assert '"buy"' in one["error"]
    assert one["regressed_at"] is None
    assert (other["type"], other["requests"], other["logs"]) == ("KeyError", 1, 0)


async def test_counts_equal_the_rows(write: Write, sql: SQL) -> None:
    """
    By group and endpoint, groups say what rows say; an event that came twice counts once.
    """
    await write(
        [
            frame(1, requests=[request(id="a"), request(route="/cart"), request(NOW - 5)]),
            frame(2, requests=[request(id="a"), request(route="/cart", error=error("KeyError"))]),
        ]
    )

    counted = await sql.fetch(
        "SELECT error_id, endpoint_id, requests, first_seen_at, last_seen_at"
        " FROM error_group_endpoints ORDER BY 1, 2"
    )
    rows = await sql.fetch(
        "SELECT error_id, endpoint_id, count(*), min(at), max(at) FROM requests"
        " WHERE error_id IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert [tuple(one) for one in counted] == [tuple(one) for one in rows]
    assert sum(one["requests"] for one in await groups(sql)) == 4


async def test_what_comes_back_has_regressed(write: Write, sql: SQL) -> None:
    """
    A group that was silent for more than a week and comes back has regressed; a day is no silence,
    and what comes late is none either.
    """
    day = 86_400.0
    await write([frame(1, requests=[request(NOW - 20 * day)])])
    await write([frame(2, requests=[request(NOW - 19 * day)])])
    [early] = await groups(sql)
    await write([frame(3, requests=[request(NOW)])])
    await write([frame(4, requests=[request(NOW - 10 * day)])])

    [group] = await groups(sql)
    assert early["regressed_at"] is None
    assert group["regressed_at"] == AT
    assert group["first_seen_at"] == AT - timedelta(days=20)
    assert group["requests"] == 4


async def test_groups_are_capped(write: Write, sql: SQL, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Above the cap one entry stands for the rest, so that the sum stays exact; what is known stays.
    """
    monkeypatch.setattr(error_groups, "MOST", 2)
    await write([frame(1, requests=[request(error=error(f"Error{n}")) for n in range(5)])])
    known = {one["error_id"] for one in await groups(sql)}
    await write([frame(2, requests=[request(error=error(f"Error{n}")) for n in range(5)])])

    found = {one["error_id"]: one["requests"] for one in await groups(sql)}
    assert found.keys() == known
    assert len(found) == 3
    assert found[error_groups.OVERFLOW] == 6
    assert sum(found.values()) == 10
    assert await sql.fetchval("SELECT sum(requests) FROM error_group_endpoints") == 10


async def test_silent_groups_make_room(
    write: Write, sql: SQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A new kind takes the place of the one that was silent longest, if that is long enough.
    """
    monkeypatch.setattr(error_groups, "MOST", 3)
    await write([frame(1, requests=[request(error=error(f"Error{n}")) for n in range(3)])])
    for number, days in ((0, 40), (1, 50), (2, 20)):
        await sql.execute(
            "UPDATE error_groups SET last_seen_at = now() - $1::interval WHERE type = $2",
            timedelta(days=days),
            f"Error{number}",
        )

    await write([frame(2, requests=[request(error=error("New"))])])
    assert [one["type"] for one in await groups(sql)] == ["Error0", "Error2", "New"]
    await sql.execute("UPDATE error_groups SET last_seen_at = now() WHERE type = 'New'")

    # One that comes back with the new ones is not silent any more.
    more = ("Error0", "Newer", "Newest")
    await write([frame(3, requests=[request(error=error(kind)) for kind in more])])

    found = await groups(sql)
    assert error_groups.OVERFLOW in {one["error_id"] for one in found}
    assert {"Error0", "Error2", "New"} <= {one["type"] for one in found}
    orphans = "SELECT count(*) FROM error_group_endpoints LEFT JOIN error_groups"
    assert not await sql.fetchval(
        f"{orphans} USING (host_id, error_id) WHERE error_groups.error_id IS NULL"
    )


async def test_hostile_text_is_kept(write: Write, sql: SQL) -> None:
    """
    NUL and half a surrogate pair in type, message and frames cost no event.
    """
    bad = ErrorInfo("E\0\ud800", "m\0", [StackFrame("p\0", 1, "f\ud800", "s\0")])

    await write([frame(1, requests=[request(error=bad)])])

    [group] = await groups(sql)
    assert (group["type"], group["message"]) == ("E\ufffd\ufffd", "m\ufffd")
