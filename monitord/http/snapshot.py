"""All that one overview is made of, at one instant; `gather` takes it, `overview` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from msgspec import Struct

from monitord.http.answers import Spark, StoreState
from monitord.http.onsets import Judged
from monitord.latency import RequestStats
from monitord.model import TargetStatus


# (target, name of the value); the target of the application's requests is "".
Key = tuple[str, str]
Points = Sequence[tuple[float, float]]


class Loss(Struct, frozen=True):
    """Events monitord lost in the last minutes: which, how many, and since when."""

    what: str
    count: float
    grave: bool
    since: float | None = None


class Snapshot(Struct, frozen=True):
    """
    The numbers of one instant. Times are Unix seconds.

    `numbers` are the targets' by (target, value, window in seconds), `requests` the statistics by
    window (None: of the picked range), `trails` the newest points of a value, oldest first, and
    `sparks` the same over the picked range. What is not in there is unknown, unless it is in
    `empty`: there all was read, and there is no number. `within` is, by (kind, target), the
    shortest window in seconds that counters are looked back over. `onsets` say since when a figure
    of the requests, looked back over a window, is beyond its limits.
    """

    at: float
    range_seconds: float
    targets: Sequence[TargetStatus]
    numbers: Mapping[tuple[str, str, float], float]
    requests: Mapping[float | None, RequestStats | None]
    empty: Set[tuple[str, str, float]] = frozenset()
    within: Mapping[tuple[str, str], float] = {}
    trails: Mapping[Key, Points] = {}
    sparks: Mapping[Key, Spark] = {}
    onsets: Mapping[Judged, float | None] = {}
    losses: Sequence[Loss] = ()
    waiting: float = 0
    store: StoreState = StoreState(up=True)
    requests_from_store: bool = True
    insecure: bool = False
