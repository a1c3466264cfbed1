"""Reads the kinds of exceptions there are: which were seen when, where, and the newest of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from msgspec import Struct

from monitord.model import ErrorInfo
from monitord.store.connection import Connection
from monitord.store.error_groups import MESSAGE_CHARACTERS as WHOLE_MESSAGE
from monitord.store.error_groups import OVERFLOW
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.requests import moment
from monitord.store.text import clean
from monitord.store.walk import walk_back


# Endpoints of a group in a list of groups, and of a group by itself.
FEW_ENDPOINTS = 5
MANY_ENDPOINTS = 50

# So much of a message tells one group from another; a group by itself has all of it.
MESSAGE_CHARACTERS = 500

# The newest requests of a group, and how long they are looked for.
NEWEST_REQUESTS = 20
DEADLINE_SECONDS = 1.0


class ErrorGroup(Struct, frozen=True, kw_only=True):
    """
    One kind of exception: its type, and the functions of the application it passed.

    How many requests, logs and spans had it is counted since `first_seen`, Unix seconds. Message,
    service and trace are those of the newest. It regressed when it came back after a week without.
    """

    id: str
    type: str
    message: str
    service: str
    first_seen: float
    last_seen: float
    regressed_at: float | None
    requests: int
    logs: int
    spans: int
    trace_id: str | None


class ErrorPlace(Struct, frozen=True, kw_only=True):
    """An endpoint whose requests failed with an exception of one kind."""

    service: str
    method: str
    route: str
    requests: int
    first_seen: float
    last_seen: float


class ErrorRequest(Struct, frozen=True, kw_only=True):
    """A request that failed with an exception of one kind. `time` is Unix seconds of its end."""

    time: float
    service: str
    method: str
    route: str
    status: int
    duration_ms: float
    trace_id: str | None


class ErrorsSeen(Struct, frozen=True):
    """Groups, the one seen last first, with their places; `left_out` is how many more there are."""

    groups: list[tuple[ErrorGroup, list[ErrorPlace]]]
    left_out: int


class ErrorDetail(Struct, frozen=True, kw_only=True):
    """
    All of one group. `sample` is the newest exception.

    With `searched_since` (Unix seconds) the search for requests was ended there by its deadline.
    """

    group: ErrorGroup
    sample: ErrorInfo
    endpoints: list[ErrorPlace]
    newest: list[ErrorRequest]
    searched_since: float | None


class ErrorReader:
    """The exceptions of this instance."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def seen(self, start: float, end: float, service: str, limit: int) -> ErrorsSeen:
        """
        Return the groups that were seen from `start` on and before `end`, Unix seconds.

        Of a group the first and the last time are known: one that was seen both before and after is
        among them. With a service it is those that were seen in it.

        Raises StoreUnreachable, StoreError.
        """
        async with self._store.connection() as connection:
            found = queries().error_groups_seen(
                connection,
                host_id=self._store.host_id,
                since=moment(start),
                until=moment(end),
                service=clean(service),
                message_characters=MESSAGE_CHARACTERS,
                most=limit,
            )
            rows = [row async for row in found]
            ids = [row["error_id"] for row in rows]
            places = await self._places(connection, ids, FEW_ENDPOINTS)
        total = rows[0]["total"] if rows else 0
        return ErrorsSeen(
            [(group(row), places.get(row["error_id"], [])) for row in rows], total - len(rows)
        )

    async def one(self, error_id: int) -> ErrorDetail | None:
        """
        Return a group, None when there is none of this id.

        Its requests are read row by row, newest first, for a second at most.

        Raises StoreUnreachable, StoreError.
        """
        async with self._store.connection() as connection:
            groups = await self.by_id(connection, [error_id], WHOLE_MESSAGE)
            sample = await queries().error_sample(
                connection, host_id=self._store.host_id, error_id=error_id
            )
            if not groups or sample is None:
                return None
            by_id = await self._places(connection, [error_id], MANY_ENDPOINTS)
            places = by_id.get(error_id, [])
            newest: list[ErrorRequest] = []
            came_to = None
            # What is above the cap has ids of its own in the rows.
            if places and error_id != OVERFLOW:
                came_to = await self._newest(connection, error_id, places, newest)
        return ErrorDetail(
            group=groups[0],
            sample=msgspec.json.decode(sample, type=ErrorInfo),
            endpoints=places,
            newest=newest,
            searched_since=came_to.timestamp() if came_to else None,
        )

    async def by_id(
        self, connection: Connection, ids: Sequence[int], characters: int = MESSAGE_CHARACTERS
    ) -> list[ErrorGroup]:
        """Return those of some groups that are stored, the one that was seen first of all first."""
        rows = queries().error_groups_by_id(
            connection, host_id=self._store.host_id, ids=ids, message_characters=characters
        )
        return sorted([group(row) async for row in rows], key=lambda one: one.first_seen)

    async def _places(
        self, connection: Connection, ids: Sequence[int], most: int
    ) -> dict[int, list[ErrorPlace]]:
        """Return the endpoints of some groups, those with the most failed requests first."""
        rows = queries().error_group_places(
            connection, host_id=self._store.host_id, ids=ids, most=most
        )
        found: dict[int, list[ErrorPlace]] = {}
        async for row in rows:
            found.setdefault(row["error_id"], []).append(place(row))
        return found

    async def _newest(
        self,
        connection: Connection,
        error_id: int,
        places: Sequence[ErrorPlace],
        into: list[ErrorRequest],
    ) -> datetime | None:
        """Add the newest requests of a group; return how far back they were looked for."""

        async def read(since: datetime, until: datetime) -> datetime | None:
            rows = queries().error_group_requests(
                connection,
                host_id=self._store.host_id,
                error_id=error_id,
                since=since,
                until=until,
                most=NEWEST_REQUESTS - len(into),
            )
            into.extend([error_request(row) async for row in rows])
            return None if len(into) == NEWEST_REQUESTS else since

        # Seconds as floats are good for microseconds, but not to the last one.
        last = moment(max(one.last_seen for one in places) + 0.001)
        first = moment(min(one.first_seen for one in places) - 0.001)
        return await walk_back(connection, last, first, DEADLINE_SECONDS, read)


def group(row: Mapping[str, Any]) -> ErrorGroup:
    trace, regressed = row["trace_id"], row["regressed_at"]
    return ErrorGroup(
        id=str(row["error_id"]),
        type=row["type"],
        message=row["message"],
        service=row["service"],
        first_seen=row["first_seen_at"].timestamp(),
        last_seen=row["last_seen_at"].timestamp(),
        regressed_at=regressed.timestamp() if regressed else None,
        requests=row["requests"],
        logs=row["logs"],
        spans=row["spans"],
        trace_id=trace.hex if trace else None,
    )


def place(row: Mapping[str, Any]) -> ErrorPlace:
    return ErrorPlace(
        service=row["service"],
        method=row["method"],
        route=row["route"],
        requests=row["requests"],
        first_seen=row["first_seen_at"].timestamp(),
        last_seen=row["last_seen_at"].timestamp(),
    )


def error_request(row: Mapping[str, Any]) -> ErrorRequest:
    return ErrorRequest(
        time=row["at"].timestamp(),
        service=row["service"],
        method=row["method"],
        route=row["route"],
        status=row["status"],
        duration_ms=row["duration_us"] / 1000,
        trace_id=row["trace_id"].hex if row["trace_id"] else None,
    )
