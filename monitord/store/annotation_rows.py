"""Annotations as rows, each with the identity of its event."""

from __future__ import annotations

import math

from collections.abc import Sequence
from typing import NamedTuple

from monitord.model import Annotation, Frame
from monitord.store.connection import Connection
from monitord.store.copying import one_us
from monitord.store.queries import queries
from monitord.store.text import clean, json_bytes


# Annotations of a host; above that the oldest go. It has no partitions that could be dropped.
MOST = 5_000


class AnnotationRow(NamedTuple):
    """One annotation of a frame ready to be written; `place` is where in its drain it came."""

    at_us: int
    frame: Frame
    number: int
    place: int

    @property
    def annotation(self) -> Annotation:
        return self.frame.batch.annotations[self.number]


def annotation_row(frame: Frame, index: int, place: int) -> AnnotationRow:
    """
    Return the row of one annotation of a frame; `index` is its place among the frame's.

    Raises ValueError: it has no time.
    """
    time = frame.batch.annotations[index].time
    if not math.isfinite(time):
        raise ValueError(f"time is {time}")
    return AnnotationRow(one_us(time), frame, index, place)


async def put_annotations(
    connection: Connection, rows: Sequence[AnnotationRow], host_id: int
) -> None:
    """Write annotations, and let go of the oldest. Raises: any of asyncpg's errors."""
    if not rows:
        return
    events = [row.annotation for row in rows]
    await queries().add_annotations(
        connection,
        host_id=host_id,
        writers=[row.frame.writer for row in rows],
        seqs=[row.frame.seq for row in rows],
        indexes=[row.number for row in rows],
        ats_us=[row.at_us for row in rows],
        services=[clean(event.service) for event in events],
        kinds=[clean(event.kind) for event in events],
        titles=[clean(event.title) for event in events],
        texts=[clean(event.text) for event in events],
        attributes=[json_bytes(event.attributes).decode() for event in events],
    )
    await queries().drop_oldest_annotations(connection, host_id=host_id, most=MOST)
