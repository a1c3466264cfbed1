"""What a request costs on the disk: as a row with its indexes, in the rollups, in the archive."""

from __future__ import annotations

import time

from pathlib import Path

import asyncpg

from monitord.store.archive.archiver import Archiver
from monitord.store.partitions import day_of, start_of
from monitord.store.tiers import DAY, HOUR
from tests.bench import stored
from tests.bench.sizes import size
from tests.bench.table import Row


ROWS = 1_000_000
ROW_LIMIT, ARCHIVED_LIMIT = 75, 25

SIZES = """
SELECT
    (SELECT count(*) FROM requests) AS rows,
    sum(pg_table_size(relid)) AS heap,
    sum(pg_indexes_size(relid)) AS indexes,
    pg_total_relation_size('request_rollups') AS rollups
FROM pg_partition_tree('requests')
WHERE isleaf
"""

ARCHIVED = """
SELECT
    (SELECT sum(count)::int8 FROM request_archive) AS rows,
    sum(pg_total_relation_size(relid)) AS archive
FROM pg_partition_tree('request_archive')
WHERE isleaf
"""


async def run(folder: Path, dsn: str) -> list[Row]:
    """Store yesterday's requests by the daemon's own writer, weigh them, and again as archived."""
    count = size("BYTES_PER_ROW_ROWS", ROWS)
    noon = start_of(day_of(time.time() - DAY)) + 12 * HOUR
    connection = await asyncpg.connect(dsn)
    try:
        async with stored.opened(dsn) as store:
            await stored.write(store, folder, stored.frames(count, noon))
            await stored.merge(store)
            await connection.execute(stored.SUMMARIZE)
            rows = (await connection.fetch(SIZES))[0]
            await Archiver(store, 0.0).archive(time.time())
            archived = (await connection.fetch(ARCHIVED))[0]
    finally:
        await connection.close()
    row = each(rows, "heap") + each(rows, "indexes")
    packed = each(archived, "archive")
    return [
        Row(
            "stored request: row and indexes",
            row,
            f"B (of {rows['rows']:,})",
            f"<= {ROW_LIMIT}",
            rows["rows"] >= count and row <= ROW_LIMIT,
        ),
        Row("stored request: row alone", each(rows, "heap"), "B", "", None),
        Row("stored request: indexes, summarized to the end", each(rows, "indexes"), "B", "", None),
        Row("stored request: rollups of all three tiers", each(rows, "rollups"), "B", "", None),
        Row(
            "archived request",
            packed,
            f"B (of {archived['rows']:,})",
            f"<= {ARCHIVED_LIMIT}",
            archived["rows"] == rows["rows"] and packed <= ARCHIVED_LIMIT,
        ),
    ]


def each(found: asyncpg.Record, name: str) -> float:
    """Return the bytes of one request."""
    return float(found[name] / found["rows"])
