"""Rollups and deltas against the rows they sum up, at every moment of a random history."""

import asyncio
import random

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import asyncpg
import numpy as np
import pytest

from monitord import histogram
from monitord.model import Batch, ErrorInfo, Frame, Request
from monitord.store import cells, sums
from monitord.store.pool import Store
from monitord.store.requests import RequestReader
from monitord.store.rollups import Compactor
from monitord.store.sums import Rollup
from monitord.store.tiers import DAY, HOUR, MINUTE


SQL = asyncpg.Connection
Write = Callable[[Sequence[Frame]], Awaitable[None]]

# Twenty minutes before midnight, so that a history crosses minutes, hours and a day.
START = int(datetime(2026, 8, 1, 23, 40, tzinfo=UTC).timestamp())
NOW = datetime(2026, 8, 2, 12, 0, tzinfo=UTC)


def requests(draw: random.Random, at: float, count: int) -> list[Request]:
    """Draw requests around a moment: some late by up to an hour, some on a minute's very edge."""
    return [
        Request(
            time=draw.choice([at, at - draw.random() * 3_600, at // 60 * 60, at // 60 * 60 - 1e-6]),
            service=draw.choice(["shop", "bank"]),
            method=draw.choice(["GET", "POST"]),
            route=f"/{draw.randrange(5)}",
            status=draw.choice([200, 200, 200, 204, 301, 400, 404, 499, 500, 503]),
            duration_ms=draw.choice([0.0, 0.001, draw.lognormvariate(2, 2), 4_000_000.0]),
            error=draw.choice([None, None, None, ErrorInfo("ValueError")]),
        )
        for _ in range(count)
    ]


def exact(rows: Sequence[asyncpg.Record], tier: int) -> dict[float, Counter[object]]:
    """Sum up the stored rows in plain Python: by start, then by what is counted."""
    found: dict[float, Counter[object]] = defaultdict(Counter)
    for row in rows:
        one = found[row["at"].timestamp() // tier * tier]
        endpoint, status, us = row["endpoint_id"], row["status"], row["duration_us"]
        error = status >= 500 or row["error_id"] is not None
        one["count", endpoint] += 1
        one["errors", endpoint] += error
        one["client_errors", endpoint] += status >= 400 and not error
        one["sum_us", endpoint] += us
        one["max_us", endpoint] = max(one["max_us", endpoint], us)
        one["status", endpoint, status] += 1
        one["bucket", endpoint, int(histogram.index([us / 1000])[0])] += 1
    return {start: +counts for start, counts in found.items()}


def said(rollup: Rollup) -> Counter[object]:
    """Return what a rollup says in the same form."""
    found: Counter[object] = Counter()
    for name in sums.FIELDS[1:]:
        values = zip(rollup.tallies.endpoint, getattr(rollup.tallies, name), strict=True)
        found.update({(name, int(endpoint)): int(value) for endpoint, value in values})
    for name, counts, bits in (
        ("status", rollup.statuses, sums.STATUS_BITS),
        ("bucket", rollup.cells, sums.BUCKET_BITS),
    ):
        for key, count in zip(counts.key.tolist(), counts.count.tolist(), strict=True):
            found[name, key >> bits, key & ((1 << bits) - 1)] += count
    return +found


async def stored(sql: SQL, tier: int) -> dict[float, Counter[object]]:
    """Return what a tier and the deltas beside it say, merged."""
    rows = await sql.fetch(
        "SELECT start, tallies, statuses, cells FROM request_rollups WHERE tier = $1"
        " UNION ALL SELECT minute, tallies, statuses, cells FROM request_rollup_deltas",
        tier,
    )
    parts: dict[float, list[Rollup]] = defaultdict(list)
    for row in rows:
        parts[row["start"].timestamp() // tier * tier].append(sums.of_row(row))
    return {start: said(sums.merge(several)) for start, several in parts.items()}


@pytest.mark.parametrize("seed", range(4))
async def test_every_tier_and_deltas_say_what_the_rows_say(
    store: Store, write: Write, sql: SQL, seed: int
) -> None:
    """
    After every write and every merge, of all or of some minutes, each tier plus the deltas equals
    the rows, per endpoint, status and bucket; late events and edges of minutes included.
    """
    draw = random.Random(seed)
    compactor = Compactor(store)
    for seq in range(1, 13):
        at = START + draw.random() * 2_400
        await write([Frame(1, seq, Batch(at, requests=requests(draw, at, draw.randrange(1, 60))))])
        if draw.random() < 0.5:
            await compactor.merge(NOW, all_minutes=draw.random() < 0.5)

        rows = await sql.fetch("SELECT * FROM requests")
        for tier in (MINUTE, HOUR, DAY):
            assert await stored(sql, tier) == exact(rows, tier)


async def test_merging_leaves_no_delta_and_keeps_the_totals(
    store: Store, write: Write, sql: SQL
) -> None:
    """
    Once everything is merged there is no delta left, and the plain totals equal the packed ones.
    """
    draw = random.Random(7)
    await write(
        [Frame(1, n, Batch(START, requests=requests(draw, START + n, 40))) for n in range(1, 30)]
    )
    while await Compactor(store).merge(NOW):
        pass

    assert await sql.fetchval("SELECT count(*) FROM request_rollup_deltas") == 0
    for row in await sql.fetch("SELECT * FROM request_rollups"):
        rollup = sums.of_row(row)
        for name in sums.FIELDS[1:5]:
            assert row[name] == getattr(rollup.tallies, name).sum()
        assert row["max_us"] == rollup.tallies.max_us.max()
        buckets, counts = cells.unpack(cells.TOTAL_CELLS, row["total_cells"])
        assert np.array_equal(
            histogram.Histogram.from_cells(buckets, counts).counts, rollup.total.counts
        )


async def test_endpoint_quantiles_are_within_the_promised_error(
    store: Store, write: Write, sql: SQL
) -> None:
    """
    The p50, p95 and p99 kept per endpoint are at most 0.55 % from those of the rows.
    """
    draw = random.Random(8)
    some = requests(draw, START + 30, 3_000)
    await write([Frame(1, 1, Batch(START, requests=some))])
    while await Compactor(store).merge(NOW):
        pass

    rows = await sql.fetch(
        "SELECT endpoint_id, percentile_disc(ARRAY[0.5, 0.95, 0.99])"
        " WITHIN GROUP (ORDER BY least(duration_us / 1000.0, 4280000)) AS exact"
        " FROM requests WHERE at >= $1 GROUP BY 1",
        datetime.fromtimestamp(START // DAY * DAY, UTC),
    )
    found = await sql.fetchrow("SELECT tallies, quantiles FROM request_rollups WHERE tier = 86400")
    endpoints = cells.unpack(cells.TALLIES, found["tallies"])[0].tolist()
    columns = np.array(cells.unpack(cells.QUANTILES, found["quantiles"])).T
    kept = dict(zip(endpoints, columns.tolist(), strict=True))
    assert len(rows) == 20
    for row in rows:
        for value, true in zip(kept[row["endpoint_id"]], row["exact"], strict=True):
            assert value == pytest.approx(float(true), rel=0.0075, abs=0.0011)


async def test_reading_during_merges_never_misses_or_doubles(store: Store, write: Write) -> None:
    """
    A reader that asks while deltas are being merged gets every request exactly once.
    """
    draw = random.Random(9)
    total = 0
    for n in range(1, 41):
        some = requests(draw, START + n, 25)
        total += len(some)
        await write([Frame(1, n, Batch(START, requests=some))])
    reader, seen = RequestReader(store), set()

    async def read() -> None:
        for _ in range(60):
            found = await reader.stats(START - 2 * HOUR, START + 2 * HOUR)
            seen.add(found.count if found else 0)

    async def merge() -> None:
        while await Compactor(store).merge(NOW):
            pass

    await asyncio.gather(read(), merge())

    assert seen == {total}


async def test_two_compactors_do_not_meet(store: Store, write: Write, sql: SQL) -> None:
    """
    Of two daemons of one instance that merge at once, one does and the other leaves it alone.
    """
    draw = random.Random(10)
    await write(
        [Frame(1, n, Batch(START, requests=requests(draw, START + n, 30))) for n in range(1, 20)]
    )

    await asyncio.gather(*(Compactor(store).merge(NOW) for _ in range(3)))
    while await Compactor(store).merge(NOW):
        pass

    rows = await sql.fetch("SELECT * FROM requests")
    assert await stored(sql, MINUTE) == exact(rows, MINUTE)
    assert await stored(sql, DAY) == exact(rows, DAY)


async def test_open_minute_is_merged_once_it_is_over(store: Store, write: Write, sql: SQL) -> None:
    """
    A minute under way, and for some seconds after its end, is not rewritten for a few deltas.
    """
    one = Request(START, "shop", "GET", "/", 200, 1.0)
    await write([Frame(1, 1, Batch(START, requests=[one]))])

    moved = [
        await Compactor(store).merge(datetime.fromtimestamp(START + seconds, UTC))
        for seconds in (1, 59, 74, 76, 77)
    ]

    assert moved == [0, 0, 0, 1, 0]
    assert await sql.fetchval("SELECT count(*) FROM request_rollups") == 3
