"""Reads which series there are: what can be drawn, not its points."""

from __future__ import annotations

import json

from collections.abc import Mapping

from msgspec import Struct

from monitord.store.log_filter import log_filter
from monitord.store.pool import Store
from monitord.store.queries import queries
from monitord.store.text import clean, cleaned


class Series(Struct, frozen=True, kw_only=True):
    """
    One series of a metric. A scraped one has no service.

    `last_seen` is Unix seconds of its newest sample, of a histogram to the minute; None when no
    sample is kept as it was.
    """

    name: str
    kind: str
    unit: str
    service: str
    attributes: dict[str, str]
    last_seen: float | None


class SeriesFound(Struct, frozen=True):
    """Series by name and service; `left_out` is how many more there are."""

    series: list[Series]
    left_out: int


class SeriesReader:
    """The series of this instance."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(
        self, name: str, service: str, attributes: Mapping[str, str], limit: int
    ) -> SeriesFound:
        """
        Return the series with this text in their names and at least these attributes.

        "" is any name or service.

        Raises StoreUnreachable, StoreError.
        """
        async with self._store.connection() as connection:
            found = queries().series_like(
                connection,
                host_id=self._store.host_id,
                names=log_filter(0, name).texts,
                service=clean(service),
                attributes=json.dumps(cleaned(dict(attributes))),
                most=limit,
            )
            rows = [row async for row in found]
        series = [
            Series(
                name=row["name"],
                kind=row["kind"],
                unit=row["unit"],
                service=row["service"],
                attributes=json.loads(row["attributes"]),
                last_seen=row["last_at"].timestamp() if row["last_at"] else None,
            )
            for row in rows
        ]
        return SeriesFound(series, rows[0]["total"] - len(rows) if rows else 0)
