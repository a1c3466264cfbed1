"""One key figure of one target, judged: value, text, state, since when. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile, takewhile

from msgspec import Struct
from msgspec.structs import replace

from monitord.http import units
from monitord.http.answers import State
from monitord.http.kpis import PLACEHOLDER, Kpi, Limits, judged
from monitord.http.snapshot import Points, Snapshot
from monitord.http.values import KINDS, VALUES, RequestValue, TargetValue
from monitord.latency import RequestStats
from monitord.model import Reason, TargetStatus


class Figure(Struct, frozen=True):
    """
    A judged value. `reason` says why it is bad or unknown; `since` is Unix seconds.

    It is not `configured` when there is no target of its kind.
    """

    kpi: Kpi
    target: str
    value: float | None
    text: str
    state: State
    since: float | None = None
    down_since: float | None = None
    reason: str = ""
    configured: bool = True


def figures(kpi: Kpi, snapshot: Snapshot) -> list[Figure]:
    """Return the figure of each target it applies to, in the order of the settings; never empty."""
    kind = VALUES[kpi.value].kind
    if kind == "api":
        return [_shown(_known(kpi, "", snapshot), snapshot)]
    targets = [status for status in snapshot.targets if status.kind == kind]
    found = [_of_target(kpi, status, snapshot) for status in targets]
    if not found:
        absent = _unknown(kpi, "", f"no {KINDS[kind]} target is configured")
        found = [replace(absent, configured=False)]
    return [_shown(figure, snapshot) for figure in found]


def _shown(figure: Figure, snapshot: Snapshot) -> Figure:
    """Return the figure with the window it was read over, which its title may name."""
    kpi = figure.kpi
    value, window = VALUES[kpi.value], kpi.window
    if window is not None and isinstance(value, TargetValue) and value.counted:
        window = max(window, snapshot.within.get((value.kind, figure.target), 0.0))
    title = kpi.title.replace("{window}", units.span(window or snapshot.range_seconds))
    return replace(figure, kpi=replace(kpi, window=window, title=title))


def worst(found: Sequence[Figure]) -> Figure:
    """Return the one to show when there is room for one: a bad one, else one that is known."""
    order: dict[State, int] = {"critical": 0, "warning": 1, "ok": 2, "unknown": 3}
    return min(found, key=lambda figure: (order[figure.state], _goodness(figure)))


def _goodness(figure: Figure) -> float:
    if figure.value is None or figure.kpi.limits is None:
        return 0.0
    return -figure.value if figure.kpi.limits.better == "lower" else figure.value


def _of_target(kpi: Kpi, status: TargetStatus, snapshot: Snapshot) -> Figure:
    if status.up is None:
        return _unknown(kpi, status.target, "no reading yet")
    if not status.up:
        return _down(kpi, status)
    return _known(kpi, status.target, snapshot)


def _down(kpi: Kpi, status: TargetStatus) -> Figure:
    """A target that is down has no values: not zero, but down since."""
    reason = str(status.reason or "down")
    value = VALUES[kpi.value]
    known = value.when_down if isinstance(value, TargetValue) else None
    text = "down" if known is None else units.text(known, value.unit)
    return Figure(kpi, status.target, known, text, "critical", status.since, status.since, reason)


def _unknown(kpi: Kpi, target: str, reason: str) -> Figure:
    return Figure(kpi, target, None, reason, "unknown", reason=reason)


def _known(kpi: Kpi, target: str, snapshot: Snapshot) -> Figure:
    value = _number(kpi.value, target, kpi.window, snapshot)
    if value is None:
        return _unknown(kpi, target, _absence(kpi, target, snapshot))
    text = _fill(kpi, target, value, snapshot)
    if kpi.limits is None:
        return Figure(kpi, target, value, text, "ok")
    state = _judge(kpi, kpi.limits, value, snapshot)
    if state == "ok":
        return Figure(kpi, target, value, text, state)
    if state == "unknown":
        stats = snapshot.requests[kpi.window]
        return Figure(kpi, target, value, text, state, reason=_too_few(stats))
    reason = beyond(kpi.limits, value, VALUES[kpi.value].unit)
    since = _since(kpi, kpi.limits, target, snapshot)
    return Figure(kpi, target, value, text, state, since, reason=reason)


def _judge(kpi: Kpi, limits: Limits, number: float, snapshot: Snapshot) -> State:
    value, stats = VALUES[kpi.value], snapshot.requests.get(kpi.window)
    if isinstance(value, RequestValue) and stats is not None:
        return judged(value, limits, stats)
    return limits.judge(number)


def _too_few(stats: RequestStats | None) -> str:
    count = 0 if stats is None else stats.count
    return f"only {count} request{'s' * (count != 1)}"


def _since(kpi: Kpi, limits: Limits, target: str, snapshot: Snapshot) -> float | None:
    """Return when it went beyond its limits; what looks back over a picked range never says so."""
    if kpi.window is None:
        return None
    if isinstance(VALUES[kpi.value], RequestValue):
        return snapshot.onsets.get((kpi.value, kpi.window, limits))
    return bad_since(snapshot.trails.get((target, kpi.value), ()), limits)


def _absence(kpi: Kpi, target: str, snapshot: Snapshot) -> str:
    """Say why there is no number: there is nothing to count, or it is not known."""
    value = VALUES[kpi.value]
    key = (target, kpi.value, kpi.window or snapshot.range_seconds)
    if isinstance(value, RequestValue) or key in snapshot.empty:
        return kpi.absent
    for status in snapshot.targets:
        if (status.kind, status.target) == (value.kind, target):
            for problem in status.problems:
                if problem.reason is not Reason.MISSING:
                    return f"{problem.what}: {problem.reason}"
    return "not read yet"


def _number(name: str, target: str, window: float | None, snapshot: Snapshot) -> float | None:
    value = VALUES[name]
    if isinstance(value, RequestValue):
        stats = snapshot.requests.get(window)
        return None if stats is None else value.read(stats)
    return snapshot.numbers.get((target, name, window or snapshot.range_seconds))


def _fill(kpi: Kpi, target: str, value: float, snapshot: Snapshot) -> str:
    """Return the text with its numbers in place; one that is unknown is a dash."""

    def written(name: str) -> str:
        number = value if name == "value" else _number(name, target, kpi.window, snapshot)
        unit = VALUES[kpi.value if name == "value" else name].unit
        return "—" if number is None else units.text(number, unit)

    return PLACEHOLDER.sub(lambda match: written(match[1]), kpi.text)


def beyond(limits: Limits, value: float, unit: str) -> str:
    word = "above" if limits.better == "lower" else "below"
    return f"{word} {units.limit(limits.crossed(value), unit)}"


def bad_since(points: Points, limits: Limits) -> float | None:
    """
    Return when the last run of points beyond the limits began; None where there is none.

    A value over a window is bad for a while after its newest points are good again.
    """
    bad = dropwhile(lambda point: limits.judge(point[1]) == "ok", reversed(points))
    run = list(takewhile(lambda point: limits.judge(point[1]) != "ok", bad))
    return run[-1][0] if run else None
