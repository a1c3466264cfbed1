"""The one transaction of a drain: the ledger, its rows, what they add to the rollups, its ids."""

from __future__ import annotations

import asyncio
import itertools

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from monitord.model import Frame
from monitord.store import log_rows, request_rows, samples, span_rows, sums
from monitord.store.annotation_rows import AnnotationRow, put_annotations
from monitord.store.connection import Connection
from monitord.store.copying import framed, stretches
from monitord.store.drain import Drain
from monitord.store.error_groups import add_error_groups
from monitord.store.event_ids import Claim, decide, remember
from monitord.store.halving import Write
from monitord.store.log_rows import LogRow
from monitord.store.metric_rollups import roll_late
from monitord.store.places import Identity, Place
from monitord.store.queries import queries
from monitord.store.request_rows import RequestColumns
from monitord.store.samples import MINUTE_US, SampleColumns
from monitord.store.span_rows import SpanRow
from monitord.store.sums import Ints


# So many events of one id are tried, one after the other, until one is not refused.
ATTEMPTS = 10
NO_TURN = "too many events of its id were refused before it"


class AlreadyApplied(Exception):
    """Exactly these frames of the drain are in the store already, each by its (writer, seq)."""

    def __init__(self, frames: frozenset[Identity]) -> None:
        super().__init__(f"{len(frames)} frames")
        self.frames = frames


async def apply(
    connection: Connection, drain: Drain, host_id: int, kept_seconds: float, write: Write
) -> Drain:
    """
    Write a drain in the caller's transaction, its rows by `write`; return it without duplicates.

    The rollups get exactly the rows that were written, and so do the ids that are remembered: an
    event that is refused gives way to the next of its id, though all have to be written anew then.
    Samples are kept for `kept_seconds`.

    Raises AlreadyApplied: some of the frames came again. Any of asyncpg's errors.
    """
    await mark_applied(connection, drain.frames, host_id)
    for attempt in itertools.count(1):
        first, judged = await without_duplicates(connection, drain, host_id)
        if judged.duplicates:
            await connection.execute("SAVEPOINT judged")
        refused = await write_rows(connection, judged, host_id, kept_seconds, write)
        wronged = given_way(drain.claims, first, refused, judged.duplicates)
        if not wronged:
            break
        await connection.execute("ROLLBACK TO judged; RELEASE judged")
        drain = drain.excluding(refused)
        if attempt >= ATTEMPTS:
            drain = drain.refusing(wronged, NO_TURN)
    await remember(connection, [one for one in first if one.place not in refused], host_id)
    return judged


async def without_duplicates(
    connection: Connection, drain: Drain, host_id: int
) -> tuple[Sequence[Claim], Drain]:
    """Return the claims that are first of their id, and the drain without the others' events."""
    if not drain.claims:
        return (), drain
    verdict = await decide(connection, drain.claims, drain.frames, host_id)
    return verdict.first, drain.without(verdict.duplicates)


def given_way(
    claims: Sequence[Claim],
    first: Sequence[Claim],
    refused: Collection[Place],
    duplicates: Collection[Place],
) -> set[Place]:
    """Return the events that were left out for one of their id which then was refused."""
    if not refused or not duplicates:
        return set()
    free = {claim.key for claim in first if claim.place in refused}
    return {
        claim.place
        for claim in claims
        if claim.key in free and claim.place is not None and claim.place in duplicates
    }


async def write_rows(
    connection: Connection, drain: Drain, host_id: int, kept_seconds: float, write: Write
) -> set[Place]:
    """Write the rows and what they add to the rollups; return the places of those left out."""
    requests, logs, points = drain.requests, drain.logs, drain.samples
    spans, annotations = drain.spans, drain.annotations
    kept = await write(
        "request",
        requests.place,
        lambda rows: copy_requests(connection, only(requests, rows), host_id),
    )
    await add_deltas(connection, only(requests, kept), drain.frames[-1], host_id)
    kept_logs = await write(
        "log", places_of(logs), lambda rows: copy_logs(connection, [logs[row] for row in rows])
    )
    kept_spans = await write(
        "span", places_of(spans), lambda rows: copy_spans(connection, [spans[row] for row in rows])
    )
    kept_annotations = await write(
        "annotation",
        places_of(annotations),
        lambda rows: put_annotations(connection, [annotations[row] for row in rows], host_id),
    )
    kept_samples = await write(
        "metric",
        points.place,
        lambda rows: put_samples(connection, points.take(rows), host_id, kept_seconds),
    )
    await add_error_groups(
        connection,
        drain.frames,
        only(requests, kept),
        [logs[row] for row in kept_logs],
        [spans[row] for row in kept_spans],
        host_id,
    )
    return {
        *left_out("request", requests.place, kept),
        *left_out("log", places_of(logs), kept_logs),
        *left_out("metric", points.place, kept_samples),
        *left_out("span", places_of(spans), kept_spans),
        *left_out("annotation", places_of(annotations), kept_annotations),
    }


def places_of(rows: Sequence[LogRow | SpanRow | AnnotationRow]) -> Ints:
    return np.fromiter((row.place for row in rows), np.int64, len(rows))


def only(requests: RequestColumns, rows: Ints) -> RequestColumns:
    """Return the rows of these ascending numbers; all of them, as nearly always, are not copied."""
    return requests if len(rows) == len(requests) else requests.take(rows)


def left_out(kind: str, places: Ints, kept: Ints) -> Iterator[Place]:
    """Yield the places of the rows that are not among those kept."""
    if len(kept) < len(places):
        yield from ((kind, row) for row in np.delete(places, kept).tolist())


async def mark_applied(connection: Connection, frames: Sequence[Frame], host_id: int) -> None:
    """
    Put the frames into the ledger. The runs in order, so that no two transactions wait in a ring.

    Raises AlreadyApplied: some of them are in it.
    """
    seqs: dict[int, list[int]] = {}
    for frame in frames:
        seqs.setdefault(frame.writer, []).append(frame.seq)
    found: set[Identity] = set()
    for writer in sorted(seqs):
        run = {"host_id": host_id, "writer": writer, "seqs": seqs[writer]}
        if not await queries().mark_applied(connection, **run):
            again = await queries().applied_among(connection, **run)
            found.update((writer, seq) for seq in again)
    if found:
        raise AlreadyApplied(frozenset(found))


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


async def copy_spans(connection: Connection, rows: Sequence[SpanRow]) -> None:
    parts = (b"".join(row.data for row in some) for some in stretches(rows))
    await connection.copy_to_table(
        "fresh_spans", source=framed(parts), columns=span_rows.COLUMNS, format="binary"
    )


async def add_deltas(
    connection: Connection, requests: RequestColumns, last: Frame, host_id: int
) -> None:
    """
    Add one delta per minute, told from those of other drains by the last frame's (writer, seq).

    No other delta has the same: a frame is in the ledger once, and so are the drains it was in.
    """
    minutes = requests.at_us // MINUTE_US
    rows: dict[int, dict[str, Any]] = {}
    for minute in np.unique(minutes).tolist():
        built = []
        for some in requests.where(minutes == minute).stretches():
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
