"""Pushed histograms over time: their minutes put together again, and what quantiles they have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from monitord.store import cells
from monitord.store.samples import Observations


# So many minutes of all series are put together for one answer; each has its buckets with it.
MOST_MINUTES = 50_000


def merged(rows: Sequence[Mapping[str, Any]]) -> Observations:
    """
    Return the observations of stored histograms together; there is at least one.

    Raises ValueError: their cells are not what they should be.
    """
    _, (keys, counts) = cells.unpack_all(cells.VALUES, [row["cells"] for row in rows])
    unique, place = np.unique(keys.astype(np.int64), return_inverse=True)
    return Observations(
        sum(row["count"] for row in rows),
        sum(row["sum"] for row in rows),
        min(row["min"] for row in rows),
        max(row["max"] for row in rows),
        unique,
        np.bincount(place, counts).astype(np.int64),
    )


def quantile_points(rows: Iterable[Mapping[str, Any]], share: float) -> list[dict[str, Any]]:
    """Return one quantile by series and step, of histograms that know their `start`."""
    held: dict[tuple[Any, Any], list[Mapping[str, Any]]] = {}
    for row in rows:
        held.setdefault((row["series_id"], row["start"]), []).append(row)
    return [
        {"series_id": series, "start": start, "value": merged(some).quantile(share)}
        for (series, start), some in held.items()
    ]
