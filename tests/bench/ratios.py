"""The daemon's way of storing requests beside three others, in one run on one server."""

from __future__ import annotations

import gc
import itertools
import time

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg

from monitord.model import Frame
from tests.bench import stored, wide
from tests.bench.sizes import size
from tests.bench.table import Row
from tests.bench.wide import Connection, Record


ROWS = 600_000
SECONDS = 4

# Its name, a call of it, and how many rows a call is given.
Way = tuple[str, Callable[[Connection, Sequence[Record]], Awaitable[None]], int]
WAYS: list[Way] = [
    ("an INSERT a row", wide.insert, 100),
    ("executemany, 1,000 rows", wide.insert_many, 1_000),
    ("copy_records_to_table, 20,000 rows", wide.copy, 20_000),
]


async def run(folder: Path, dsn: str) -> list[Row]:
    """Give each way the same requests, made ready before the clock starts, for some seconds."""
    ready = list(stored.frames(size("RATIOS_ROWS", ROWS)))
    records = [wide.record(one) for frame in ready for one in frame.batch.requests]
    gc.freeze()  # looking through so many objects again and again is no way's own cost
    connection = await asyncpg.connect(dsn)
    try:
        ours, ours_bytes = await written(folder, dsn, connection, ready)
        rows = [
            Row(
                "stored by the writer: rows, rollups, ledger, summaries",
                ours,
                f"rows/s ({ours_bytes:.0f} B a row)",
                "",
                None,
            )
        ]
        await connection.execute(wide.TABLE)
        for name, way, each in WAYS:
            rate, row_bytes = await put(connection, way, records, each)
            what, unit = f"five B-trees, {name}", f"rows/s ({row_bytes:.0f} B a row)"
            rows += [
                Row(what, rate, unit, "", None),
                Row(f"the writer against {name}", ours / rate, "times as many rows/s", "", None),
            ]
    finally:
        gc.unfreeze()
        await connection.close()
    return rows


async def written(
    folder: Path, dsn: str, connection: Connection, ready: Sequence[Frame]
) -> tuple[float, float]:
    """
    Return rows a second and bytes a row of the daemon's writer.

    It prepares and numbers the names, writes the ledger and the deltas, and the index is brought
    up to date within the time, which the daemon leaves to autovacuum.
    """
    async with stored.opened(dsn) as store:
        await connection.execute("CHECKPOINT")
        began = time.perf_counter()
        until = began + SECONDS
        in_time = itertools.takewhile(lambda _: time.perf_counter() < until, ready)
        await stored.write(store, folder, in_time)
        await connection.execute(stored.SUMMARIZE)
        elapsed = time.perf_counter() - began
    (found,) = await connection.fetch(
        "SELECT (SELECT count(*) FROM requests) AS rows, sum(pg_total_relation_size(relid)) AS size"
        " FROM pg_partition_tree('requests') WHERE isleaf"
    )
    return found["rows"] / elapsed, float(found["size"] / found["rows"])


async def put(
    connection: Connection,
    way: Callable[[Connection, Sequence[Record]], Awaitable[None]],
    records: Sequence[Record],
    each: int,
) -> tuple[float, float]:
    """Return rows a second and bytes a row of one way, over so many rows a call."""
    await connection.execute("TRUNCATE wide")
    await connection.execute("CHECKPOINT")
    began = time.perf_counter()
    for start in range(0, len(records), each):
        await way(connection, records[start : start + each])
        if time.perf_counter() - began > SECONDS:
            break
    elapsed = time.perf_counter() - began
    (found,) = await connection.fetch(
        "SELECT count(*) AS rows, pg_total_relation_size('wide') AS size FROM wide"
    )
    return found["rows"] / elapsed, found["size"] / found["rows"]
