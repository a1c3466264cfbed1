"""
The figures of requests that are columns, as the query `exact_requests` gives those of rows. Pure.
"""

from __future__ import annotations

import math

from typing import Any

import numpy as np

from monitord.store.archive.columns import Requests
from monitord.store.sums import Ints


SHARES = (0.5, 0.95, 0.99)


def exact(requests: Requests, most: int) -> list[dict[str, Any]]:
    """
    Return the figures of all requests, and then of each of the endpoints with the most.

    `endpoint_id` is None for all of them; `endpoints` is how many endpoints there were.
    """
    by_endpoint = requests.take(np.argsort(requests.endpoint_id, kind="stable"))
    ids, starts, counts = np.unique(by_endpoint.endpoint_id, return_index=True, return_counts=True)
    rows = [{"endpoint_id": None, **figures(requests)}]
    for place in np.lexsort((ids, -counts))[:most].tolist():
        part = by_endpoint.take(slice(starts[place], starts[place] + counts[place]))
        rows.append({"endpoint_id": int(ids[place]), **figures(part)})
    return [{**row, "endpoints": len(ids)} for row in rows]


def figures(requests: Requests) -> dict[str, Any]:
    """Return what some requests took in microseconds; without any, that is None."""
    count = len(requests)
    errors = (requests.status >= 500) | requests.failed
    found: dict[str, Any] = {"count": count, "errors": int(errors.sum())}
    if not count:
        return {**found, "avg_us": None, "ranked_us": None, "max_us": None}
    ascending = np.sort(requests.duration_us)
    return {
        **found,
        "avg_us": int(ascending.sum()) / count,
        "ranked_us": [nearest_rank(ascending, share) for share in SHARES],
        "max_us": int(ascending[-1]),
    }


def nearest_rank(ascending: Ints, share: float) -> int:
    """Return the smallest value that at least this share of all does not exceed."""
    return int(ascending[math.ceil(share * len(ascending)) - 1])
