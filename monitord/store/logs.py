"""Reads stored log lines, newest first, a page at a time."""

from __future__ import annotations

import re
import time

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from msgspec import Struct, structs

from monitord.errors import StoreUnreachable
from monitord.model import LEVELS, ErrorInfo, Log, LogLine
from monitord.store.connection import Connection
from monitord.store.log_filter import Filter, log_filter
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.requests import moment


# A search reads this much time first and then twice as much at every step back.
FIRST_SLICE = timedelta(minutes=15)

# A line may say it is from a little later than now: clocks differ.
AHEAD_SECONDS = 660.0

# A page is answered after this long with what was found; its `next` goes on from there.
DEADLINE_SECONDS = 2.0

NAMES = {number: name for name, number in LEVELS.items()}

CURSOR = re.compile(r"(\d{1,19})-(\d{1,19})-(\d{1,10})", re.ASCII)


class LogPage(Struct, frozen=True):
    """
    Lines, newest first. `next` is the cursor that gives the page after this one, None at the end.

    `gap` says that the line the page was to begin before is not stored (any more). With
    `searched_since` (Unix seconds) the search was ended by its deadline there: lines further back
    may match, and `next` goes on.
    """

    lines: list[LogLine]
    next: str | None
    gap: bool = False
    searched_since: float | None = None


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """A line's place in the order of pages."""

    at: datetime
    writer: int
    seq: int
    index: int


class LogReader:
    """The log lines of this instance."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(
        self,
        *,
        before: str | None = None,
        limit: int = 100,
        level_at_least: int | None = None,
        text: str = "",
        since: float | None = None,
        until: float | None = None,
    ) -> LogPage:
        """
        Return the newest lines of [since, until), Unix seconds, that come before a cursor.

        The text is looked for as it stands, in upper or lower case, in the message, logger,
        service, exception (type and message) and fields (keys and values), and at the head of the
        trace id. (An index of words would miss most of what is looked for in logs: parts of paths,
        keys and identifiers.) The search walks back in doubling slices of time under a deadline
        of its own.

        Raises StoreUnreachable, StoreError. ValueError: the cursor is not of the form
        writer-seq-index.
        """
        wanted = log_filter(level_at_least or 0, text)
        identity = parse(before) if before else None
        oldest = moment(max(since or 0.0, time.time() - self._store.retention.logs - 2 * 86_400))
        async with self._store.connection() as connection:
            place, gap = await self._start(connection, identity, until)
            if place is None:
                return LogPage([], None, gap)
            page = await self._walk(connection, place, oldest, wanted, limit)
            return structs.replace(page, gap=gap)

    async def _start(
        self, connection: Connection, identity: tuple[int, int, int] | None, until: float | None
    ) -> tuple[Place | None, bool]:
        """Return the place the page begins before, and whether its line is missing."""
        top = Place(moment(time.time() + AHEAD_SECONDS if until is None else until), 0, 0, 0)
        if identity is None:
            return top, False
        keys = dict(zip(("writer", "seq", "index"), identity, strict=True))
        at = await queries().find_log(connection, host_id=self._store.host_id, **keys)
        if at is not None:
            return min(top, Place(at, *identity)), False
        row = await queries().log_before(connection, host_id=self._store.host_id, **keys)
        if row is None:
            return None, True
        # That line itself may be shown: the page begins right after it.
        return min(top, Place(row["at"], row["writer"], row["seq"], row["index"] + 1)), True

    async def _walk(
        self, connection: Connection, place: Place, oldest: datetime, wanted: Filter, limit: int
    ) -> LogPage:
        """Read slice after slice until the page is full, the time is up, or nothing is left."""
        lines: list[LogLine] = []
        deadline = time.monotonic() + DEADLINE_SECONDS
        upper, width = place.at + timedelta(microseconds=1), FIRST_SLICE
        while upper > oldest and len(lines) < limit:
            lower = max(oldest, upper - width)
            left = deadline - time.monotonic()
            try:
                async with connection.transaction(readonly=True):
                    lines += await self._slice(
                        connection, (lower, upper), place, wanted, limit - len(lines), left
                    )
            except asyncpg.QueryCanceledError:
                return await self._interrupted(connection, place, upper, lines)
            upper, width = lower, width * 2
        return LogPage(lines, lines[-1].cursor if len(lines) == limit else None)

    async def _slice(
        self,
        connection: Connection,
        span: tuple[datetime, datetime],
        place: Place,
        wanted: Filter,
        most: int,
        seconds: float,
    ) -> list[LogLine]:
        await queries().limit_statement(connection, milliseconds=str(max(1, int(seconds * 1000))))
        rows = queries().log_slice(
            connection,
            host_id=self._store.host_id,
            since=span[0],
            until=span[1],
            most=most,
            **asdict(place),
            **wanted._asdict(),
        )
        return [line(row) async for row in rows]

    async def _interrupted(
        self, connection: Connection, place: Place, searched: datetime, lines: list[LogLine]
    ) -> LogPage:
        """
        Return the page of a search that came as far as *searched* before its time was up.

        Raises StoreUnreachable: it came nowhere.
        """
        last = None
        if searched < place.at:
            last = await queries().oldest_log(
                connection, host_id=self._store.host_id, since=searched, until=place.at
            )
        if last is None:
            raise StoreUnreachable(f"store: no answer within {DEADLINE_SECONDS:g} s")
        cursor = f"{last['writer']}-{last['seq']}-{last['index']}"
        return LogPage(lines, cursor, searched_since=searched.timestamp())


def parse(cursor: str) -> tuple[int, int, int]:
    """
    Return the identity a cursor names.

    Raises ValueError: it is not of the form writer-seq-index, or out of range.
    """
    match = CURSOR.fullmatch(cursor)
    numbers = [int(part) for part in match.groups()] if match else []
    if not numbers or max(numbers[:2]) >= 2**63 or numbers[2] >= 2**31:
        raise ValueError(f"cursor: expected writer-seq-index, got {cursor[:60]!r}")
    writer, seq, index = numbers
    return writer, seq, index


def line(row: Mapping[str, Any]) -> LogLine:
    """Return a stored row as the line it was."""
    error, fields, trace = row["error"], row["fields"], row["trace_id"]
    log = Log(
        time=row["at"].timestamp(),
        service=row["service"],
        level=NAMES.get(row["level"], "INFO"),
        message=row["message"],
        logger=row["logger"],
        trace_id=trace.hex if trace else None,
        fields=msgspec.json.decode(fields) if fields else {},
        error=msgspec.json.decode(error, type=ErrorInfo) if error else None,
    )
    return LogLine(row["writer"], row["seq"], row["index"], log)
