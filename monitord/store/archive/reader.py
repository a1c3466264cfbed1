"""Reads requests out of the archive. A chunk that is damaged is said, never left out in silence."""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np

from monitord.errors import StoreError
from monitord.store.archive.chunks import DamagedChunk, decoded
from monitord.store.archive.columns import Requests, joined
from monitord.store.archive.rows import copied
from monitord.store.archive.trace_filter import block_hash, may_hold
from monitord.store.connection import Connection
from monitord.store.copying import one_us
from monitord.store.queries import queries
from monitord.store.requests import moment


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
    connection: Connection, host_id: int, trace_id: UUID, start: float, end: float
) -> Requests:
    """
    Return the archived requests of one trace in [start, end), Unix seconds, in order of time.

    Only the chunks whose filters know the id are read, one after the other.

    Raises ArchiveDamaged: such a chunk is. Any root of asyncpg's errors.
    """
    rows = queries().filters_between(
        connection,
        host_id=host_id,
        since=moment(start),
        until=moment(end),
        block=block_hash(trace_id.bytes),
    )
    filters = [row async for row in rows]
    found = []
    for row in filters:
        if may_hold(row["bits"], trace_id.bytes):
            chunk = await queries().find_chunk(
                connection, host_id=host_id, at=row["at"], chunk=row["chunk"]
            )
            requests = await asyncio.to_thread(within, [chunk], start, end)
            same = requests.trace == np.void(trace_id.bytes)
            found.append(requests.take(requests.has_trace & same))
    return in_order(joined(found))


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


def in_order(requests: Requests) -> Requests:
    return requests.take(np.argsort(requests.at_us, kind="stable"))
