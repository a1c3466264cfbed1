"""Reads what people did or noticed: the marks on charts."""

from __future__ import annotations

import json

from msgspec import Struct

from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.requests import moment
from monitord.store.text import clean


class StoredAnnotation(Struct, frozen=True, kw_only=True):
    """Something people did or noticed at `time`, Unix seconds. `id` is its identity."""

    id: str
    time: float
    title: str
    service: str
    kind: str
    text: str
    attributes: dict[str, str]


class AnnotationReader:
    """The annotations of this instance."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def between(
        self, start: float, end: float, service: str, limit: int
    ) -> list[StoredAnnotation]:
        """
        Return the newest annotations of [start, end), Unix seconds, newest first.

        With a service it is those of that service, and those of none, which concern all.

        Raises StoreUnreachable, StoreError.
        """
        async with self._store.connection() as connection:
            rows = queries().annotations_between(
                connection,
                host_id=self._store.host_id,
                since=moment(start),
                until=moment(end),
                service=clean(service),
                most=limit,
            )
            return [
                StoredAnnotation(
                    id=f"{row['writer']}-{row['seq']}-{row['index']}",
                    time=row["at"].timestamp(),
                    title=row["title"],
                    service=row["service"],
                    kind=row["kind"],
                    text=row["text"],
                    attributes=json.loads(row["attributes"]),
                )
                async for row in rows
            ]
