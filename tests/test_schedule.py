"""Scrapers that succeed, fail, hang and lie, each at its own pace."""

import asyncio
import math

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
import structlog

from monitord.model import Batch, Problem, Reading, Reason, Scrape, ScrapeError
from monitord.schedule import AUTH_PAUSE_SECONDS, FIRST_SCRAPES_SECONDS, Pace, Schedule, scrape
from monitord.scrapers.jobs import ScrapeJob
from monitord.scrapers.samples import counter, gauge
from monitord.telemetry import Telemetry


Act = Callable[[], Awaitable[Scrape]]


class Scripted:
    """A target whose every scrape does the next act of a list; the last one for ever."""

    def __init__(self, *acts: Act) -> None:
        self.acts = list(acts)
        self.scrapes = 0
        self.running = 0
        self.overlaps = 0
        self.closed = False

    async def scrape(self) -> Scrape:
        act = self.acts[min(self.scrapes, len(self.acts) - 1)]
        self.scrapes += 1
        self.overlaps += self.running
        self.running += 1
        try:
            return await act()
        finally:
            self.running -= 1

    async def close(self) -> None:
        self.closed = True


class Recorder:
    """A sink and a note-taker that keep what they are given."""

    def __init__(self, has_room: bool = True) -> None:
        self.batches: list[Batch] = []
        self.readings: list[Reading] = []
        self.has_room = has_room

    def offer(self, batch: Batch) -> bool:
        self.batches.append(batch)
        return self.has_room

    async def settled(self) -> None:
        pass

    async def until(self, count: int, target: str = "main") -> list[Reading]:
        async with asyncio.timeout(20):
            while len(self.of(target)) < count:  # noqa: ASYNC110 - the schedule tells nobody
                await asyncio.sleep(0.01)
        return self.of(target)

    def of(self, target: str) -> list[Reading]:
        return [reading for reading in self.readings if reading.target == target]


async def fine() -> Scrape:
    return Scrape([gauge("redis.keys", 3.0), counter("redis.commands", 5.0, database="0")])


async def refused() -> Scrape:
    raise ScrapeError(Reason.REFUSED, "nothing listens there", "start it")


async def denied() -> Scrape:
    raise ScrapeError(Reason.AUTH, "wrong password")


async def hanging() -> Scrape:
    await asyncio.Event().wait()
    raise AssertionError


async def buggy() -> Scrape:
    raise KeyError("x\n\x1b[31m")


async def cut_off() -> Scrape:
    raise asyncio.CancelledError


async def partly() -> Scrape:
    problem = Problem("activity", Reason.PERMISSION, "hidden", "GRANT pg_read_all_stats TO me;")
    return Scrape([gauge("redis.keys", 3.0), gauge("redis.odd", math.nan)], [problem])


def job(scraper: Scripted, *, every: float = 0.05, timeout: float = 5.0, **names: str) -> ScrapeJob:
    names = {"target": "main", "kind": "redis", **names}
    return ScrapeJob(scraper=scraper, every=every, timeout=timeout, **names)


@asynccontextmanager
async def running(
    jobs: Sequence[ScrapeJob], recorder: Recorder, telemetry: Telemetry | None = None
) -> AsyncIterator[None]:
    schedule = Schedule(
        jobs, recorder, recorder.readings.append, telemetry or Telemetry(), now=lambda: 1000.0
    )
    task = asyncio.create_task(schedule.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_samples_carry_target_and_one_time():
    """
    All samples of a scrape have the target's name and the same time; two tell of the scrape itself.
    """
    recorder = Recorder()

    async with running([job(Scripted(fine))], recorder):
        (reading, *_) = await recorder.until(1)

    batch = recorder.batches[0]
    names = [metric.name for metric in batch.metrics]
    assert names == ["target.up", "target.scrape.duration_ms", "redis.keys", "redis.commands"]
    assert {metric.time for metric in batch.metrics} == {batch.received_at, reading.at} == {1000.0}
    assert {metric.attributes["target"] for metric in batch.metrics} == {"main"}
    assert batch.metrics[0].value == 1
    assert batch.metrics[0].attributes == {"target": "main", "kind": "redis"}
    assert batch.metrics[3].attributes == {"target": "main", "database": "0"}
    assert batch.metrics[3].kind == "counter"
    assert reading.up


@pytest.mark.parametrize(
    ("act", "reason", "detail"),
    [
        (refused, Reason.REFUSED, "nothing listens there"),
        (hanging, Reason.TIMEOUT, "no answer within 0.05 s"),
        (buggy, Reason.ERROR, "KeyError: 'x\\n\\x1b[31m'"),
        (cut_off, Reason.ERROR, "the scrape was cut off"),
    ],
)
async def test_a_failure_is_a_reading(act: Act, reason: Reason, detail: str):
    """
    Whatever a target does gives a reading and a sample of 0, again and again; nothing else ends.
    """
    recorder = Recorder()
    other = Scripted(fine)

    async with running([job(Scripted(act), timeout=0.05), job(other, target="other")], recorder):
        readings = await recorder.until(3)
        await recorder.until(3, "other")

    assert [(one.up, one.reason, one.detail) for one in readings[:3]] == [
        (False, reason, detail)
    ] * 3
    samples = [m for b in recorder.batches for m in b.metrics if m.attributes["target"] == "main"]
    assert {metric.name for metric in samples} == {"target.up", "target.scrape.duration_ms"}
    assert {metric.value for metric in samples if metric.name == "target.up"} == {0.0}


async def test_a_target_recovers():
    """
    A target that answers again is up again.
    """
    recorder = Recorder()

    async with running([job(Scripted(fine, refused, hanging, fine), timeout=0.05)], recorder):
        readings = await recorder.until(4)

    assert [reading.up for reading in readings[:4]] == [True, False, False, True]


async def test_a_wrong_password_is_not_tried_at_every_tick():
    """
    After a refused login the target is left alone for a while, though it stays known as down.
    """
    recorder = Recorder()
    scraper = Scripted(denied)
    telemetry = Telemetry()

    async with running([job(scraper)], recorder, telemetry):
        readings = await recorder.until(5)

    assert AUTH_PAUSE_SECONDS == 30
    assert scraper.scrapes == 1
    assert {(one.up, one.reason, one.detail) for one in readings} == {
        (False, Reason.AUTH, "wrong password")
    }
    assert [metric.name for metric in recorder.batches[1].metrics] == ["target.up"]
    held = telemetry.registry.get_sample_value(
        "monitord_scrapes_total", {"kind": "redis", "target": "main", "outcome": "held"}
    )
    assert held == len(readings) - 1


async def test_scrapes_of_a_target_never_overlap():
    """
    A scrape that takes longer than the pace makes the ticks it missed be left out and counted.
    """
    recorder = Recorder()
    telemetry = Telemetry()

    async def slow() -> Scrape:
        await asyncio.sleep(0.12)
        return await fine()

    scraper = Scripted(slow)

    async with running([job(scraper)], recorder, telemetry):
        await recorder.until(3)

    skipped = telemetry.registry.get_sample_value(
        "monitord_scrapes_total", {"kind": "redis", "target": "main", "outcome": "skipped"}
    )
    assert scraper.overlaps == 0
    assert skipped is not None
    assert skipped >= 2


async def test_problems_are_handed_on_and_nonsense_is_not():
    """
    What is missing goes with the reading; a value that is no number goes nowhere.
    """
    recorder = Recorder()

    async with running([job(Scripted(partly))], recorder):
        (reading, *_) = await recorder.until(1)

    assert reading.up
    assert [problem.what for problem in reading.problems] == ["activity"]
    assert [m.name for m in recorder.batches[0].metrics if m.name.startswith("redis")] == [
        "redis.keys"
    ]


async def test_what_finds_no_room_is_counted():
    """
    Samples the sink has no room for are counted as dropped.
    """
    recorder = Recorder(has_room=False)
    telemetry = Telemetry()

    async with running([job(Scripted(fine))], recorder, telemetry):
        await recorder.until(1)

    dropped = telemetry.registry.get_sample_value(
        "monitord_dropped_events_total", {"source": "scrape"}
    )
    assert dropped == sum(len(batch) for batch in recorder.batches)


async def test_changes_are_logged_once():
    """
    Up, down and what is missing are logged when they change, and not at every tick.
    """
    recorder = Recorder()

    with structlog.testing.capture_logs() as lines:
        async with running(
            [job(Scripted(fine, fine, refused, refused, refused, partly, partly, fine))], recorder
        ):
            await recorder.until(9)

    told = [(line["event"], line["log_level"]) for line in lines]
    assert told == [
        ("target.up", "info"),
        ("target.down", "warning"),
        ("target.up", "info"),
        ("target.partial", "warning"),
    ]
    down = lines[1]
    assert (down["target"], down["kind"]) == ("main", "redis")
    assert (down["reason"], down["remedy"]) == ("connection refused", "start it")
    assert lines[3]["remedy"] == "GRANT pg_read_all_stats TO me;"


async def test_stopping_closes_every_scraper():
    """
    When the schedule is cancelled, in the middle of a scrape or not, each scraper is closed.
    """
    recorder = Recorder()
    scrapers = [Scripted(fine), Scripted(hanging)]

    async with running([job(one, target=f"t{n}") for n, one in enumerate(scrapers)], recorder):
        await recorder.until(1, "t0")
        async with asyncio.timeout(5):
            while not scrapers[1].running:  # noqa: ASYNC110 - the scraper tells nobody
                await asyncio.sleep(0.01)

    assert [one.closed for one in scrapers] == [True, True]


async def test_a_scrape_outside_the_schedule_can_be_cancelled():
    """
    A cancelled caller is cancelled; its scrape is no reading.
    """
    task = asyncio.create_task(scrape(job(Scripted(hanging))))
    await asyncio.sleep(0.01)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_first_scrapes_follow_each_other_soon():
    """
    Increments need more than one scrape: the first ones come quickly, then the pace is kept.
    """
    pace = Pace(every=10.0, start=100.0)

    due = [pace.due]
    for _ in range(4):
        missed = pace.succeeded(pace.due + 0.1)
        due.append(pace.due)

    soon = FIRST_SCRAPES_SECONDS
    assert due == [100, 100 + soon, 100 + 2 * soon, 110 + 2 * soon, 120 + 2 * soon]
    assert missed == 0


def test_a_pace_faster_than_that_is_kept_from_the_start():
    """
    A target read every second is read every second.
    """
    pace = Pace(every=1.0, start=0.0)

    pace.succeeded(0.1)

    assert pace.due == 1.0


def test_missed_ticks_are_left_out():
    """
    After a scrape of 25 s at a pace of 10 s, two ticks were missed and the next is on the grid.
    """
    pace = Pace(every=10.0, start=0.0)
    for _ in range(3):
        pace.succeeded(pace.due)
    start = pace.due

    missed = pace.succeeded(start + 25.0)

    assert missed == 2
    assert pace.due == start + 30.0


def test_failures_are_tried_again_within_the_pace():
    """
    Retries begin soon and grow to the pace, never beyond: a dead target has a sample per interval.
    """
    pace = Pace(every=10.0, start=0.0)

    waits = []
    for _ in range(20):
        before = pace.due
        pace.failed(before + 0.01)
        waits.append(pace.due - before)

    assert 1.0 <= waits[0] <= 2.0
    assert all(wait <= 10.0 for wait in waits)
    assert all(wait >= 5.0 for wait in waits[5:])


def test_a_retry_that_is_late_comes_at_once():
    """
    When a failed scrape took longer than the wait for the next, the next one starts at its end.
    """
    pace = Pace(every=10.0, start=0.0)

    missed = pace.failed(5.0)

    assert missed == 0
    assert pace.due == 5.0


def test_after_a_failure_increments_come_soon_again():
    """
    A target that is back is scraped again soon, as at the start.
    """
    pace = Pace(every=60.0, start=0.0)
    for _ in range(4):
        pace.succeeded(pace.due)
    pace.failed(pace.due)
    back = pace.due

    pace.succeeded(back)

    assert pace.due == back + FIRST_SCRAPES_SECONDS
