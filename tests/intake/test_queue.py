"""The queue before the store's writer."""

import asyncio

import pytest

from monitord.intake.queue import Queue
from monitord.model import Batch, Frame, Metric
from monitord.telemetry import Telemetry


def frame(seq: int, events: int, size_bytes: int = 0) -> Frame:
    sample = Metric(time=1.0, name="queue.depth", value=1.0)
    return Frame(7, seq, Batch(received_at=1.0, metrics=[sample] * events, size_bytes=size_bytes))


def gauge(telemetry: Telemetry) -> float | None:
    return telemetry.registry.get_sample_value("monitord_queue_events")


async def test_oldest_first_and_kept_until_done() -> None:
    """What was read stays pending until it is done: a writer that failed gets it again."""
    telemetry = Telemetry()
    queue = Queue(100, telemetry)
    frames = [frame(seq, 10) for seq in (1, 2, 3)]
    for each in frames:
        assert queue.put(each)

    first = await queue.next(20)
    again = await queue.next(20)

    assert first == again == frames[:2]
    assert queue.pending == gauge(telemetry) == 30
    queue.done(first)
    assert await queue.next(20) == frames[2:]
    assert queue.pending == gauge(telemetry) == 10


async def test_one_frame_comes_even_above_the_limit() -> None:
    """A frame larger than what the writer asked for is not held back for ever."""
    queue = Queue(1_000, Telemetry())
    queue.put(frame(1, 500))
    queue.put(frame(2, 1))

    assert [each.seq for each in await queue.next(10)] == [1]


async def test_what_is_read_at_once_is_bounded_in_bytes() -> None:
    """Few long events are as much for one transaction as many short ones."""
    queue = Queue(1_000, Telemetry())
    for seq in (1, 2, 3):
        queue.put(frame(seq, 1, size_bytes=40))

    assert [each.seq for each in await queue.next(100, 80)] == [1, 2]
    assert [each.seq for each in await queue.next(100, 1)] == [1]


@pytest.mark.parametrize(
    ("events", "size_bytes", "fits"),
    [(10, 0, True), (11, 0, False), (1, 900, True), (1, 901, False)],
)
async def test_bounds(events: int, size_bytes: int, fits: bool) -> None:
    """The queue is bounded in events and in bytes; a refused frame leaves it as it was."""
    queue = Queue(100, Telemetry(), limit_bytes=1_000)
    queue.put(frame(1, 90, 100))

    assert queue.has_room(events, size_bytes) is fits
    assert queue.put(frame(2, events, size_bytes)) is fits
    assert queue.pending == (90 + events if fits else 90)


async def test_a_frame_above_the_bounds_is_taken_by_an_empty_queue() -> None:
    """A single large frame cannot block its sender for ever."""
    queue = Queue(10, Telemetry(), limit_bytes=10)

    assert queue.put(frame(1, 50, 50))
    assert not queue.put(frame(2, 1))


async def test_next_waits_for_a_frame() -> None:
    """An empty queue keeps its reader waiting, also after it was emptied."""
    queue = Queue(10, Telemetry())
    queue.put(frame(1, 1))
    queue.done(await queue.next(10))
    waiting = asyncio.create_task(queue.next(10))
    await asyncio.sleep(0)
    assert not waiting.done()

    queue.put(frame(2, 1))

    assert [each.seq for each in await waiting] == [2]


async def test_done_out_of_order_and_twice() -> None:
    """Frames may be done in any order; one that is gone already changes nothing."""
    queue = Queue(100, Telemetry())
    frames = [frame(seq, 10) for seq in (1, 2, 3)]
    for each in frames:
        queue.put(each)

    queue.done([frames[1]])
    queue.done([frames[1], frames[0]])

    assert await queue.next(100) == [frames[2]]
    assert queue.pending == 10
