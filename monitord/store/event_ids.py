"""Leaving out what came twice: events by their `id`, whole batches by their idempotency key."""

from __future__ import annotations

import asyncio
import hashlib
import uuid

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from monitord.model import LISTS, Frame
from monitord.store.connection import Connection
from monitord.store.copying import DAY_US, STRETCH, one_us, stretches
from monitord.store.places import Place, Places, events_of
from monitord.store.queries import queries
from monitord.store.text import utf8


# How far apart two frames must have been received for one id to stand for two events.
WINDOW_US = DAY_US

# What a batch's key is of, where an event's has its type.
BATCH = "batch"

id_of = attrgetter("id")


class Claim(NamedTuple):
    """
    An id that came with a frame, and what it is of: the event at `place`, or the frame when None.

    `frame` is the frame's number in the drain; `at_us` is when it was received.
    """

    key: uuid.UUID
    at_us: int
    frame: int
    place: Place | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which claims are the first of their id, and which events are to be left out for one."""

    first: Sequence[Claim]
    duplicates: frozenset[Place]


async def claims_of(frames: Sequence[Frame]) -> list[Claim]:
    """Return the ids of all events and batches, frame by frame, a batch's before its events'."""
    claims: list[Claim] = []
    pause_at = STRETCH
    starts = dict.fromkeys(LISTS, 0)
    for number, frame in enumerate(frames):
        if frame.batch.idempotency_key:
            key = key_of(BATCH, "", frame.batch.idempotency_key)
            claims.append(Claim(key, one_us(frame.batch.received_at), number, None))
        for kind in LISTS:
            events = events_of(frame, kind)
            # Nearly all come without one: they are passed over without a turn of the interpreter.
            if events and any(map(id_of, events)):
                for some in stretches(range(len(events))):
                    claims += claims_in(frame, number, (kind, starts[kind]), some)
                    if len(claims) >= pause_at:
                        pause_at = len(claims) + STRETCH
                        await asyncio.sleep(0)
            starts[kind] += len(events)
    return claims


def claims_in(frame: Frame, number: int, first: Place, indexes: Sequence[int]) -> list[Claim]:
    """Return the ids of some of a frame's events of a type, the first of which is at `first`."""
    kind, start = first
    at_us, events = one_us(frame.batch.received_at), events_of(frame, kind)
    return [
        Claim(key_of(kind, event.service, event.id), at_us, number, (kind, start + index))
        for index in indexes
        if (event := events[index]).id
    ]


def key_of(kind: str, service: str, text: str) -> uuid.UUID:
    """Return the digest under which an id is kept."""
    # No part holds a NUL, so no two lists of parts are one text.
    parts = b"\0".join((kind.encode(), utf8(service), utf8(text)))
    return uuid.UUID(bytes=hashlib.blake2b(parts, digest_size=16).digest())


async def decide(
    connection: Connection, claims: Sequence[Claim], frames: Sequence[Frame], host_id: int
) -> Verdict:
    """
    Tell the claims whose id is new from those that came before, in the caller's transaction.

    Frames are not applied in the order they came, so an id is looked for before and after its own
    moment. The lock holds until the transaction ends: who asks next sees what `remember` wrote.
    """
    await queries().lock_event_ids(connection, host_id=host_id)
    moments = [claim.at_us for claim in claims]
    known = queries().known_event_ids(
        connection,
        host_id=host_id,
        keys=sorted({claim.key for claim in claims}),
        from_us=min(moments) - WINDOW_US,
        to_us=max(moments) + WINDOW_US,
    )
    seen: dict[uuid.UUID, list[int]] = {}
    async for row in known:
        seen.setdefault(row["key"], []).append(row["at_us"])
    return await judged(claims, seen, Places(frames))


async def judged(
    claims: Sequence[Claim], seen: dict[uuid.UUID, list[int]], places: Places
) -> Verdict:
    """Go through the claims in their order; those that are first are added to `seen`."""
    first: list[Claim] = []
    duplicates: set[Place] = set()
    skipped: set[int] = set()
    for some in stretches(claims):
        for claim in some:
            if claim.frame in skipped:
                continue
            moments = seen.setdefault(claim.key, [])
            if not any(abs(at_us - claim.at_us) < WINDOW_US for at_us in moments):
                moments.append(claim.at_us)
                first.append(claim)
            elif claim.place is None:
                skipped.add(claim.frame)
            else:
                duplicates.add(claim.place)
        await asyncio.sleep(0)
    return Verdict(first, frozenset(duplicates.union(places.of_frames(skipped))))


async def remember(connection: Connection, claims: Sequence[Claim], host_id: int) -> None:
    """Keep ids whose events were written, in the same transaction."""
    if claims:
        await queries().add_event_ids(
            connection,
            host_id=host_id,
            keys=[claim.key for claim in claims],
            ats_us=[claim.at_us for claim in claims],
        )
