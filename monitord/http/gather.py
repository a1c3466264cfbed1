"""Takes the snapshot an overview is made of: from memory, and from the store what is older."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from monitord.errors import StoreError, StoreUnreachable
from monitord.http.answers import StoreState
from monitord.http.intervals import every_of, fresh
from monitord.http.kpis import BANNER_WINDOW, Kpi, judged
from monitord.http.onsets import Judged, Onsets
from monitord.http.ports import Ports
from monitord.http.snapshot import Loss, Snapshot
from monitord.http.sources import REQUEST_MEMORY, in_time
from monitord.http.trails import Sparks, trails
from monitord.http.values import VALUES, RequestValue, TargetValue, View
from monitord.latency import RequestStats
from monitord.model import TargetStatus


LOSS_WINDOW = 300.0

# Counter of losses -> what is said of it, and whether events that had been taken are gone by it.
LOSSES = {
    "monitord.events.dropped": ("events were dropped because the spool took none", True),
    "monitord.spool.lost": ("events were lost because a write to disk failed", True),
    "monitord.spool.damaged": ("records waiting on disk were damaged", True),
    "monitord.ingest.lost": ("events were lost between an application and monitord", True),
    "monitord.ingest.kernel_drops": ("datagrams were dropped by the kernel", True),
    "monitord.ingest.rejected": ("events were rejected as malformed", False),
    "monitord.store.refused": ("events were refused by the store", True),
    "monitord.emit.dropped": ("events were dropped by an application's emitter", True),
}
# Told by the applications; all others are monitord's own.
PUSHED = "monitord.emit.dropped"


# The statistics of requests, and whether the store gave them.
Counted = tuple[RequestStats | None, bool]


def snapshot(
    ports: Ports, onsets: Onsets, range_seconds: float, counted: Counted, sparks: Sparks
) -> Snapshot:
    """Return the numbers of this instant for all cards and rows."""
    now = ports.now()
    targets = ports.window.targets()
    stats, from_store = counted
    numbers = dict(_numbers(ports, targets, range_seconds))
    store = ports.store
    windows = _windows(ports)
    return Snapshot(
        at=now,
        range_seconds=range_seconds,
        targets=targets,
        within={key: fresh(every) for key, every in every_of(ports.settings).items()},
        numbers={key: number for key, number in numbers.items() if number is not None},
        empty={key for key, number in numbers.items() if number is None},
        requests={**windows, None: stats},
        trails=dict(trails(ports)),
        onsets=dict(_onsets(ports, onsets, windows, now)),
        sparks=sparks,
        losses=list(_losses(ports, now)),
        waiting=ports.telemetry.total("monitord_spool_pending_events"),
        store=StoreState(store.up, store.since, store.detail),
        requests_from_store=from_store,
        insecure=ports.settings.insecure,
    )


async def request_stats(ports: Ports, seconds: float) -> Counted:
    """
    Return the statistics of the last `seconds`, and whether the store gave them.

    Memory stands in, for its last 6 hours at most.
    """
    now = ports.now()
    try:
        return await in_time(ports.requests.stats(now - seconds, now)), True
    except (StoreError, StoreUnreachable):
        return ports.window.requests(min(seconds, REQUEST_MEMORY)), False


def _windows(ports: Ports) -> dict[float | None, RequestStats | None]:
    """Return the statistics of every short window that a card, a row or the banner is judged by."""
    found = {k.window for k in ports.kpis if isinstance(VALUES[k.value], RequestValue)}
    seconds = {window or BANNER_WINDOW for window in found}
    return {window: ports.window.requests(window) for window in seconds}


def _onsets(
    ports: Ports,
    onsets: Onsets,
    windows: Mapping[float | None, RequestStats | None],
    now: float,
) -> Iterator[tuple[Judged, float | None]]:
    """Yield since when each figure of the requests that is bad now is bad."""
    for kpi in ports.kpis:
        value, seconds = VALUES[kpi.value], kpi.window or BANNER_WINDOW
        stats = windows.get(seconds)
        if not isinstance(value, RequestValue) or kpi.limits is None or stats is None:
            continue
        if judged(value, kpi.limits, stats) in ("warning", "critical"):
            key = (kpi.value, seconds, kpi.limits)
            yield key, onsets.since(key, now)


def _numbers(
    ports: Ports, targets: Iterable[TargetStatus], range_seconds: float
) -> Iterator[tuple[tuple[str, str, float], float | None]]:
    """Yield the numbers of the targets that are up; None where it is known that there is none."""
    every = every_of(ports.settings)
    asked = _asked(ports.kpis, range_seconds)
    for status in targets:
        if not status.up:
            continue
        view = View(ports.window, status.target, fresh(every.get((status.kind, status.target))))
        for name, seconds in asked:
            value = VALUES[name]
            if isinstance(value, TargetValue) and value.kind == status.kind:
                number = value.read(view, seconds)
                if number is not None or value.empty(view, seconds):
                    yield (status.target, name, seconds), number


def _asked(kpis: Iterable[Kpi], range_seconds: float) -> set[tuple[str, float]]:
    return {(name, kpi.window or range_seconds) for kpi in kpis for name in kpi.names}


def _losses(ports: Ports, now: float) -> Iterator[Loss]:
    for name, (what, grave) in LOSSES.items():
        service, own = (None, {}) if name == PUSHED else ("", {"target": "monitord"})
        count = ports.window.total(name, LOSS_WINDOW, service=service, **own)
        if count:
            begun = [
                point.at
                for _, points in ports.window.series(name, service=service, **own)
                for point in points
                if point.value > 0 and point.at > now - LOSS_WINDOW
            ]
            yield Loss(what, count, grave, min(begun, default=None))
