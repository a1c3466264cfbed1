"""From a snapshot to what the page shows beside its charts: cards, rows, banner. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

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
from monitord.http.kpis import BANNER_WINDOW, Kpi, Kpis
from monitord.http.snapshot import Loss, Snapshot
from monitord.http.values import KINDS, VALUES, RequestValue
from monitord.model import Reason, TargetStatus


# A missing right or extension is shown at its target; it is no event that somebody must act on now.
STANDING = frozenset({Reason.MISSING, Reason.PERMISSION, Reason.AUTH})

# The page that says what became of every event.
ITSELF = "/itself"


def build(kpis: Kpis, snapshot: Snapshot) -> Overview:
    """Return the overview of the snapshot."""
    cards = [figures(kpi, snapshot) for kpi in kpis.cards]
    rows = [figures(kpi, snapshot) for kpi in kpis.rows]
    return Overview(
        generated_at=snapshot.at,
        range_seconds=snapshot.range_seconds,
        banner=banner(snapshot, [*cards, *(_of_now(kpi, snapshot) for kpi in kpis.rows)]),
        cards=[_card(worst(found), snapshot) for found in cards],
        rows=[_row(found[0], snapshot) for found in rows],
        targets=list(snapshot.targets),
        store=snapshot.store,
        insecure=snapshot.insecure,
        requests_source="store" if snapshot.requests_from_store else "memory",
    )


def _of_now(kpi: Kpi, snapshot: Snapshot) -> list[Figure]:
    """Return the figures the banner judges: of what looks back over the range, the last minutes."""
    if kpi.window is None:
        kpi = replace(kpi, window=BANNER_WINDOW, text="{value}")
    return figures(kpi, snapshot)


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
        configured=figure.configured,
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
        configured=figure.configured,
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
        count = f"{units.count(snapshot.waiting)} " if snapshot.waiting else "new "
        text = f"Store: {store.detail or 'unreachable'}; {count}events wait safely on disk"
        yield BannerItem("critical", text, store.since, page=ITSELF)


def _loss(loss: Loss) -> BannerItem:
    text = f"monitord: {units.count(loss.count)} {loss.what}"
    return BannerItem("critical" if loss.grave else "warning", text, loss.since, page=ITSELF)


def _thresholds(
    found: Iterable[Sequence[Figure]], targets: Sequence[TargetStatus]
) -> Iterator[BannerItem]:
    """Yield what is beyond its limit, once per cause: the worst figure, of equals the first."""
    told: dict[tuple[str, str], Figure] = {}
    for figure in (figure for several in found for figure in several):
        if figure.state not in ("warning", "critical") or figure.down_since is not None:
            continue
        value = VALUES[figure.kpi.value]
        topic = value.topic if isinstance(value, RequestValue) else ""
        key = (figure.target, topic or figure.kpi.value)
        if key not in told or SEVERITY[figure.state] < SEVERITY[told[key].state]:
            told[key] = figure
    for figure in told.values():
        yield BannerItem(figure.state, _sentence(figure, targets), figure.since)


def _sentence(figure: Figure, targets: Sequence[TargetStatus]) -> str:
    kpi, value = figure.kpi, VALUES[figure.kpi.value]
    title = f"{kpi.group}: {kpi.title}" if kpi.group else kpi.title
    same_kind = [status for status in targets if status.kind == value.kind]
    where = f" ({figure.target})" if len(same_kind) > 1 else ""
    window = kpi.window if isinstance(value, RequestValue) else None
    when = "" if window is None else f" in the last {units.span(window)}"
    return f"{title} {figure.text}{when}, {figure.reason}{where}"
