"""Reads what there is to say about each endpoint over any window, from rollups alone."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from msgspec import Struct

from monitord.store import cells, sums
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.requests import moment
from monitord.store.sums import Counts, Ints, Tallies
from monitord.store.tiers import cover, window


class EndpointStats(Struct, frozen=True):
    """
    The requests of one endpoint over a window; durations in ms.

    Count, errors, average and maximum are exact, quantiles within histogram.RELATIVE_ERROR.
    """

    service: str
    method: str
    route: str
    count: int
    errors: int
    client_errors: int
    avg_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class EndpointReader:
    """The endpoints of this instance."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def stats(self, start: float, end: float) -> list[EndpointStats]:
        """
        Return the figures of every endpoint asked for in [start, end), Unix seconds.

        The window is widened as RequestReader.stats widens it, so that the counts add up to its.
        Empty: nothing was recorded.

        Raises StoreUnreachable, StoreError.
        """
        now, kept = time.time(), self._store.retention
        since, until = window(start, end, now - kept.rollup_minutes, now - kept.rollup_hours)
        rows = await self._parts(since, until)
        if not rows:
            return []
        figures = await asyncio.to_thread(added, rows)
        async with self._store.connection() as connection:
            names = queries().endpoints_by_id(
                connection, host_id=self._store.host_id, ids=list(figures)
            )
            return [
                EndpointStats(row["service"], row["method"], row["route"], *figures[row["id"]])
                async for row in names
            ]

    async def _parts(self, since: int, until: int) -> list[Mapping[str, Any]]:
        spans = cover(since, until)
        async with self._store.connection() as connection:
            rows = queries().endpoint_parts(
                connection,
                host_id=self._store.host_id,
                tiers=[span.tier for span in spans],
                firsts=[moment(span.first) for span in spans],
                lasts=[moment(span.last) for span in spans],
                since=moment(since),
                until=moment(until),
            )
            return [row async for row in rows]


def added(rows: Sequence[Mapping[str, Any]]) -> dict[int, tuple[Any, ...]]:
    """
    Return what rollup rows that do not overlap say by endpoint; there is at least one row.

    The figures are the fields of EndpointStats after its name.
    """
    _, columns = cells.unpack_all(cells.TALLIES, [row["tallies"] for row in rows])
    whole = sums.add_tallies(Tallies(*(each.astype(np.int64) for each in columns)))
    counts = added_cells((row["cells"] for row in rows), whole.endpoint)
    p50, p95, p99 = sums.ranked_ms(counts, whole.endpoint, whole.count, whole.max_us)
    figures = (
        *(whole.count, whole.errors, whole.client_errors),
        *(whole.sum_us / whole.count / 1000, p50, p95, p99, whole.max_us / 1000),
    )
    by_endpoint = zip(*(each.tolist() for each in figures), strict=True)
    return dict(zip(whole.endpoint.tolist(), by_endpoint, strict=True))


def added_cells(packed: Iterable[bytes], endpoints: Ints) -> Counts:
    """
    Return the sum of packed cells, of endpoints that are given in order and each once.

    Sorting the cells of a month together would take seconds. So every possible cell has a place of
    its own instead; those nobody touches cost no memory.
    """
    turns = np.zeros(int(endpoints[-1]) + 1, np.int64)
    turns[endpoints] = np.arange(len(endpoints))
    dense = np.zeros(len(endpoints) << sums.BUCKET_BITS, np.int64)
    for each in packed:
        endpoint, bucket, count = cells.unpack(cells.CELLS, each)
        # Of other types than these two, the same call takes thirty times as long.
        place = ((turns[endpoint] << sums.BUCKET_BITS) | bucket).astype(np.intp)
        np.add.at(dense, place, count.astype(np.int64))
    places = np.flatnonzero(dense)
    turn, bucket = np.divmod(places, 1 << sums.BUCKET_BITS)
    return Counts((endpoints[turn] << sums.BUCKET_BITS) | bucket, dense[places])
