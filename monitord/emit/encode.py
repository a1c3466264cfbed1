"""
Events as lines of the native protocol. Pure; runs on the sender's thread, never in a request.

An event is a tuple whose first item is its encoder here; the rest is what the encoder unpacks.
"""

from __future__ import annotations

import math

from hashlib import sha256
from json import JSONEncoder
from typing import Any

from monitord.emit.failure import Failure, Sources
from monitord.emit.plain import NAME_CHARS, fields, text
from monitord.emit.route import UNMATCHED
from monitord.emit.trace import first_span


Event = tuple[Any, ...]

METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
)
KINDS = frozenset({"gauge", "counter", "histogram"})
SPAN_KINDS = frozenset({"internal", "server", "client", "producer", "consumer"})
LEVELS = {
    "TRACE": "DEBUG",
    "DEBUG": "DEBUG",
    "INFO": "INFO",
    "NOTICE": "INFO",
    "WARN": "WARNING",
    "WARNING": "WARNING",
    "ERROR": "ERROR",
    "EXCEPTION": "ERROR",
    "CRITICAL": "CRITICAL",
    "FATAL": "CRITICAL",
}
# The daemon's limits for what is not shortened elsewhere.
METRIC_CHARS = 255
UNIT_CHARS = 63
ID_CHARS = 128
LONGEST_MS = 86_400_000.0
INF = math.inf
# Processes that begin within the same so many seconds of the clock are of one deploy.
DEPLOY_S = 600.0
CACHED_LABELS = 4_096

_json = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Invalid(ValueError):
    """The daemon would refuse the event."""


class Encoder:
    """Writes the events of one service."""

    def __init__(self, service: str) -> None:
        self._service = _json(text(service, NAME_CHARS))
        self._labels: dict[str, str] = {}
        self._sources = Sources()

    def line(self, event: Event) -> bytes:
        """
        Return the event's line with its newline. A lone surrogate becomes `?`.

        Raises Invalid, or whatever a value of a wrong type raises.
        """
        written: str = event[0](self, event)
        return written.encode("utf-8", "replace")

    def request(self, event: Event) -> str:
        _, time, method, route, status, duration_ms, trace_id, span_id, error, id = event
        if not (100 <= status <= 599 and duration_ms == duration_ms and -INF < time < INF):
            raise Invalid(f"status {status!r}, duration_ms {duration_ms!r}, time {time!r}")
        if not 0.0 <= duration_ms <= LONGEST_MS:
            duration_ms = min(max(duration_ms, 0.0), LONGEST_MS)
        return (
            f'{{"type":"request","time":{time:.6f},"service":{self._service},'
            f'"method":"{method if method in METHODS else _method(method)}",'
            f'"route":{self._labels.get(route) or self._label(route)},"status":{status:d},'
            f'"duration_ms":{duration_ms:.4f}{self._rest(trace_id, span_id, id, error)}}}\n'
        )

    def log(self, event: Event) -> str:
        _, time, level, logger, message, fields, trace_id, span_id, error, id = event
        if not -INF < time < INF:
            raise Invalid(f"time {time!r}")
        named = f',"logger":{self._labels.get(logger) or self._label(logger)}' if logger else ""
        extra = f',"fields":{_json(fields)}' if fields else ""
        return (
            f'{{"type":"log","time":{time:.6f},"service":{self._service},'
            f'"level":"{level_name(level)}"{named},"message":{_json(message)}{extra}'
            f"{self._rest(trace_id, span_id, id, error)}}}\n"
        )

    def metric(self, event: Event) -> str:
        _, time, name, kind, value, unit, attributes, id = event
        number = float(value)
        if kind not in KINDS or not name or not (-INF < number < INF and -INF < time < INF):
            raise Invalid(f"name {name!r}, kind {kind!r}, value {value!r}, time {time!r}")
        return (
            f'{{"type":"metric","time":{time:.6f},"service":{self._service},'
            f'"name":{_json(text(name, METRIC_CHARS))},"kind":"{kind}","value":{number!r}'
            + (f',"unit":{_json(text(unit, UNIT_CHARS))}' if unit else "")
            + (f',"attributes":{_json(attributes)}' if attributes else "")
            + f"{self._rest(None, None, id, None)}}}\n"
        )

    def span(self, event: Event) -> str:
        _, time, trace, own, parent, name, kind, began_ns, ended_ns, attributes, error = event
        if kind not in SPAN_KINDS or not -INF < time < INF:
            raise Invalid(f"kind {kind!r}, time {time!r}")
        extra = f',"attributes":{_json(fields(attributes))}' if attributes else ""
        return (
            self._step(time, trace, own, parent, kind, (ended_ns - began_ns) / 1e6)
            + f',"name":{self._labels.get(name) or self._label(name)}'
            + ("" if error is None else ',"status":"error"')
            + f"{extra}{self._rest(None, None, None, error)}}}\n"
        )

    def server(self, event: Event) -> str:
        """Write the span of a request, whose own line tells of its error."""
        _, time, trace, own, parent, method, route, status, duration_ms = event
        verb = method if method in METHODS else _method(method)
        attributes = f'"http.request.method":"{verb}","http.response.status_code":{status:d}'
        if (short := text(route, NAME_CHARS - 10)) != UNMATCHED:
            attributes += f',"http.route":{_json(short)}'
        return (
            self._step(time, trace, own, parent, "server", duration_ms)
            + f',"name":{_json(f"{verb} {short}")}'
            + (',"status":"error"' if status >= 500 else "")
            + f',"attributes":{{{attributes}}}}}\n'
        )

    def _step(
        self,
        time: float,
        trace: str,
        own: int | str,
        parent: int | str | None,
        kind: str,
        duration_ms: float,
    ) -> str:
        named = _identity(trace, 32)
        if named is None:
            raise Invalid(f"trace_id {trace!r}")
        above = f',"parent_id":"{span_hex(parent)}"' if parent is not None else ""
        return (
            f'{{"type":"span","time":{time:.6f},"service":{self._service},'
            f'"trace_id":"{named}","span_id":"{span_hex(own)}"{above},"kind":"{kind}",'
            f'"duration_ms":{min(max(duration_ms, 0.0), LONGEST_MS):.4f}'
        )

    def deploy(self, event: Event) -> str:
        """
        Write the mark of a version that began to run: one for all processes of a deploy, which
        begin within minutes. The daemon knows an id for a day, and a roll back comes sooner.
        """
        _, time, service, version, group_since = event
        title = text(version, NAME_CHARS)
        about = f"{service}\0{title}\0{group_since // DEPLOY_S:.0f}"
        digest = sha256(about.encode("utf-8", "replace")).hexdigest()
        return (
            f'{{"type":"annotation","time":{time:.6f},"service":{self._service},'
            f'"kind":"deploy","title":{_json(title)},"id":"{digest[:32]}"}}\n'
        )

    def _label(self, label: str) -> str:
        """Return the label as JSON, remembered under its short form: a service has few of them."""
        short = text(label, NAME_CHARS)
        if not short:
            raise Invalid("an empty name")
        if len(self._labels) >= CACHED_LABELS:
            self._labels.clear()
        known = self._labels[short] = _json(short)
        return known

    def _rest(
        self, trace_id: str | None, span_id: str | None, id: str | None, error: Failure | None
    ) -> str:
        rest = ""
        trace = _identity(trace_id, 32) if trace_id is not None else None
        if trace is not None:
            rest = f',"trace_id":"{trace}"'
            # The same as span id means the span that began the trace.
            if span_id is trace_id:
                rest += f',"span_id":"{first_span(trace)}"'
        if span_id is not None and span_id is not trace_id and (own := _identity(span_id, 16)):
            rest += f',"span_id":"{own}"'
        if id:
            rest += f',"id":{_json(text(id, ID_CHARS))}'
        if error is not None:
            rest += f',"error":{_json(self._sources.written(error))}'
        return rest


def span_hex(span: int | str) -> str:
    """Return a span id as text; those of our own spans are numbers until they are written."""
    return f"{span:016x}" if isinstance(span, int) else span


def level_name(level: str | int) -> str:
    """Return one of the protocol's five levels; a number is that of the logging module."""
    if isinstance(level, str):
        return LEVELS.get(level.upper(), "INFO")
    if level >= 30:
        return "CRITICAL" if level >= 50 else "ERROR" if level >= 40 else "WARNING"
    return "INFO" if level >= 20 else "DEBUG"


def _method(method: str) -> str:
    return method.upper() if method.upper() in METHODS else "OTHER"


def _identity(value: str, digits: int) -> str | None:
    """Return the id as lower-case hex (a UUID loses its dashes), None when it is no id."""
    if len(value) == 36 and digits == 32:
        value = value.replace("-", "")
    try:
        # fromhex skips blanks, which the length shows.
        if len(value) != digits or len(bytes.fromhex(value)) * 2 != digits:
            return None
    except ValueError:
        return None
    return value.lower()
