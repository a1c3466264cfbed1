"""From a snapshot to what the page shows beside its charts: cards, rows, banner. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from monitord.http import units
from monitord.http.answers import (
    SEVERITY,
    Banner,
    BannerItem,
    Card,
    Overview,
    Row,
    Spark,
)
from monitord.http.figures import Figure, figures, worst
from monitord.http.kpis import Kpis
from monitord.http.snapshot import Loss, Snapshot
from monitord.http.values import KINDS, VALUES
from monitord.model import Reason, TargetStatus


# A missing right or extension is shown at its target; it is no event that somebody must act on now.
STANDING = frozenset({Reason.MISSING, Reason.PERMISSION, Reason.AUTH})


def build(kpis: Kpis, snapshot: Snapshot) -> Overview:
    """Return the overview of the snapshot."""
    cards = [figures(kpi, snapshot) for kpi in kpis.cards]
    rows = [figures(kpi, snapshot) for kpi in kpis.rows]
    return Overview(
        generated_at=snapshot.at,
        range_seconds=snapshot.range_seconds,
        banner=banner(snapshot, [*cards, *rows]),
        cards=[_card(worst(found), snapshot) for found in cards],
        rows=[_row(found[0], snapshot) for found in rows],
        targets=list(snapshot.targets),
        store=snapshot.store,
        insecure=snapshot.insecure,
        requests_source="store" if snapshot.requests_from_store else "memory",
    )


def _card(figure: Figure, snapshot: Snapshot) -> Card:
    kpi = figure.kpi
    return Card(
        id=kpi.id,
        title=kpi.title,
        value=figure.value,
        unit=VALUES[kpi.value].unit,
        text=figure.text,
        state=figure.state,
        window=kpi.window or snapshot.range_seconds,
        meaning=kpi.meaning,
        target=figure.target,
        since=figure.since,
        down_since=figure.down_since,
        reason=figure.reason,
        spark=snapshot.sparks.get((figure.target, kpi.value), Spark()),
    )


def _row(figure: Figure, snapshot: Snapshot) -> Row:
    kpi = figure.kpi
    return Row(
        group=kpi.group,
        id=kpi.id,
        metric=kpi.title,
        value=figure.value,
        unit=VALUES[kpi.value].unit,
        text=figure.text,
        state=figure.state,
        window=kpi.window or snapshot.range_seconds,
        target=figure.target,
        since=figure.since,
        down_since=figure.down_since,
        reason=figure.reason,
    )


def banner(snapshot: Snapshot, found: Iterable[Sequence[Figure]]) -> Banner:
    """Return what is wrong now, worst first, the longest-standing of equals first."""
    items = [
        *_targets(snapshot.targets),
        *_store(snapshot),
        *map(_loss, snapshot.losses),
        *_thresholds(found, snapshot.targets),
    ]
    items.sort(key=lambda item: (SEVERITY[item.state], _place(item), item.since or snapshot.at))
    if items and items[0].state != "unknown":
        return Banner(items[0].state, items[0].text, items[0].since, items)
    if items:
        return Banner("unknown", items[0].text, None, items)
    return Banner("ok", _all_is_well(snapshot))


def _place(item: BannerItem) -> int:
    """Of equal severity, a target that is down explains its neighbours, so it goes first."""
    return 0 if item.target else 1


def _all_is_well(snapshot: Snapshot) -> str:
    count = len(snapshot.targets)
    if not count:
        return "All is well: no target is configured"
    return f"All is well: {count} target{'s' * (count > 1)} up"


def _targets(targets: Sequence[TargetStatus]) -> Iterator[BannerItem]:
    for status in targets:
        name = label(status)
        if status.up is None:
            text = f"{name}: waiting for the first reading"
            yield BannerItem("unknown", text, None, status.target)
        elif not status.up:
            text = f"{name}: {status.reason or 'down'}"
            yield BannerItem("critical", text, status.since, status.target, status.remedy)
        for problem in status.problems if status.up else ():
            if problem.reason not in STANDING:
                text = f"{name}: {problem.what}: {problem.reason}"
                yield BannerItem("warning", text, None, status.target, problem.remedy)


def label(status: TargetStatus) -> str:
    """Return what the target is called: its kind and name, or its kind when that says it all."""
    kind = KINDS.get(status.kind, status.kind)
    return kind if status.target == status.kind else f"{kind} {status.target}"


def _store(snapshot: Snapshot) -> Iterator[BannerItem]:
    store = snapshot.store
    if store.up is None:
        yield BannerItem("unknown", "Store: waiting for the first connection")
    elif not store.up:
        text = f"Store: {store.detail or 'unreachable'}; new events wait in memory"
        yield BannerItem("critical", text, store.since)


def _loss(loss: Loss) -> BannerItem:
    text = f"monitord: {units.count(loss.count)} {loss.what}"
    return BannerItem("critical" if loss.grave else "warning", text, loss.since)


def _thresholds(
    found: Iterable[Sequence[Figure]], targets: Sequence[TargetStatus]
) -> Iterator[BannerItem]:
    """Yield each value beyond its limit once; what is judged over a picked range is not 'now'."""
    seen: set[tuple[str, str]] = set()
    for figure in (figure for several in found for figure in several):
        key = (figure.target, figure.kpi.value)
        judged = figure.state in ("warning", "critical") and figure.kpi.window is not None
        if not judged or figure.down_since is not None or key in seen:
            continue
        seen.add(key)
        yield BannerItem(figure.state, _sentence(figure, targets), figure.since)


def _sentence(figure: Figure, targets: Sequence[TargetStatus]) -> str:
    kpi = figure.kpi
    title = f"{kpi.group}: {kpi.title}" if kpi.group else kpi.title
    same_kind = [status for status in targets if status.kind == VALUES[kpi.value].kind]
    where = f" ({figure.target})" if len(same_kind) > 1 else ""
    return f"{title} {figure.text}, {figure.reason}{where}"
