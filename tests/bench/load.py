"""What the application does in these benchmarks: 200 endpoints, few of them asked for often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from numpy.typing import NDArray


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
