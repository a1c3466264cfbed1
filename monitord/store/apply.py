"""The one transaction of a drain: its rows, what they add to the rollups, and the run's mark."""

from __future__ import annotations

import asyncio

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from monitord.model import Frame
from monitord.store import log_rows, request_rows, samples, sums
from monitord.store.connection import Connection
from monitord.store.copying import framed, stretches
from monitord.store.drain import Drain
from monitord.store.halving import Write
from monitord.store.log_rows import LogRow
from monitord.store.metric_rollups import roll_late
from monitord.store.queries import queries
from monitord.store.request_rows import RequestColumns
from monitord.store.samples import MINUTE_US, SampleColumns


class AlreadyApplied(Exception):
    """Frames of this drain are in the store: their commit was made, its answer was lost."""

    def __init__(self, writer: int, last_seq: int) -> None:
        super().__init__(f"frames of {writer} up to {last_seq}")
        self.writer = writer
        self.last_seq = last_seq


async def apply(
    connection: Connection, drain: Drain, host_id: int, kept_seconds: float, write: Write
) -> None:
    """
    Write a drain in the caller's transaction, its rows by `write`.

    The rollups get exactly the rows that were written. Samples are kept for `kept_seconds`.

    Raises AlreadyApplied: the frames came again. Any of asyncpg's errors.
    """
    await advance(connection, drain.frames, host_id)
    requests, logs, points = drain.requests, drain.logs, drain.samples
    kept = await write(
        "request",
        len(requests),
        lambda rows: copy_requests(connection, requests.take(rows), host_id),
    )
    await add_deltas(connection, requests.take(kept), drain.frames[-1], host_id)
    await write("log", len(logs), lambda rows: copy_logs(connection, [logs[row] for row in rows]))
    await write(
        "metric",
        len(points),
        lambda rows: put_samples(connection, points.take(rows), host_id, kept_seconds),
    )


async def advance(connection: Connection, frames: Sequence[Frame], host_id: int) -> None:
    """
    Move the marks of the runs past these frames.

    Raises AlreadyApplied: some of them lie behind a mark.
    """
    for writer, some in groupby(frames, lambda frame: frame.writer):
        seqs = [frame.seq for frame in some]
        moved = await queries().advance_writer(
            connection, host_id=host_id, writer=writer, first_seq=seqs[0], last_seq=seqs[-1]
        )
        if moved is None:
            last = await queries().last_seq(connection, host_id=host_id, writer=writer)
            raise AlreadyApplied(writer, last)


async def copy_requests(connection: Connection, requests: RequestColumns, host_id: int) -> None:
    parts = (request_rows.copy_rows(some, host_id) for some in requests.stretches())
    await connection.copy_to_table(
        "requests", source=framed(parts), columns=request_rows.COLUMNS, format="binary"
    )


async def copy_logs(connection: Connection, rows: Sequence[LogRow]) -> None:
    parts = (b"".join(row.data for row in some) for some in stretches(rows))
    await connection.copy_to_table(
        "logs", source=framed(parts), columns=log_rows.COLUMNS, format="binary"
    )


async def add_deltas(
    connection: Connection, requests: RequestColumns, last: Frame, host_id: int
) -> None:
    """Add one delta per minute; the last frame's number tells it from those of other drains."""
    minutes = requests.at_us // MINUTE_US
    rows: dict[int, dict[str, Any]] = {}
    for minute in np.unique(minutes).tolist():
        built = []
        for some in requests.take(minutes == minute).stretches():
            built.append(sums.build(some.endpoint_id, some.status, some.failed, some.duration_us))
            await asyncio.sleep(0)
        rows[minute] = sums.to_row(sums.merge(built), with_quantiles=False)
    if rows:
        names = next(iter(rows.values()))
        await queries().add_deltas(
            connection,
            host_id=host_id,
            writer=last.writer,
            seq=last.seq,
            minutes_us=[minute * MINUTE_US for minute in rows],
            **{name: [row[name] for row in rows.values()] for name in names},
        )


async def put_samples(
    connection: Connection, points: SampleColumns, host_id: int, kept_seconds: float
) -> None:
    """Write samples of all kinds; those that meet an earlier one of the same moment join it."""
    gauges = samples.last_values(points.take(points.kind == samples.GAUGE))
    counters = samples.summed(points.take(points.kind == samples.COUNTER))
    for put, some in ((queries().put_gauges, gauges), (queries().put_counters, counters)):
        if len(some):
            await put(
                connection,
                host_id=host_id,
                series_ids=some.series_id.tolist(),
                ats_us=some.at_us.tolist(),
                values=some.value.tolist(),
            )
    await roll_late(
        connection, points.take(points.kind != samples.HISTOGRAM), host_id, kept_seconds
    )
    await put_histograms(connection, points.take(points.kind == samples.HISTOGRAM), host_id)


async def put_histograms(connection: Connection, points: SampleColumns, host_id: int) -> None:
    """Add observations to the histograms of their minutes."""
    merged = samples.by_minute(points)
    if not merged:
        return
    series_ids, ats_us = map(list, zip(*merged, strict=True))
    stored = queries().lock_metric_histograms(
        connection, host_id=host_id, series_ids=series_ids, ats_us=ats_us
    )
    async for row in stored:
        key = row["series_id"], row["at_us"]
        merged[key] = merged[key].merge(samples.observations_of(row))
    values = merged.values()
    await queries().put_metric_histograms(
        connection,
        host_id=host_id,
        series_ids=series_ids,
        ats_us=ats_us,
        counts=[one.count for one in values],
        sums=[one.sum for one in values],
        mins=[one.min for one in values],
        maxs=[one.max for one in values],
        cells=[one.packed() for one in values],
    )
