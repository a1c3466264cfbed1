"""Answers worked out once for all who ask."""

from __future__ import annotations

import asyncio

import pytest

from monitord.http.memo import ENTRIES_LIMIT, Memo


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Counting:
    """Counts how often it was asked, and answers when told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.calls += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.calls


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_asked_at_once_worked_out_once() -> None:
    """
    Ten pages that ask at the same time cost one reading.
    """
    memo, make = Memo(Clock()), Counting()
    asking = [asyncio.create_task(memo.get("key", 1.0, make)) for _ in range(10)]
    await settle()

    make.go.set()

    assert await asyncio.gather(*asking) == [1] * 10


async def test_kept_for_its_time() -> None:
    """
    An answer counts from when it was begun, for as long as was asked.
    """
    clock = Clock()
    memo, make = Memo(clock), Counting()
    make.go.set()
    await memo.get("key", 1.0, make)
    clock.now += 0.9
    kept = await memo.get("key", 1.0, make)

    clock.now += 0.1

    assert kept == 1
    assert await memo.get("key", 1.0, make) == 2


async def test_one_who_leaves_does_not_spoil_it() -> None:
    """
    When the one who works it out leaves, one of those who wait takes over.
    """
    memo, make = Memo(Clock()), Counting()
    first = asyncio.create_task(memo.get("key", 1.0, make))
    await settle()
    second = asyncio.create_task(memo.get("key", 1.0, make))
    await settle()

    first.cancel()
    make.go.set()

    assert await second == 2
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_error_is_not_kept() -> None:
    """
    An error goes to who met it; the next one tries again.
    """
    memo, make = Memo(Clock()), Counting()
    make.go.set()
    make.error = ValueError("once")
    with pytest.raises(ValueError, match="once"):
        await memo.get("key", 1.0, make)

    make.error = None

    assert await memo.get("key", 1.0, make) == 2


async def test_bounded() -> None:
    """
    Many different questions do not add up.
    """
    memo, make = Memo(Clock()), Counting()
    make.go.set()

    for number in range(3 * ENTRIES_LIMIT):
        await memo.get(number, 1.0, make)

    assert len(memo._answers) <= ENTRIES_LIMIT
    assert len(memo._locks) <= ENTRIES_LIMIT
