"""How the spool, the store, the names it tells apart, and the process of monitord are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

import monitord

from monitord.http import units
from monitord.http.answers import State
from monitord.http.facts import TIME, Fact, Panel, Window, counted, full, number, said
from monitord.http.ports import Ports
from monitord.http.totals import Totals
from monitord.intake.intake import SAID
from monitord.scrapers.daemon import cpu_seconds, resident_bytes
from monitord.store.dictionaries import Crowd
from monitord.store.names import OVERFLOW, Caps


# From here on a figure is bad.
FULL_WARNING, FULL_CRITICAL = 0.5, 0.9
LATE_SECONDS = 60.0
SLOW_SYNC_MS = 1_000.0
LAG_MS = 200.0

OUTCOMES = ("up", "down", "held", "skipped")

# The dictionaries of the store: their tables, and what one scope of each is.
NAMES = {
    "endpoints": ("Endpoints", "service"),
    "loggers": ("Loggers", "service"),
    "span_names": ("Steps", "service"),
    "series": ("Series", "metric"),
}
REST = f"what is beyond is counted under {OVERFLOW}"


class ScrapeCounts(Struct, frozen=True, kw_only=True):
    """
    How often a target was read since the start, by how it went; `held`: not tried again at once
    after a wrong password; `skipped`: the one before took too long.
    """

    kind: str
    target: str
    up: float
    down: float
    held: float
    skipped: float
    last_seconds: float | None


def panels(ports: Ports, totals: Totals) -> list[Panel]:
    """Return the facts, part by part."""
    return [
        Panel(id="spool", title="Spool", facts=_spool(ports, totals)),
        Panel(id="store", title="Store", facts=_store(ports, totals)),
        Panel(id="names", title="Names", facts=_names(ports)),
        Panel(id="process", title="Process", facts=_process(ports, totals)),
    ]


def scrapes(totals: Totals) -> list[ScrapeCounts]:
    """Return what the schedule counted of every target."""
    metric = "monitord_scrapes_total"
    seconds = totals.by("monitord_scrape_duration_seconds", "kind", "target")
    found = []
    for name in sorted(totals.by(metric, "kind", "target")):
        kind, _, target = name.partition(", ")
        up, down, held, skipped = (
            totals.of(metric, kind=kind, target=target, outcome=outcome) for outcome in OUTCOMES
        )
        found.append(
            ScrapeCounts(
                kind=kind,
                target=target,
                up=up,
                down=down,
                held=held,
                skipped=skipped,
                last_seconds=seconds.get(name),
            )
        )
    return found


def _spool(ports: Ports, totals: Totals) -> list[Fact]:
    limits, folder = ports.settings.spool, ports.settings.state_dir / "spool"
    of = totals.of
    frames, size = of("monitord_spool_pending_frames"), of("monitord_spool_pending_bytes")
    waiting = f"{units.count(frames)} frames, {units.byte_count(size)}" if frames else ""
    pending = of("monitord_spool_pending_events")
    used, damaged = of("monitord_spool_disk_bytes"), of("monitord_spool_damaged_records_total")
    return [
        _takes(ports),
        number("pending", "Waiting to be stored", pending, "count", note=waiting),
        _oldest(ports, totals),
        _share("disk", "On disk", used, limits.size_bytes, _full),
        number("floor", "Leaves free on its disk", limits.keep_free_bytes, "bytes"),
        counted("commits", "Commits", of("monitord_spool_commits_total")),
        _sync(totals, "last", "Last fdatasync", "now"),
        _sync(totals, "max", "Longest fdatasync", "since start"),
        counted("aside", "Records put aside", damaged, bad="critical", note=f"in {folder}/*.bad"),
        _hidden(ports, totals),
    ]


def _hidden(ports: Ports, totals: Totals) -> Fact:
    if ports.settings.redact.enabled:
        return counted("redacted", "Values redacted", totals.of("monitord_redacted_values_total"))
    why = "redaction is switched off"
    return number("redacted", "Values redacted", None, "count", window="since start", note=why)


def _takes(ports: Ports) -> Fact:
    refusal, trouble = ports.spool.refusal(0), ports.spool.trouble
    if refusal is None:
        return number("takes", "Takes events", 1, "yes_no")
    why = SAID[refusal][0] + (f": {trouble}" if trouble else "")
    return number("takes", "Takes events", 0, "yes_no", bad="critical", note=why)


def _oldest(ports: Ports, totals: Totals) -> Fact:
    title, at = "Oldest on disk since", totals.known("monitord_spool_oldest_timestamp_seconds")
    if at is None:
        return said("oldest", title, "none")
    age = max(0.0, ports.now() - at)
    late: State | None = "warning" if age > LATE_SECONDS else None
    return number("oldest", title, at, TIME, bad=late, note=f"for {units.seconds(age)}")


def _sync(totals: Totals, which: str, title: str, window: Window) -> Fact:
    if not totals.of("monitord_spool_commits_total"):
        never = "nothing has been written yet"
        return number(f"sync_{which}", title, None, "ms", window=window, note=never)
    took_ms = 1000 * totals.of(f"monitord_spool_sync_{which}_seconds")
    slow: State | None = "warning" if took_ms > SLOW_SYNC_MS else None
    return number(f"sync_{which}", title, took_ms, "ms", window=window, bad=slow)


def _store(ports: Ports, totals: Totals) -> list[Fact]:
    letters = f"{ports.settings.state_dir}/dead_letters.jsonl"
    of, away = totals.of, ports.store.up is False
    return [
        _answers(ports),
        _size(ports),
        counted(
            "dropped",
            "Days dropped for the size",
            of("monitord_store_size_cap_dropped_partitions_total"),
            bad="warning",
            note="the oldest rows, before their time",
        ),
        counted(
            "failures",
            "Writes that failed",
            of("monitord_store_failures_total"),
            bad="warning" if away else None,
            note="each is tried again",
        ),
        counted(
            "unreadable",
            "Reads that met damage",
            of("monitord_store_damaged_reads_total"),
            bad="critical",
        ),
        counted("letters", "Dead letters written", of("monitord_dead_letters_total"), note=letters),
        counted(
            "let_go",
            "Dead letters let go",
            of("monitord_dead_letters_lost_total"),
            bad="critical",
            note="the file was full, or could not be written",
        ),
        counted(
            "spans_kept",
            "Spans kept",
            of("monitord_spans_kept_total"),
            note="for their value, when their hour was thinned",
        ),
        counted(
            "spans_let_go",
            "Spans let go",
            of("monitord_spans_let_go_total"),
            note="when their hour was thinned",
        ),
    ]


def _names(ports: Ports) -> list[Fact]:
    counts = ports.names.counts() if ports.names else {}
    crowded = ports.names.crowded() if ports.names else {}
    found = []
    for table in NAMES:
        known = counts.get(table)
        found.append(_known(ports, table, known))
        found += _full_scopes(ports, table, known or 0, crowded.get(table, ()))
    return found


def _known(ports: Ports, table: str, known: int | None) -> Fact:
    (title, scope), caps = NAMES[table], _caps(ports, table)
    most = f"at most {units.count(caps.in_scope)} a {scope}, {units.count(caps.total)} in all"
    note = most if known is not None else f"not read before the first comes; {most}"
    return number(table, title, known, "count", note=note)


def _full_scopes(ports: Ports, table: str, known: int, found: Sequence[Crowd]) -> Iterator[Fact]:
    """Yield what has no room for further names: a kind as a whole, and each full scope of it."""
    title, caps = NAMES[table][0], _caps(ports, table)
    names, of_all = title.lower(), _all_of(caps.total)
    if known >= caps.total and found:
        largest = f"{units.count(found[0].count)} of them of {_place(found[0])}"
        told = f"{names}: {of_all} in all, {largest}{_label(found[0])}; {REST}"
        yield full(f"{table}_full", f"{title}, full in all", caps.total, of_all, told)
    of_scope = _all_of(caps.in_scope)
    for place, crowd in enumerate(found):
        if crowd.count >= caps.in_scope:
            told = f"{names} of {_place(crowd)}: {of_scope}{_label(crowd)}; {REST}"
            yield full(f"{table}_full_{place}", f"{title}, full", caps.in_scope, of_scope, told)


def _caps(ports: Ports, table: str) -> Caps:
    names = ports.settings.store.names
    return Caps(names.series_total if table == "series" else names.total, names.per_kind)


def _place(crowd: Crowd) -> str:
    service, *metric = crowd.scope
    return f"`{metric[0]}` ({service})" if metric else service


def _label(crowd: Crowd) -> str:
    by = f", most by label `{crowd.label}` ({units.count(crowd.values)} values)"
    return by if crowd.label else ""


def _all_of(cap: int) -> str:
    """The entries that stand for the rest take no room: what is full is as full as it can be."""
    return f"{units.count(cap)} of {units.count(cap)}"


def _answers(ports: Ports) -> Fact:
    store = ports.store
    if store.up is None:
        return number("up", "Answers", None, TIME, note="not tried yet")
    if store.up:
        return number("up", "Answers since", store.since, TIME)
    why = store.detail or "no reason given"
    return number("up", "Unreachable since", store.since, TIME, bad="critical", note=why)


def _size(ports: Ports) -> Fact:
    size, most = ports.store_size(), ports.settings.store.size_bytes
    if size is None:
        return number("size", "Size", None, "bytes", note="not measured yet")
    stuck: State | None = "critical" if size.stuck else None
    why = "only today's rows and the rollups are left; raise store.size" if size.stuck else ""
    return _share("size", "Size", size.used_bytes, most, lambda _: stuck, why)


def _full(share: float) -> State | None:
    if share > FULL_CRITICAL:
        return "critical"
    return "warning" if share > FULL_WARNING else None


def _share(
    name: str,
    title: str,
    used: float,
    most: float,
    judge: Callable[[float], State | None],
    note: str = "",
) -> Fact:
    """Return a size beside what it may be at most."""
    share = used / most
    note = note or f"{units.percent(100 * share)} of {units.byte_count(most)}"
    return number(name, title, used, "bytes", bad=judge(share), note=note)


def _process(ports: Ports, totals: Totals) -> list[Fact]:
    now, since = ports.now(), ports.telemetry.since
    cpu, lag_ms = (
        _newest(ports, "monitord.process.cpu_ratio"),
        _newest(ports, "monitord.loop.lag_ms"),
    )
    percent = None if cpu is None else 100 * cpu
    late: State | None = "warning" if lag_ms is not None and lag_ms > LAG_MS else None
    missed = totals.of("monitord_stream_dropped_lines_total")
    return [
        said("version", "Version", monitord.__version__),
        said("instance", "Instance", ports.settings.instance, "not named in the settings"),
        number("running", "Running since", since, TIME, note=f"for {units.seconds(now - since)}"),
        number("memory", "Memory", resident_bytes(), "bytes"),
        number(
            "cpu",
            "Processor, of one core",
            percent,
            "percent",
            window="last reading",
            note="not read yet" if cpu is None else "",
        ),
        number("cpu_seconds", "Processor time", cpu_seconds(), "s", window="since start"),
        number(
            "lag",
            "Event loop late at most",
            lag_ms,
            "ms",
            window="last reading",
            bad=late,
            note="not read yet" if lag_ms is None else "",
        ),
        _buffer(ports, totals),
        number("watchers", "Live logs watched", totals.of("monitord_stream_watchers"), "count"),
        counted("missed", "Lines slow watchers missed", missed, note="stored all the same"),
    ]


def _newest(ports: Ports, name: str) -> float | None:
    point = ports.window.latest(name, target="monitord")
    return None if point is None else point.value


def _buffer(ports: Ports, totals: Totals) -> Fact:
    udp, title = ports.settings.ingest.udp, "UDP receive buffer"
    size = totals.of("monitord_ingest_udp_receive_buffer_bytes")
    if not size:
        why = "not open" if udp.enabled else "UDP is switched off"
        return number("buffer", title, None, "bytes", note=why)
    asked = udp.receive_buffer_bytes
    small: State | None = "warning" if 2 * size <= asked else None
    why = f"net.core.rmem_max allows no more; {units.byte_count(asked)} were asked for"
    return number("buffer", title, size, "bytes", bad=small, note=why if small else "")
