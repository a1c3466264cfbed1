"""Reads requests out of the archive. A chunk that is damaged is said, never left out in silence."""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from monitord.errors import StoreError
from monitord.store.archive.chunks import DamagedChunk, decoded
from monitord.store.archive.columns import NOTHING, Requests, joined
from monitord.store.archive.rows import copied
from monitord.store.archive.trace_filter import block_hash, may_hold
from monitord.store.connection import Connection
from monitord.store.copying import EPOCH_SECONDS, one_us
from monitord.store.queries import queries
from monitord.store.requests import moment
from monitord.store.sums import Ints


EPOCH = datetime.fromtimestamp(EPOCH_SECONDS, UTC)


class ArchiveDamaged(StoreError):
    """Requests that were archived cannot be read any more."""


@contextlib.asynccontextmanager
async def one_view(connection: Connection) -> AsyncIterator[None]:
    """
    Read in a transaction in which every request is either a row of `request_rows` or in a chunk.

    A snapshot alone would not do: it does not show the tables that were there when it was made.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await queries().hold_requests(connection)
        yield


async def all_requests(
    connection: Connection, host_id: int, start: float, end: float, *, with_traces: bool = True
) -> Requests:
    """
    Return the requests of [start, end), Unix seconds, rows and archived ones, in order of time.

    Each once where the caller reads in `one_view`.

    Raises: as archived_requests.
    """
    query = queries().rows_between
    rows, _ = await copied(connection, query, host_id, moment(start), moment(end))
    packed = await archived_requests(connection, host_id, start, end, with_traces=with_traces)
    return in_order(joined([rows, packed]))


async def archived_requests(
    connection: Connection, host_id: int, start: float, end: float, *, with_traces: bool = True
) -> Requests:
    """
    Return the archived requests of [start, end), Unix seconds, in order of time.

    Without their trace ids, which are three quarters of the bytes, reading is quicker.

    Raises ArchiveDamaged: a chunk is. Any root of asyncpg's errors.
    """
    rows = queries().chunks_between(
        connection,
        host_id=host_id,
        since=moment(start),
        until=moment(end),
        with_traces=with_traces,
    )
    found = [row async for row in rows]
    return await asyncio.to_thread(within, found, start, end)


async def archived_of_trace(
    connection: Connection, host_id: int, trace_id: UUID, start: float, end: float, most: int
) -> Requests:
    """
    Return the archived requests of one trace in [start, end), Unix seconds, in order of time: so
    many of the oldest, for a trace id may be that of everything there is.

    Only the chunks whose filters know the id are read, one after the other.

    Raises ArchiveDamaged: such a chunk is. Any root of asyncpg's errors.
    """
    found = NOTHING
    for chunk in await chunks_with(connection, host_id, trace_id, start, end):
        if len(found) == most and us_of(chunk["at"]) > found.at_us[-1]:
            break
        part = await of_trace_in(connection, host_id, chunk, trace_id, start, end)
        found = in_order(joined([found, part])).take(slice(most))
    return found


async def archived_trace_ends(
    connection: Connection, host_id: int, trace_id: UUID, start: float, end: float
) -> Ints:
    """
    Return when the first and the last archived request of a trace in [start, end) ended, PostgreSQL
    microseconds; nothing of a trace that has none.

    Raises: as archived_of_trace.
    """
    ends = NOTHING.at_us
    for chunk in await chunks_with(connection, host_id, trace_id, start, end):
        part = await of_trace_in(connection, host_id, chunk, trace_id, start, end)
        ends = np.sort(np.concatenate((ends, part.at_us)))[[0, -1]] if len(part) else ends
    return ends


async def chunks_with(
    connection: Connection, host_id: int, trace_id: UUID, start: float, end: float
) -> list[Mapping[str, Any]]:
    """Return `at` and `chunk` of the chunks whose filters know a trace id, in order of time."""
    rows = queries().filters_between(
        connection,
        host_id=host_id,
        since=moment(start),
        until=moment(end),
        block=block_hash(trace_id.bytes),
    )
    return [row async for row in rows if may_hold(row["bits"], trace_id.bytes)]


async def of_trace_in(
    connection: Connection,
    host_id: int,
    chunk: Mapping[str, Any],
    trace_id: UUID,
    start: float,
    end: float,
) -> Requests:
    """Return the requests of a trace in one chunk."""
    whole = await queries().find_chunk(
        connection, host_id=host_id, at=chunk["at"], chunk=chunk["chunk"]
    )
    requests = await asyncio.to_thread(within, [whole], start, end)
    return requests.take(requests.has_trace & (requests.trace == np.void(trace_id.bytes)))


def within(chunks: Sequence[Mapping[str, Any]], start: float, end: float) -> Requests:
    """
    Return the requests of chunks that lie in [start, end), Unix seconds, in order of time.

    Raises ArchiveDamaged.
    """
    whole = joined([unpacked(chunk) for chunk in chunks])
    return in_order(whole.take((whole.at_us >= one_us(start)) & (whole.at_us < one_us(end))))


def unpacked(chunk: Mapping[str, Any]) -> Requests:
    """
    Return the requests of one row of `request_archive`.

    Raises ArchiveDamaged.
    """
    try:
        return decoded(chunk["count"], chunk["numbers"], chunk["traces"])
    except DamagedChunk as error:
        at = chunk["at"].isoformat()
        raise ArchiveDamaged(
            f"store: the chunk of request_archive at {at} is damaged: {error}"
        ) from error


def us_of(at: datetime) -> int:
    """Return a moment in PostgreSQL's microseconds, exactly."""
    return (at - EPOCH) // timedelta(microseconds=1)


def in_order(requests: Requests) -> Requests:
    return requests.take(np.argsort(requests.at_us, kind="stable"))
