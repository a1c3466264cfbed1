"""What is said about a set of requests, whoever counted them: the memory window or the store."""

from __future__ import annotations

from msgspec import Struct

from monitord.histogram import Histogram


QUANTILES = (0.5, 0.95, 0.99)


class RequestStats(Struct, frozen=True):
    """
    The requests of a window of `seconds`.

    `errors` are those with a status of 500 or above or an exception, `client_errors` the others
    with 400 or above; no request counts in both. Durations are None when there was no request.
    """

    count: int
    errors: int
    client_errors: int
    avg_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    seconds: float

    @property
    def per_second(self) -> float:
        """Requests a second over the window."""
        return self.count / self.seconds if self.seconds > 0 else 0.0


def stats(
    histogram: Histogram,
    *,
    errors: int,
    client_errors: int,
    sum_ms: float,
    max_ms: float,
    seconds: float,
) -> RequestStats:
    """
    Return what a histogram and the totals counted beside it say.

    A quantile never exceeds the maximum, which is exact.
    """
    count = histogram.count
    if count == 0:
        return RequestStats(0, errors, client_errors, None, None, None, None, None, seconds)
    p50, p95, p99 = (
        None if value is None else min(value, max_ms) for value in histogram.quantiles(QUANTILES)
    )
    return RequestStats(
        count, errors, client_errors, sum_ms / count, p50, p95, p99, max_ms, seconds
    )
