"""From batch to frame: one identity for spool, window and bus; shown when, kept or not."""

from __future__ import annotations

import asyncio
import socket

from collections.abc import AsyncIterator, Generator
from errno import EIO
from pathlib import Path

import pytest
import pytest_asyncio

from monitord.errors import NotTaken
from monitord.ingest.udp import UdpListener
from monitord.intake import redact
from monitord.intake.bus import Bus
from monitord.intake.intake import Intake
from monitord.intake.spool.spool import Spool, SpoolLimits, open_spool
from monitord.intake.spool_metrics import SpoolMetrics
from monitord.intake.window import Window
from monitord.model import Batch, Log, Metric
from monitord.settings import Ingest, Redact
from monitord.telemetry import Telemetry


NOW = 1_800_000_000.0


def batch(value: float, size: int = 0) -> Batch:
    return Batch(
        received_at=NOW,
        logs=[Log(time=NOW, service="shop", level="INFO", message=f"value {value}" + "x" * size)],
        metrics=[Metric(time=NOW, name="queue.depth", value=value)],
    )


class Parts:
    """An intake and all it hands to."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.window = Window(lambda: NOW)
        self.bus = Bus()
        self.intake = Intake(spool, self.window, self.bus)

    @property
    def shown(self) -> list[str]:
        return [line.log.message for line in self.bus.recent(10).lines]

    @property
    def remembered(self) -> float | None:
        point = self.window.latest("queue.depth")
        return None if point is None else point.value


@pytest_asyncio.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    """
    An intake on a spool with room.
    """
    async with open_spool(tmp_path / "spool", 42) as spool:
        yield Parts(spool)


async def test_a_batch_is_kept_remembered_and_shown_under_one_identity(parts: Parts) -> None:
    """
    Sequence numbers count from 1, and a live line carries that of its stored frame.
    """
    assert parts.intake.offer(batch(1.0))
    await parts.intake.deliver(batch(2.0))

    frames = await parts.spool.next(10, 10_000)
    assert [(frame.writer, frame.seq) for frame in frames] == [(42, 1), (42, 2)]
    assert [line.cursor for line in parts.bus.recent(10).lines] == ["42-1-0", "42-2-0"]
    assert parts.remembered == 2.0


@pytest.mark.parametrize("close_early", [False, True])
async def test_redaction_of_a_burst_gives_others_a_turn(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, close_early: bool
) -> None:
    """
    What came by UDP is redacted in many turns, and kept whole and in order.
    """
    monkeypatch.setattr(redact, "STEP_SECONDS", 0.0)
    telemetry, turns = Telemetry(), 0
    redactor = redact.Redactor(Redact(), telemetry)
    intake = Intake(parts.spool, parts.window, parts.bus, redactor)
    line = b'{"type":"log","service":"s","level":"INFO","message":"%d token=x"}'
    async with UdpListener(Ingest(port=0), intake, telemetry) as listener:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for start in range(0, 200, 20):
                lines = [line % number for number in range(start, start + 20)]
                sock.sendto(b"\n".join(lines), ("127.0.0.1", listener.port))
        while not close_early and len(parts.bus.recent(1_000).lines) < 200:
            turns += telemetry.total("monitord_ingest_datagrams_total") > 0
            await asyncio.sleep(0)

    frames = await parts.spool.next(10, 1_000)
    messages = [one.message for frame in frames for one in frame.batch.logs]
    assert messages == [f"{number} token=[redacted]" for number in range(200)]
    assert close_early or turns >= 100
    assert telemetry.total("monitord_ingest_dropped_total") == 0


async def test_what_is_redacted_in_turns_and_not_kept_is_said(tmp_path: Path) -> None:
    """
    As of what is offered at once: shown without its secret, and the caller counts the loss.
    """
    async with open_spool(tmp_path / "spool", 42, SpoolLimits(spool_bytes=4_096)) as spool:
        parts = Parts(spool)
        intake = Intake(spool, parts.window, parts.bus, redact.Redactor(Redact(), Telemetry()))
        steps = intake.offering(batch(1.0, size=8_192))
        assert ended(steps) is False

    assert len(parts.shown) == 1


def ended(steps: Generator[None, None, bool]) -> bool:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return bool(end.value)


async def test_an_empty_batch_takes_no_number(parts: Parts) -> None:
    """
    Nothing to take is taken, and leaves no trace.
    """
    assert parts.intake.offer(Batch(received_at=NOW))
    await parts.intake.deliver(Batch(received_at=NOW))
    parts.intake.offer(batch(1.0))

    assert [frame.seq for frame in await parts.spool.next(10, 10_000)] == [1]


async def test_a_full_spool_stops_no_live_view(tmp_path: Path) -> None:
    """
    What nobody keeps is shown and remembered though the disk has no room; it is never stored.
    """
    async with open_spool(tmp_path / "spool", 42, SpoolLimits(spool_bytes=4_096)) as spool:
        parts = Parts(spool)
        assert not parts.intake.offer(batch(1.0, size=8_192))

        assert parts.remembered == 1.0
        assert len(parts.shown) == 1
        assert parts.spool.backlog.events == 0


async def test_what_its_sender_keeps_is_not_shown_when_it_is_refused(tmp_path: Path) -> None:
    """
    A refused delivery comes again: shown at once, it would be shown twice.
    """
    async with open_spool(tmp_path / "spool", 42, SpoolLimits(spool_bytes=4_096)) as spool:
        parts = Parts(spool)
        with pytest.raises(NotTaken, match="the spool is full"):
            await parts.intake.deliver(batch(1.0, size=8_192))

        assert parts.shown == []
        assert parts.remembered is None


async def test_a_disk_that_fails_is_said_and_nothing_is_shown(tmp_path: Path) -> None:
    """
    A delivery whose write fails is refused: its sender still has it.
    """

    def failing(descriptor: int) -> None:
        raise OSError(EIO, "Input/output error")

    async with open_spool(tmp_path / "spool", 42, sync=failing) as spool:
        parts = Parts(spool)
        with pytest.raises(NotTaken, match="send it again"):
            await parts.intake.deliver(batch(1.0))

        assert parts.shown == []
        assert parts.spool.figures.lost_events == 2


async def test_of_what_a_disk_loses_it_is_known_who_was_told(tmp_path: Path) -> None:
    """
    A delivery's sender has it still; nobody has what was offered. Both are lost to the spool.
    """

    def failing(descriptor: int) -> None:
        raise OSError(EIO, "Input/output error")

    async with open_spool(tmp_path / "spool", 42, sync=failing) as spool:
        parts, metrics = Parts(spool), Telemetry()
        metrics.collect_from(SpoolMetrics(spool))
        assert parts.intake.offer(batch(1.0))
        assert parts.intake.offer(batch(2.0))
        with pytest.raises(NotTaken):
            await parts.intake.deliver(batch(3.0))

    assert metrics.total("monitord_spool_lost_events_total") == 6
    assert metrics.total("monitord_spool_lost_told_events_total") == 2


async def test_room_is_asked_for_before_a_body_is_read(tmp_path: Path) -> None:
    """
    A batch that would be refused can be refused before anything was done for it.
    """
    async with open_spool(tmp_path / "with room", 42) as spool:
        Parts(spool).intake.check_room()
    async with open_spool(tmp_path / "without", 42, SpoolLimits(free_bytes=2**62)) as spool:
        with pytest.raises(NotTaken) as refusal:
            Parts(spool).intake.check_room()

    assert refusal.value.wait_seconds
    assert not refusal.value.crowded
