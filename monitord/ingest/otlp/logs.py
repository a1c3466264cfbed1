"""Log records of OTLP. Bytes in, nouns out."""

from __future__ import annotations

from typing import Any

from monitord.ingest.decoded import Refused
from monitord.ingest.fits import logs_fit
from monitord.ingest.limits import NAME_CHARACTERS
from monitord.ingest.otlp.exceptions import NAMES, STACK, error_of
from monitord.ingest.otlp.exported import Exported
from monitord.ingest.otlp.messages import are_few, groups, parsed
from monitord.ingest.otlp.origin import Origin
from monitord.ingest.otlp.values import attributes_of, fitted, text_of, value_of
from monitord.ingest.otlp.wire import RawLogs
from monitord.ingest.settle import LEVEL_NAMES, settle
from monitord.ingest.texts import cleaned
from monitord.model import Log


# The level of each severity number from 1: four of them to each of OpenTelemetry's six names.
LEVELS = tuple(
    level for level in ("DEBUG", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL") for _ in range(4)
)
# The level of a record that states none.
NO_LEVEL = "INFO"


def decode_logs(body: bytes, now: float, limit: int) -> Exported:
    """
    Decode an ExportLogsServiceRequest received at *now*. Its records are counted from 0.

    Raises Malformed, or TooManyItems above *limit* records.
    """
    into = Exported()
    logs: list[Log] = []
    places: list[int] = []
    for first, origin, scope in groups(parsed(RawLogs, body), "logs", size, limit, into):
        logger = cleaned(scope.scope.name)[:NAME_CHARACTERS]
        for index, raw in enumerate(scope.log_records, first):
            try:
                logs.append(_log(raw, origin, logger, now))
                places.append(index)
                into.undated += not _at_ns(raw)
            except Refused as why:
                into.refuse(index, why)
    if logs_fit(logs, now):
        into.logs += logs
    else:
        for index, log in zip(places, logs, strict=True):
            settle(index, log, now, into)
    return into


def size(scope: Any) -> int:
    """Return how many records a scope's group has."""
    return len(scope.log_records)


def are_few_logs(body: bytes, most: int) -> bool:
    """Say whether a body has at most so many records. Raises Malformed."""
    return are_few(parsed(RawLogs, body), "logs", size, most)


def _at_ns(raw: Any) -> int:
    """Return when a record was written, or seen; 0 where it says neither."""
    found: int = raw.time_unix_nano or raw.observed_time_unix_nano
    return found


def _log(raw: Any, origin: Origin, logger: str, now: float) -> Log:
    at_ns = _at_ns(raw)
    fields = attributes_of(raw.attributes)
    error = error_of(fields)
    if error is not None:
        said = NAMES if error.frames else NAMES - {STACK}
        fields = {name: value for name, value in fields.items() if name not in said}
    if raw.event_name:
        fields["event.name"] = cleaned(raw.event_name)
    return Log(
        at_ns / 1e9 if at_ns else now,
        origin.service,
        _level(raw),
        _message(raw),
        logger,
        _id(raw.trace_id, 16),
        _id(raw.span_id, 8),
        None,
        fitted(origin.attributes | fields),
        error,
    )


def _level(raw: Any) -> str:
    """Return the level of a record: by its number, else by its name."""
    number: int = raw.severity_number
    if 1 <= number <= len(LEVELS):
        return LEVELS[number - 1]
    name: str = raw.severity_text[:40].upper()
    return LEVEL_NAMES.get(name, NO_LEVEL)


def _message(raw: Any) -> str:
    """Return the body as text; of a record without one, its event's name."""
    found = value_of(raw.body)
    return text_of(cleaned(raw.event_name) if found is None else found)


def _id(raw: bytes, size: int) -> str | None:
    """Return an id in hexadecimal; one that cannot be is none, as the data model asks."""
    return raw.hex() if len(raw) == size and any(raw) else None
