"""What the application does in these benchmarks: 200 endpoints, few of them asked for often."""

from __future__ import annotations

import os

from dataclasses import dataclass

import numpy as np

from numpy.typing import NDArray

from monitord.store.request_rows import RequestColumns


SERVICE, METHOD = "shop", "GET"
ENDPOINTS = 200
NAMES = [(SERVICE, METHOD, f"/resource{number}/{{id}}") for number in range(ENDPOINTS)]

ERRORS = 0.03

# Every endpoint is met so often before chance begins: the rarest would hardly be met otherwise.
AT_LEAST = 12

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Requests as columns; `endpoint` is a place in NAMES."""

    endpoint: Ints
    status: Ints
    duration_us: Ints

    def columns(self, ids: Ints, at_us: Ints) -> RequestColumns:
        """Return what the writer makes of them at these moments; `ids` are the numbers of NAMES."""
        count = len(self.endpoint)
        return RequestColumns(
            at_us=at_us,
            duration_us=self.duration_us,
            trace=np.frombuffer(os.urandom(16 * count), "V16"),
            has_trace=np.ones(count, np.bool_),
            error_id=np.ones(count, np.int64),
            failed=self.status == 500,
            endpoint_id=ids[self.endpoint],
            status=self.status,
            valid=np.ones(count, np.bool_),
            place=np.arange(count),
        )


def draw_requests(draw: np.random.Generator, count: int, *, every: bool = False) -> Drawn:
    """
    Draw requests: popularity exponential, 3 % errors, latencies log-normal around 7 to 150 ms.

    With `every`, the first ones are AT_LEAST of each endpoint.
    """
    endpoint = draw.exponential(20, count).astype(np.int64) % ENDPOINTS
    if every:
        first = min(count, AT_LEAST * ENDPOINTS)
        endpoint[:first] = np.arange(first) % ENDPOINTS
    median = 2 + endpoint * (3 / ENDPOINTS)
    return Drawn(
        endpoint,
        np.where(draw.random(count) < ERRORS, 500, 200),
        np.rint(draw.lognormal(median, 0.8) * 1000).astype(np.int64),
    )
