"""Histograms of OTLP as our distributions: an exponential one of scale 6, count by key."""

from __future__ import annotations

import math

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from monitord.histogram import SCALE, ZERO_TO_FIRST, signed_index, signed_value
from monitord.ingest.decoded import Code, Refused
from monitord.ingest.limits import BUCKETS
from monitord.ingest.otlp.tally import OFFSET, Tally, coarser
from monitord.model import Distribution


# The scales that exponential histograms have in practice are within these.
COARSEST, FINEST = -10, 20
MOST = 2**32 - 1


class Range(NamedTuple):
    """The least and the largest value, where they are known."""

    least: float | None
    largest: float | None


def range_of(point: Any) -> Range:
    """Return the range a point states."""
    return Range(
        point.min if point.HasField("min") else None,
        point.max if point.HasField("max") else None,
    )


def explicit_tally(point: Any) -> Tally:
    """Return what a histogram with bounds has counted. Raises Refused."""
    counts, bounds = point.bucket_counts, point.explicit_bounds
    if len(counts) != (len(bounds) + 1 if bounds or counts else 0) or len(counts) > BUCKETS:
        raise Refused(
            Code.INVALID_FIELD,
            f"bucket_counts: expected one more than explicit_bounds, at most {BUCKETS:,}, got"
            f" {len(counts)} and {len(bounds)}",
        )
    held = {number: count for number, count in enumerate(counts) if count}
    if not counts and point.count:
        held = {0: point.count}
    return Tally(point.sum, held)


def explicit(added: Tally, bounds: Sequence[float], has_sum: bool, within: Range) -> Distribution:
    """
    Return the distribution of counts between bounds, each at one value between its two.

    That is their middle, after what is known of the range. Raises Refused.
    """
    if not all(map(math.isfinite, bounds)) or list(bounds) != sorted(bounds):
        raise Refused(Code.INVALID_FIELD, "explicit_bounds: expected ascending finite numbers")
    _check_count(added.count)
    mean = added.sum / added.count if has_sum else 0.0
    values = [_middle(number, bounds, within, mean) for number in added.counts]
    counts = list(added.counts.values())
    buckets: dict[int, int] = {}
    for key, count in zip(signed_index(np.array(values)).tolist(), counts, strict=True):
        buckets[key] = buckets.get(key, 0) + count
    total = added.sum if has_sum else _sum(values, counts)
    return Distribution(added.count, total, min(values), max(values), buckets)


def _sum(values: Sequence[float], counts: Iterable[int]) -> float:
    return sum(value * count for value, count in zip(values, counts, strict=True))


def _middle(number: int, bounds: Sequence[float], within: Range, mean: float) -> float:
    """Return the value that stands for a bucket, (lower, upper]."""
    if not bounds:
        return mean if math.isfinite(mean) else 0.0
    lower = bounds[number - 1] if number else None
    upper = bounds[number] if number < len(bounds) else None
    if within.least is not None and (lower is None or within.least > lower):
        lower = within.least if upper is None else min(within.least, upper)
    if within.largest is not None and (upper is None or within.largest < upper):
        upper = within.largest if lower is None else max(within.largest, lower)
    if lower is None:
        # Nearly everything that is measured begins at zero.
        lower = min(0.0, upper or 0.0)
    middle = lower if upper is None else lower / 2 + upper / 2
    return middle if math.isfinite(middle) else 0.0


def exponential_tally(point: Any) -> Tally:
    """Return what an exponential histogram has counted. Raises Refused."""
    if not COARSEST <= point.scale <= FINEST:
        raise Refused(
            Code.INVALID_FIELD, f"scale: expected {COARSEST} to {FINEST}, got {point.scale}"
        )
    if len(point.positive.bucket_counts) + len(point.negative.bucket_counts) > BUCKETS:
        raise Refused(Code.INVALID_FIELD, f"bucket_counts: expected at most {BUCKETS:,}")
    counts = {0: point.zero_count} if point.zero_count else {}
    for sign, side in ((1, point.positive), (-1, point.negative)):
        for key, count in enumerate(side.bucket_counts, side.offset + OFFSET):
            if count:
                counts[sign * key] = count
    return Tally(point.sum, counts, point.scale)


def exponential(added: Tally, has_sum: bool) -> Distribution:
    """
    Return the distribution of an exponential histogram's counts. Raises Refused.

    Nothing is lost at scale 6 and above. The buckets of a lower scale are wider than ours: all
    they hold is in the middle one of ours.
    """
    assert added.scale is not None
    _check_count(added.count)
    buckets: dict[int, int] = {}
    for key, count in added.counts.items():
        ours = _our_key(key, added.scale)
        buckets[ours] = buckets.get(ours, 0) + count
    values: list[float] = signed_value(np.array(list(buckets))).tolist()
    total = added.sum if has_sum else _sum(values, buckets.values())
    return Distribution(added.count, total, min(values), max(values), buckets)


def _our_key(key: int, scale: int) -> int:
    if key == 0:
        return 0
    if scale >= SCALE:
        index = abs(coarser(key, scale - SCALE)) - OFFSET
    else:
        wider = SCALE - scale
        index = (abs(key) - OFFSET << wider) + (1 << wider - 1)
    # A double lies between 2^-1074 and 2^1024.
    if not -1_080 << SCALE < index < (1_024 << SCALE) - 1:
        raise Refused(Code.INVALID_FIELD, "offset: expected buckets that hold a 64-bit float")
    ours = index + ZERO_TO_FIRST
    return ours if key > 0 else -ours


def _check_count(count: int) -> None:
    if count > MOST:
        raise Refused(Code.INVALID_FIELD, f"count: expected at most {MOST:,}, got {count:,}")
