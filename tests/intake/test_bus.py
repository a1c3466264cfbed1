"""Live log lines: every watcher gets every line once, or is told how many it missed."""

import asyncio

import pytest

from monitord.intake.bus import Bus, Gap, Watcher
from monitord.model import Batch, Frame, Log, LogLine


def frame(seq: int, count: int = 1, *, writer: int = 1, size_bytes: int = 0) -> Frame:
    logs = [
        Log(time=1.0, service="shop", level="INFO", message=f"{seq}.{index}")
        for index in range(count)
    ]
    return Frame(writer, seq, Batch(received_at=1.0, logs=logs, size_bytes=size_bytes))


def messages(lines: list[LogLine]) -> list[str]:
    return [line.log.message for line in lines]


async def everything(watcher: Watcher) -> list[str | int]:
    """All messages up to the watcher's end, and the sizes of its gaps."""
    seen: list[str | int] = []
    async for news in watcher:
        if isinstance(news, Gap):
            seen.append(news.dropped)
        else:
            seen.extend(messages(news))
    return seen


async def test_the_stream_goes_on_after_its_memory_is_full() -> None:
    """A watcher still gets lines when many times what is held has passed."""
    bus = Bus(held_lines=1_000)
    expected = []
    with bus.watch() as watcher:
        for seq in range(1, 3_501):
            bus.publish(frame(seq))
            assert messages(await anext(watcher)) == [f"{seq}.0"]  # type: ignore[arg-type]
            expected.append(f"{seq}.0")

    assert messages(bus.recent(5_000).lines) == expected[-1_000:]


@pytest.mark.parametrize("cursor", [None, "1-3-0"])
async def test_connecting_gives_no_line_twice_and_misses_none(cursor: str | None) -> None:
    """Watching first and reading the recent lines next covers every line exactly once."""
    bus = Bus()
    for seq in range(1, 6):
        bus.publish(frame(seq))

    with bus.watch() as watcher:
        before = bus.recent(100, cursor)
        await asyncio.sleep(0)
        for seq in range(6, 9):
            bus.publish(frame(seq))
        bus.close()
        after = await everything(watcher)

    first = 1 if cursor is None else 4
    assert not before.gap
    assert messages(before.lines) + after == [f"{seq}.0" for seq in range(first, 9)]


async def test_a_slow_watcher_loses_its_oldest_lines_and_is_told() -> None:
    """The gap comes before the lines that followed it, and a fast watcher has none."""
    bus = Bus(limit=10)
    with bus.watch() as slow, bus.watch() as fast:
        seen = []
        for seq in range(1, 26):
            bus.publish(frame(seq))
            seen += messages(await anext(fast))  # type: ignore[arg-type]
        bus.close()

        assert await everything(slow) == [15, *(f"{seq}.0" for seq in range(16, 26))]
        assert await everything(fast) == []
        assert seen == [f"{seq}.0" for seq in range(1, 26)]


async def test_a_batch_above_the_limit_is_a_gap_and_its_last_lines() -> None:
    """More lines at once than a watcher may hold are not more memory."""
    bus = Bus(limit=10)
    with bus.watch() as watcher:
        bus.publish(frame(1, 25))
        bus.close()

        assert await everything(watcher) == [15, *(f"1.{index}" for index in range(15, 25))]


async def test_long_lines_are_bounded_in_bytes() -> None:
    """A few huge lines push older ones out as many small ones would; the newest always stays."""
    bus = Bus(limit_bytes=1_000, held_bytes=2_000)
    with bus.watch() as watcher:
        for seq in range(1, 7):
            bus.publish(frame(seq, size_bytes=400))
        bus.publish(frame(7, size_bytes=9_000))
        bus.close()

        assert await everything(watcher) == [6, "7.0"]
    assert messages(bus.recent(10).lines) == ["7.0"]


async def test_a_frame_without_logs_wakes_nobody() -> None:
    """Scrapes pass through the bus without a trace."""
    bus = Bus()
    with bus.watch() as watcher:
        bus.publish(Frame(1, 1, Batch(received_at=1.0)))
        waiting = asyncio.ensure_future(anext(watcher))
        await asyncio.sleep(0)
        assert not waiting.done()

        bus.publish(frame(2))

        assert messages(await waiting) == ["2.0"]  # type: ignore[arg-type]


async def test_a_watcher_that_left_gets_nothing() -> None:
    """Leaving the context ends the delivery."""
    bus = Bus()
    with bus.watch() as watcher:
        pass
    bus.publish(frame(1))
    bus.close()
    watcher.close()

    assert await everything(watcher) == []


async def test_closing_ends_waiting_and_later_watchers() -> None:
    """A closed bus lets every iteration finish at once."""
    bus = Bus()
    with bus.watch() as watcher:
        waiting = asyncio.create_task(everything(watcher))
        await asyncio.sleep(0)

        bus.close()

        assert await waiting == []
    with bus.watch() as late:
        assert await everything(late) == []


@pytest.mark.parametrize(
    ("count", "after", "expected", "gap"),
    [
        (2, None, ["8.0", "9.0"], False),
        (0, None, [], False),
        (10, "1-7-0", ["8.0", "9.0"], False),
        (10, "1-9-0", [], False),
        (10, "1-4-0", ["5.0", "6.0", "7.0", "8.0", "9.0"], False),
        (10, "1-3-0", ["5.0", "6.0", "7.0", "8.0", "9.0"], True),
        (2, "1-5-0", ["8.0", "9.0"], True),
        (0, "1-5-0", [], True),
        (2, "2-9-0", ["8.0", "9.0"], True),
        (2, "0-9-0", ["8.0", "9.0"], True),
        (2, "1-99-0", ["8.0", "9.0"], True),
        (2, "", ["8.0", "9.0"], True),
        (2, "1-5", ["8.0", "9.0"], True),
        (2, "1-5-x", ["8.0", "9.0"], True),
        (2, "1-\u0665-0", ["8.0", "9.0"], True),
        (2, "1-5-" + "9" * 10_000, ["8.0", "9.0"], True),
    ],
)
async def test_recent(count: int, after: str | None, expected: list[str], gap: bool) -> None:
    """Lines after a cursor, and whether some between are missing; the memory holds 5 of 9 lines."""
    bus = Bus(held_lines=5)
    for seq in range(1, 10):
        bus.publish(frame(seq))

    recent = bus.recent(count, after)

    assert (messages(recent.lines), recent.gap) == (expected, gap)


async def test_a_cursor_of_an_earlier_run_is_a_gap_even_before_the_first_line() -> None:
    """After a restart nobody knows what was missed, so it is said."""
    assert Bus().recent(10, "1-5-0").gap
    assert not Bus().recent(10).gap
