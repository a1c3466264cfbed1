"""From batch to frame: one identity for queue, window and bus."""

from monitord.intake.bus import Bus
from monitord.intake.intake import Intake
from monitord.intake.queue import Queue
from monitord.intake.window import Window
from monitord.model import Batch, Log, Metric
from monitord.telemetry import Telemetry


NOW = 1_800_000_000.0


def batch(value: float) -> Batch:
    return Batch(
        received_at=NOW,
        logs=[Log(time=NOW, service="shop", level="INFO", message=f"value {value}")],
        metrics=[Metric(time=NOW, name="queue.depth", value=value)],
    )


async def test_a_batch_is_queued_remembered_and_shown_under_one_identity() -> None:
    """Sequence numbers count from 1, and a live line carries that of its stored frame."""
    queue, window, bus = Queue(10, Telemetry()), Window(lambda: NOW), Bus()
    intake = Intake(42, queue, window, bus)

    assert intake.offer(batch(1.0))
    assert intake.offer(batch(2.0))
    await intake.settled()

    frames = await queue.next(10)
    assert [(frame.writer, frame.seq) for frame in frames] == [(42, 1), (42, 2)]
    assert [line.cursor for line in bus.recent(10).lines] == ["42-1-0", "42-2-0"]
    point = window.latest("queue.depth")
    assert point is not None
    assert point.value == 2.0


async def test_a_full_queue_stops_no_live_view() -> None:
    """With the store dead and the queue full, the window and the watchers go on."""
    queue, window, bus = Queue(2, Telemetry()), Window(lambda: NOW), Bus()
    intake = Intake(42, queue, window, bus)
    intake.offer(batch(1.0))

    assert not intake.has_room(1, 0)
    assert not intake.offer(batch(2.0))

    assert queue.pending == 2
    assert [line.log.message for line in bus.recent(10).lines] == ["value 1.0", "value 2.0"]
    point = window.latest("queue.depth")
    assert point is not None
    assert point.value == 2.0


async def test_an_empty_batch_takes_no_number() -> None:
    """Nothing to take is taken, and leaves no trace."""
    queue = Queue(10, Telemetry())
    intake = Intake(42, queue, Window(lambda: NOW), Bus())

    assert intake.offer(Batch(received_at=NOW))
    intake.offer(batch(1.0))

    assert [frame.seq for frame in await queue.next(10)] == [1]
