"""Making a drain ready: in short stretches, so that the sockets are read meanwhile."""

import asyncio

from datetime import date

import asyncpg
import numpy as np
import pytest

from monitord.model import Batch, Frame, Request
from monitord.store import request_rows
from monitord.store.copying import STRETCH
from monitord.store.dictionaries import Dictionaries
from monitord.store.drain import prepare
from monitord.store.partitions import Partitions
from monitord.store.pool import Store
from monitord.store.request_rows import columns, copy_rows, traces


AT = 1_785_585_600.0
TRACE = "0123456789abcdef0123456789abcdef"


def requests(count: int) -> list[Request]:
    return [Request(AT + n / 1_000, "shop", "GET", f"/{n % 50}", 200, 1.0) for n in range(count)]


async def test_large_frame_is_made_ready_in_stretches(store: Store) -> None:
    """
    The loop turns at least once for every stretch of a large frame.
    """
    dictionaries, turns = Dictionaries(store), 0
    small = Frame(1, 1, Batch(AT, requests=requests(50)))
    await prepare([small], dictionaries, 1)  # from now on every name is known
    running = True

    async def count() -> None:
        nonlocal turns
        while running:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await prepare([Frame(1, 2, Batch(AT, requests=requests(10 * STRETCH)))], dictionaries, 1)
    running = False
    await counting

    assert turns >= 10


def test_columns_are_copied_in_stretches() -> None:
    """
    The rows of a large drain are encoded a stretch at a time, none twice and none lost.
    """
    whole = columns(requests(2 * STRETCH + 7), [1] * (2 * STRETCH + 7))

    parts = list(whole.stretches())

    assert [len(part) for part in parts] == [STRETCH, STRETCH, 7]
    assert np.array_equal(np.concatenate([part.at_us for part in parts]), whole.at_us)


def test_rows_are_grouped_by_their_nulls() -> None:
    """
    The four patterns of nulls have rows of their own sizes, as many as there are.
    """
    sizes = {
        (trace, error): request_rows.row_type(trace, error).itemsize
        for trace in (False, True)
        for error in (False, True)
    }
    some = columns(
        [
            Request(AT, "s", "GET", "/", 200, 1.0, trace_id=TRACE if n % 3 else None)
            for n in range(9)
        ],
        [1] * 9,
    )

    assert len(copy_rows(some, 1)) == 6 * sizes[True, False] + 3 * sizes[False, False]
    assert sizes[True, True] - sizes[False, False] == 24


@pytest.mark.parametrize(
    "bad", ["", "x" * 32, "0" * 31, "0" * 33, " " * 32, "0" * 30 + " f", "0" * 31 + "é"]
)
def test_trace_that_is_none_costs_no_neighbour(bad: str) -> None:
    """
    What is not 32 hex digits is stored as no trace; the traces beside it are kept.
    """
    raw, has = traces([TRACE, bad, None, TRACE])

    assert has.tolist() == [True, False, False, True]
    assert raw[0].tobytes() == raw[3].tobytes() == bytes.fromhex(TRACE)


async def test_window_of_requests_reads_one_day(store: Store, sql: asyncpg.Connection) -> None:
    """
    A question bounded in time reads the partitions of its days and no other.
    """
    await Partitions(store).ensure("requests", [date(2026, 8, day) for day in range(1, 8)])

    plan = await sql.fetch(
        "EXPLAIN SELECT * FROM requests WHERE at >= '2026-08-03 10:00+00'"
        " AND at < '2026-08-03 11:00+00'"
    )

    text = "\n".join(row[0] for row in plan)
    assert "requests_20260803" in text
    assert text.count("requests_2026080") == text.count("requests_20260803")


async def test_trace_is_looked_up_by_its_bloom_filter(
    store: Store, sql: asyncpg.Connection
) -> None:
    """
    A look-up by trace within a day can use the BRIN index of that day.
    """
    await Partitions(store).ensure("requests", [date(2026, 8, 1)])
    await sql.execute("SET enable_seqscan = off")

    plan = await sql.fetch(
        "EXPLAIN SELECT * FROM requests WHERE trace_id = '01234567-89ab-cdef-0123-456789abcdef'"
    )

    assert any("requests_20260801_trace_id_idx" in row[0] for row in plan)
