"""What is written without a design: one wide table of texts with five B-trees, in three ways."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import asyncpg

from monitord.model import Request


Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Record = tuple[Any, ...]

TABLE = """
CREATE TABLE wide (
    at timestamptz NOT NULL,
    metric text NOT NULL,
    service text NOT NULL,
    method text NOT NULL,
    route text NOT NULL,
    status int4 NOT NULL,
    duration_ms float8 NOT NULL,
    trace_id text,
    error text
);
CREATE INDEX ON wide (at);
CREATE INDEX ON wide (trace_id);
CREATE INDEX ON wide (route, at);
CREATE INDEX ON wide (metric);
CREATE INDEX ON wide (status);
"""

INSERT = "INSERT INTO wide VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"


def record(request: Request) -> Record:
    """Return a request as a row of the table."""
    return (
        datetime.fromtimestamp(request.time, UTC),
        "http_request_duration",
        request.service,
        request.method,
        request.route,
        request.status,
        request.duration_ms,
        request.trace_id,
        request.error.type if request.error else None,
    )


async def insert(connection: Connection, records: Sequence[Record]) -> None:
    for one in records:
        await connection.execute(INSERT, *one)


async def insert_many(connection: Connection, records: Sequence[Record]) -> None:
    await connection.executemany(INSERT, records)


async def copy(connection: Connection, records: Sequence[Record]) -> None:
    await connection.copy_records_to_table("wide", records=records)
