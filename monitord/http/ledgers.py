"""What became of everything that reached monitord: sums that must be equal, as ledgers."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from monitord.http.answers import State
from monitord.http.ports import Ports
from monitord.http.sources import SAMPLE_MEMORY
from monitord.http.totals import Totals
from monitord.http.units import count


SINCE_START = "since start"

# How events come in; those that nothing came by are left out, but for the usual ones.
PROTOCOLS = {
    "udp": "From datagrams",
    "http": "By HTTP",
    "otlp": "By OpenTelemetry",
    "statsd": "From StatsD",
    "syslog": "From syslog",
    "gelf": "From GELF",
    "file": "From files",
    "scrape": "Scraped",
}
ALWAYS = frozenset({"udp", "http", "scrape"})


class Part(Struct, frozen=True):
    """A share of a term."""

    name: str
    value: float


class Term(Struct, frozen=True, kw_only=True):
    """
    One number of a ledger. `value` is null while unknown, and `note` says why.

    `metric` is its name on `/metrics`, `parts` what it is made of. With a `loss`, which says what
    is bad about it, any value above zero is.
    """

    name: str
    value: float | None
    metric: str = ""
    loss: str = ""
    state: State = "ok"
    note: str = ""
    parts: list[Part] = []


class Side(Struct, frozen=True, kw_only=True):
    """Terms that are added up; `total` is null when one of them is unknown."""

    title: str
    unit: str
    window: str
    terms: list[Term]
    total: float | None


class Ledger(Struct, frozen=True, kw_only=True):
    """
    Two sides. Where they must be equal, `adds_up` says whether they are and `difference` is left
    minus right; both are null where there is nothing to hold a side against.
    """

    id: str
    title: str
    left: Side
    right: Side
    adds_up: bool | None = None
    difference: float | None = None
    note: str = ""


def ledgers(ports: Ports, totals: Totals) -> list[Ledger]:
    """Return the ledgers: first those that must add up, then what is known of the way there."""
    return [_decoded(totals), _kept(totals), _datagrams(ports, totals), _on_the_way(ports, totals)]


def _decoded(totals: Totals) -> Ledger:
    events, lost_metric = "monitord_ingest_events_total", "monitord_dropped_events_total"
    reasons = totals.by("monitord_spool_refused_events_total", "reason")
    again = sum(reasons.values()) - totals.of(lost_metric)
    taken = [
        _term(name, value, events)
        for protocol, name in PROTOCOLS.items()
        if (value := totals.of(events, protocol=protocol)) or protocol in ALWAYS
    ]
    refused = [
        _term(
            "Refused by it, and lost",
            totals.of(lost_metric),
            lost_metric,
            loss="refused by the spool, and lost",
            parts=totals.by(lost_metric, "source"),
        ),
        _term(
            "Refused by it, and their senders told",
            again,
            loss="refused by the spool, and their senders told so",
            grave=False,
        ),
    ]
    appended = "monitord_spool_appended_events_total"
    said = ", ".join(f"{reason} {count(value)}" for reason, value in reasons.items())
    return _held(
        "decoded",
        "Decoded and taken",
        _side("Decoded", taken),
        _side("Handed to the spool", [_term("Appended", totals.of(appended), appended), *refused]),
        f"The spool refused because: {said}." if said else "",
    )


def _kept(totals: Totals) -> Ledger:
    spool, store = "monitord_spool_", "monitord_store_"
    found = totals.of(f"{spool}found_events")
    estimated = "from before; of large segments partly done, an estimate" if found else ""
    taken = [
        _of(totals, "Appended since the start", f"{spool}appended_events_total"),
        _of(totals, "Found at the start", f"{spool}found_events", note=estimated),
    ]
    letters = count(totals.of("monitord_dead_letters_total"))
    let_go = count(totals.of("monitord_dead_letters_lost_total"))
    told = count(totals.of(f"{spool}lost_told_events_total"))
    refused, stored = f"{store}refused_events_total", f"{store}events_total"
    known = "their frame or id came before"
    kept = [
        _term("Stored", totals.of(stored), stored, parts=totals.by(stored, "type")),
        _of(totals, "Duplicates", f"{store}duplicate_events_total", note=known),
        _of(totals, "Waiting in the spool", f"{spool}pending_events"),
        _term(
            "Refused by the store",
            totals.of(refused),
            refused,
            loss="refused by the store for good",
            note=f"dead letters: {letters} written, {let_go} let go" if totals.of(refused) else "",
        ),
        _of(
            totals,
            "Write failed",
            f"{spool}lost_events_total",
            "lost by a failed write to disk",
            f"{told} of them told to their senders" if told != "0" else "",
        ),
        _of(totals, "Damaged on disk", f"{spool}damaged_events_total", "damaged on disk"),
        _of(totals, "Not understood", f"{spool}misfit_events_total", "of a form not known here"),
    ]
    return _held("kept", "Taken and kept", _side("Taken", taken), _side("Where they are", kept))


def _datagrams(ports: Ports, totals: Totals) -> Ledger:
    on = totals.of("monitord_ingest_udp_receive_buffer_bytes") > 0
    enabled = ports.settings.ingest.udp.enabled
    off = "" if on else "not open" if enabled else "UDP is switched off"
    read, dropped = "monitord_ingest_datagrams_total", "monitord_ingest_udp_kernel_drops"
    drops = totals.known(dropped) if on else None
    arrived = [
        _term("Read", totals.of(read) if on else None, read, note=off),
        _term(
            "Dropped by the kernel",
            drops,
            dropped,
            loss="dropped by the kernel",
            note=off or ("the kernel does not say" if drops is None else ""),
        ),
    ]
    metric = "monitord_ingest_rejected_events_total"
    refused = [
        _term(name, value, metric, loss=f"refused at the edge ({name})", grave=False)
        for name, value in totals.by(metric, "protocol", "reason").items()
        if value
    ]
    return Ledger(
        id="datagrams",
        title="Arrived",
        left=_side("Datagrams", arrived, unit="datagrams"),
        right=_side("Refused at the edge", refused or [_term("None", 0.0, metric)]),
        note="The kernel does not say how many datagrams arrived: the sum is all that is known.",
    )


def _on_the_way(ports: Ports, totals: Totals) -> Ledger:
    metric, pushed = "monitord_ingest_lost_events_total", "monitord.emit.dropped"
    lost = [
        _term(service, value, metric, loss=f"lost between {service} and monitord")
        for service, value in totals.by(metric, "service").items()
    ]
    unknown = _term("All services", None, metric, note="no sender has numbered its events yet")
    given_up = ports.window.total(pushed, SAMPLE_MEMORY, service=None)
    reported = _term(
        "Told by emitters",
        given_up,
        pushed,
        loss="given up by an application's emitter",
        note="" if given_up is not None else "no emitter has told of any",
    )
    return Ledger(
        id="on_the_way",
        title="On the way here",
        left=_side("Sent, never arrived", lost or [unknown]),
        right=_side("Given up before sending", [reported], window="last 6 h"),
        note="Events without a number of their sender can be lost on the way unseen.",
    )


def _held(name: str, title: str, left: Side, right: Side, note: str = "") -> Ledger:
    """Return a ledger whose sides must be equal."""
    if left.total is None or right.total is None:
        return Ledger(id=name, title=title, left=left, right=right, note=note)
    difference = left.total - right.total
    return Ledger(
        id=name,
        title=title,
        left=left,
        right=right,
        adds_up=difference == 0,
        difference=difference,
        note=note,
    )


def _side(title: str, terms: list[Term], unit: str = "events", window: str = SINCE_START) -> Side:
    values = [term.value for term in terms if term.value is not None]
    total = sum(values) if len(values) == len(terms) else None
    return Side(title=title, unit=unit, window=window, terms=terms, total=total)


def _of(totals: Totals, name: str, metric: str, loss: str = "", note: str = "") -> Term:
    return _term(name, totals.of(metric), metric, loss=loss, note=note)


def _term(
    name: str,
    value: float | None,
    metric: str = "",
    *,
    loss: str = "",
    grave: bool = True,
    note: str = "",
    parts: Mapping[str, float] | None = None,
) -> Term:
    """Return a term; a loss is a warning unless it is grave."""
    state: State = "unknown" if value is None else "ok"
    if loss and value:
        state = "critical" if grave else "warning"
    shares = [Part(of, share) for of, share in (parts or {}).items() if share]
    return Term(
        name=name, value=value, metric=metric, loss=loss, state=state, note=note, parts=shares
    )
