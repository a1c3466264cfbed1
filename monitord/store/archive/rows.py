"""Requests that are rows still, read into columns by the binary COPY."""

from __future__ import annotations

import asyncio

from typing import Any

import numpy as np

from monitord.store.archive.columns import Requests
from monitord.store.connection import Connection
from monitord.store.copying import HEADER, TRAILER
from monitord.store.sums import Ints


# A row of the queries `requests_to_pack` and `rows_between`: every field has its length before it.
# They give no null, so that all rows are of one length.
COPIED = np.dtype(
    [
        *[("fields", ">i2"), ("l_at", ">i4"), ("at", ">i8")],
        *[("l_duration", ">i4"), ("duration", ">i8")],
        *[("l_trace", ">i4"), ("trace", "V16"), ("l_has_trace", ">i4"), ("has_trace", "?")],
        *[("l_error", ">i4"), ("error", ">i8"), ("l_failed", ">i4"), ("failed", "?")],
        *[("l_endpoint", ">i4"), ("endpoint", ">i4"), ("l_status", ">i4"), ("status", ">i2")],
        *[("l_host", ">i4"), ("host", ">i2")],
    ]
)


async def copied(connection: Connection, query: Any, *values: Any) -> tuple[Requests, Ints]:
    """
    Return the requests of a named query above, and the host of each.

    Raises: any root of asyncpg's errors.
    """
    parts: list[bytes] = []

    async def keep(part: bytes) -> None:
        parts.append(part)

    select = query.sql.rstrip(";")
    await connection.copy_from_query(select, *values, output=keep, format="binary")
    return await asyncio.to_thread(of_copy, b"".join(parts))


def of_copy(data: bytes) -> tuple[Requests, Ints]:
    """Return the requests of a binary COPY, and the host of each."""
    rows = np.frombuffer(data[len(HEADER) : -len(TRAILER)], COPIED)
    requests = Requests(
        at_us=rows["at"].astype(np.int64),
        duration_us=rows["duration"].astype(np.int64),
        status=rows["status"].astype(np.int64),
        endpoint_id=rows["endpoint"].astype(np.int64),
        error_id=rows["error"].astype(np.int64),
        failed=rows["failed"],
        trace=rows["trace"],
        has_trace=rows["has_trace"],
    )
    return requests, rows["host"].astype(np.int64)
