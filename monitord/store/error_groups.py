"""The kinds of exceptions a drain brings, added to those known, in the transaction of its rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np

from msgspec import Struct

from monitord.model import ErrorInfo, Frame, Log, Request, Span
from monitord.store.connection import Connection
from monitord.store.log_rows import LogRow
from monitord.store.places import Place, Places
from monitord.store.queries import queries
from monitord.store.request_rows import RequestColumns, trace_bytes
from monitord.store.span_rows import SpanRow
from monitord.store.sums import Ints
from monitord.store.text import clean, json_bytes


# Groups of a host; above that one entry stands for the rest, unless others were silent for so long
# that they make room.
MOST = 5_000
OVERFLOW = 0
SILENT_SECONDS = 30 * 86_400.0

# What comes back after so long a silence has regressed.
QUIET_SECONDS = 7 * 86_400.0

MESSAGE_CHARACTERS = 8 * 1024


class Seen(NamedTuple):
    """Events of one group and one type: how many, the first, the last, and the place of that."""

    error_id: int
    events: int
    first_us: int
    last_us: int
    newest: int


class Group(Struct):
    """What a drain adds to a group; `newest` is where its newest event is."""

    error_id: int
    first_us: int
    last_us: int
    newest: Place
    counts: dict[str, int]

    def add(self, other: Group) -> None:
        """Add what another one, of any id, has seen."""
        if other.last_us > self.last_us:
            self.last_us, self.newest = other.last_us, other.newest
        self.first_us = min(self.first_us, other.first_us)
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count


class Endpoint(NamedTuple):
    """What a drain adds to a group at one endpoint."""

    error_id: int
    endpoint_id: int
    events: int
    first_us: int
    last_us: int


async def add_error_groups(
    connection: Connection,
    frames: Sequence[Frame],
    requests: RequestColumns,
    logs: Sequence[LogRow],
    spans: Sequence[SpanRow],
    host_id: int,
) -> None:
    """
    Add the exceptions of rows that were written to their groups, in the caller's transaction.

    Raises: any of asyncpg's errors.
    """
    failed = requests.where(requests.failed)
    found = groups_in(
        {
            "request": seen(failed.error_id, failed.at_us, failed.place),
            "log": seen(*columns_of(logs)),
            "span": seen(*columns_of(spans)),
        }
    )
    if not found:
        return
    kept = await kept_ids(connection, found.keys(), host_id)
    await put_groups(connection, under(found.values(), kept), Places(frames), host_id)
    await put_endpoints(connection, endpoints_in(failed, kept), host_id)


def columns_of(rows: Sequence[LogRow] | Sequence[SpanRow]) -> tuple[Ints, Ints, Ints]:
    """Return group, time and place of the rows that have an exception."""
    failed = [(row.error_id, row.at_us, row.place) for row in rows if row.error_id is not None]
    table = np.array(failed, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def seen(error_id: Ints, at_us: Ints, place: Ints) -> list[Seen]:
    """Sum up events by their group."""
    if not len(error_id):
        return []
    order = np.lexsort((at_us, error_id))
    ids, ats = error_id[order], at_us[order]
    starts = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    ends = np.append(starts[1:], len(ids)) - 1
    columns = (ids[starts], ends - starts + 1, ats[starts], ats[ends], place[order][ends])
    return [Seen(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def groups_in(by_kind: Mapping[str, Sequence[Seen]]) -> dict[int, Group]:
    """Put what was seen of each type together, by group."""
    found: dict[int, Group] = {}
    for kind, some in by_kind.items():
        for one in some:
            place = (kind, one.newest)
            group = Group(one.error_id, one.first_us, one.last_us, place, {kind: one.events})
            if one.error_id in found:
                found[one.error_id].add(group)
            else:
                found[one.error_id] = group
    return found


async def kept_ids(connection: Connection, ids: Collection[int], host_id: int) -> Mapping[int, int]:
    """
    Return under which id each group is kept: its own, or OVERFLOW's for want of room.

    Groups that were silent for long are dropped for new ones.
    """
    rows = queries().known_error_groups(connection, host_id=host_id, ids=list(ids))
    known = {row["error_id"] async for row in rows}
    room = MOST - await queries().count_error_groups(connection, host_id=host_id)
    new = sorted(set(ids) - known)
    if len(new) > room:
        room += await queries().drop_silent_error_groups(
            connection,
            host_id=host_id,
            but=list(known),
            silent_seconds=SILENT_SECONDS,
            most=len(new) - room,
        )
    rest = set(new[max(0, room) :])
    return {each: OVERFLOW if each in rest else each for each in ids}


def under(groups: Iterable[Group], kept: Mapping[int, int]) -> list[Group]:
    """Return the groups by the ids they are kept under, ascending."""
    placed: dict[int, Group] = {}
    for group in groups:
        group.error_id = kept[group.error_id]
        if group.error_id in placed:
            placed[group.error_id].add(group)
        else:
            placed[group.error_id] = group
    return [placed[each] for each in sorted(placed)]


def endpoints_in(failed: RequestColumns, kept: Mapping[int, int]) -> list[Endpoint]:
    """Sum up failed requests by group and endpoint, ascending."""
    placed = np.array([kept[each] for each in failed.error_id.tolist()], np.int64)
    found: list[Endpoint] = []
    for endpoint in np.unique(failed.endpoint_id).tolist():
        here = failed.endpoint_id == endpoint
        found += [
            Endpoint(one.error_id, endpoint, one.events, one.first_us, one.last_us)
            for one in seen(placed[here], failed.at_us[here], failed.place[here])
        ]
    return sorted(found)


async def put_groups(
    connection: Connection, groups: Sequence[Group], places: Places, host_id: int
) -> None:
    newest = [newest_of(group, places) for group in groups]
    await queries().add_error_groups(
        connection,
        host_id=host_id,
        quiet_seconds=QUIET_SECONDS,
        error_ids=[group.error_id for group in groups],
        firsts_us=[group.first_us for group in groups],
        lasts_us=[group.last_us for group in groups],
        requests=[group.counts.get("request", 0) for group in groups],
        logs=[group.counts.get("log", 0) for group in groups],
        spans=[group.counts.get("span", 0) for group in groups],
        services=[clean(event.service) for event, _ in newest],
        types=[clean(error.type) for _, error in newest],
        messages=[clean(error.message)[:MESSAGE_CHARACTERS] for _, error in newest],
        errors=[json_bytes(error).decode() for _, error in newest],
        traces=[trace_bytes(event.trace_id) for event, _ in newest],
    )


def newest_of(group: Group, places: Places) -> tuple[Request | Log | Span, ErrorInfo]:
    """Return the newest event of a group, and its exception."""
    event = cast(Request | Log | Span, places.event(group.newest))
    assert event.error is not None
    return event, event.error


async def put_endpoints(
    connection: Connection, endpoints: Sequence[Endpoint], host_id: int
) -> None:
    if endpoints:
        error_ids, endpoint_ids, counts, firsts, lasts = map(list, zip(*endpoints, strict=True))
        await queries().add_error_group_endpoints(
            connection,
            host_id=host_id,
            error_ids=error_ids,
            endpoint_ids=endpoint_ids,
            firsts_us=firsts,
            lasts_us=lasts,
            requests=counts,
        )
