"""Samples put together by minute and hour, against the samples, late and out of order."""

import asyncio
import random
import time

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from monitord.model import Batch, Frame, Metric
from monitord.store.metric_rollups import MetricRollups
from monitord.store.metrics import Aggregate, MetricReader
from monitord.store.pool import Store


SQL = asyncpg.Connection
Write = Callable[[Sequence[Frame]], Awaitable[None]]

# Three hours before the last full hour, so that nothing is old enough to be dropped.
START = time.time() // 3_600 * 3_600 - 3 * 3_600
TIERS = {60: "metric_rollup_minutes", 3_600: "metric_rollup_hours"}


def samples(draw: random.Random, at: float, count: int) -> list[Metric]:
    """Draw samples of a few series around a moment, some up to two hours late or on one instant."""
    found = []
    for _ in range(count):
        when = draw.choice([at, at - draw.random() * 60, at - draw.random() * 7_200, at // 60 * 60])
        name, kind = draw.choice([("depth", "gauge"), ("jobs", "counter")])
        value = float(draw.randrange(-50, 50))
        found.append(Metric(when, name, value, kind=kind, attributes={"n": str(draw.randrange(3))}))  # type: ignore[arg-type]
    return found


async def rolled(sql: SQL, tier: int, mark: datetime) -> dict[tuple[int, float], tuple[float, ...]]:
    """Return a tier's rows; none may lie beyond its mark."""
    rows = await sql.fetch(
        f"SELECT series_id, at, count, sum, min, max, last FROM {TIERS[tier]}"  # noqa: S608 - ours
    )
    assert all(row["at"] < mark for row in rows)
    return {(row["series_id"], row["at"].timestamp()): tuple(row)[2:] for row in rows}


async def exact(sql: SQL, tier: int, mark: datetime) -> dict[tuple[int, float], tuple[float, ...]]:
    """Put the samples before the mark together in plain Python."""
    rows = await sql.fetch(
        "SELECT series_id, at, value FROM metrics WHERE at < $1 ORDER BY at", mark
    )
    periods: dict[tuple[int, float], list[float]] = defaultdict(list)
    for row in rows:
        periods[row["series_id"], row["at"].timestamp() // tier * tier].append(row["value"])
    return {
        key: (len(values), sum(values), min(values), max(values), values[-1])
        for key, values in periods.items()
    }


async def assert_exact(sql: SQL) -> None:
    for tier, mark in await sql.fetch("SELECT tier, until FROM metric_rollup_marks"):
        assert await rolled(sql, tier, mark) == await exact(sql, tier, mark)


@pytest.mark.parametrize("seed", range(3))
async def test_rollups_behind_the_marks_equal_the_samples(
    store: Store, write: Write, sql: SQL, seed: int
) -> None:
    """
    After every write and every roll, at random moments, minutes and hours behind their marks hold
    what the samples say; late samples and those that replace others included.
    """
    draw = random.Random(seed)
    rollups = MetricRollups(store)
    at = START
    for seq in range(1, 16):
        at += draw.random() * 1_200
        await write([Frame(1, seq, Batch(at, metrics=samples(draw, at, draw.randrange(1, 40))))])
        await assert_exact(sql)
        now = datetime.fromtimestamp(at, UTC) - timedelta(seconds=draw.random() * 600)
        for _ in range(draw.randrange(80)):
            if not await rollups.roll(now):
                break
        await assert_exact(sql)

    while await rollups.roll(datetime.fromtimestamp(at + 7_200, UTC)):
        pass

    await assert_exact(sql)
    assert await sql.fetchval("SELECT count(*) FROM metric_rollup_hours") > 0


async def test_writes_and_rolls_at_once_lose_no_sample(
    store: Store, write: Write, sql: SQL
) -> None:
    """
    Whatever the order in which writes and rolls commit, no sample is missing from a rollup.
    """
    draw = random.Random(5)
    rollups = MetricRollups(store)
    end = START + 3_600

    async def writing() -> None:
        for seq in range(1, 40):
            at = START + draw.random() * 3_600
            await write([Frame(1, seq, Batch(at, metrics=samples(draw, at, 5)))])

    async def rolling() -> None:
        for _ in range(150):
            now = START + draw.random() * 3_600
            await rollups.roll(datetime.fromtimestamp(now, UTC))
            await asyncio.sleep(0.001)

    await asyncio.gather(writing(), rolling())
    while await rollups.roll(datetime.fromtimestamp(end, UTC)):
        pass

    await assert_exact(sql)


@pytest.mark.parametrize("step", [10, 60, 300, 3_600])
@pytest.mark.parametrize("aggregate", ["avg", "max", "min", "sum", "last"])
async def test_points_are_the_same_however_far_the_rollups_are(
    store: Store, write: Write, sql: SQL, step: int, aggregate: Aggregate
) -> None:
    """
    A chart says the same before anything is rolled up, with half of it rolled up, and with all.
    """
    draw = random.Random(step)
    metrics = [one for n in range(40) for one in samples(draw, START + n * 200, 5)]
    await write([Frame(1, 1, Batch(START, metrics=metrics))])
    reader, answers = MetricReader(store), []

    for until in (None, START + 4_000, START + 20_000):
        if until is not None:
            while await MetricRollups(store).roll(datetime.fromtimestamp(until, UTC)):
                pass
        points = await reader.points("depth", {}, START - 7_200, START + 10_800, step, aggregate)
        answers.append(points)

    assert any(value is not None for _, values in answers[0] for value in values)
    for points in answers[1:]:
        assert [attributes for attributes, _ in points] == [each for each, _ in answers[0]]
        for (_, values), (_, before) in zip(points, answers[0], strict=True):
            assert values == pytest.approx(before)


async def test_nothing_is_rolled_up_without_samples(store: Store, sql: SQL) -> None:
    """
    A store without any sample has no marks and nothing to do.
    """
    assert not await MetricRollups(store).roll(datetime.now(UTC))
    assert await sql.fetchval("SELECT count(*) FROM metric_rollup_marks") == 0
