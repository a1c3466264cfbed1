"""
What all logs of other programs share: one record's text in, a log out. JSON and tracebacks in a
message are looked into; what is no JSON stays the text it is.
"""

from __future__ import annotations

import json
import re

from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from msgspec import Struct

from monitord.ingest.decoded import Code, Decoded, Refused
from monitord.ingest.fits import HEX
from monitord.ingest.lenient import RFC_3339
from monitord.ingest.limits import (
    ATTRIBUTES,
    DEPTH,
    FIELD_VALUES,
    KEY_CHARACTERS,
    NAME_CHARACTERS,
)
from monitord.ingest.settle import LEVEL_NAMES, NO_SERVICE, settle
from monitord.ingest.texts import bounded_fields, cleaned, fields_fit, too_deep
from monitord.ingest.tracebacks import HEADER, frames_of
from monitord.model import ErrorInfo, Log


DAY_SECONDS = 86_400.0
# What stands before values. So many mean far too many values, and are counted without decoding.
MARKS = (b",", b"[", b"{")
MOST_MARKS = 8 * FIELD_VALUES

# Keys of a JSON message, as the usual formatters name them; the first that is there counts.
MESSAGE_KEYS = ("message", "msg", "event")
LEVEL_KEYS = ("level", "levelname", "severity")
TIME_KEYS = ("timestamp", "time", "@timestamp", "ts")
LOGGER_KEYS = ("logger", "logger_name", "name")
ERROR_KEYS = ("exc_info", "exception", "traceback", "stack_trace")


class Said(Struct, frozen=True, kw_only=True):
    """What is known of a record besides its text; `level` holds unless the text says another."""

    time: float
    service: str
    level: str
    fields: dict[str, Any] = {}
    logger: str = ""


def parsed(raw: bytes) -> Any:
    """
    Return what a JSON text holds, without characters that cannot be stored.

    Raises Refused: it is no JSON, nested too deep, or holds very many values.
    """
    if _marks(raw) > MOST_MARKS and _marks(_outside_texts(raw)) > MOST_MARKS:
        sentence = f"expected at most {FIELD_VALUES} values in all"
        raise Refused(Code.TOO_MANY_ATTRIBUTES, sentence)
    text = raw.decode("utf-8", "replace")
    try:
        found = _json(text)
    except RecursionError:
        raise Refused(Code.TOO_DEEP, f"expected at most {DEPTH} levels of nesting") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise Refused(Code.NOT_JSON, f"not JSON: {str(error)[:200]}") from None
    if too_deep(found):
        raise Refused(Code.TOO_DEEP, f"expected at most {DEPTH} levels of nesting")
    return cleaned(found)


def _marks(raw: bytes) -> int:
    return sum(map(raw.count, MARKS))


def _outside_texts(raw: bytes) -> bytes:
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(plain.split(b'"')[::2])


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError):
        if "\\u" not in text:
            raise
    # Only the standard library reads half a surrogate pair.
    return json.loads(text, parse_constant=_no_number, parse_float=_finite)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if abs(number) == float("inf"):
        raise ValueError("number out of range")
    return number


def take_record(index: int, text: str, said: Said, now: float, into: Decoded) -> None:
    """Take one record, or refuse it by its index. The text is cleaned."""
    log = _from_json(text, said, now) if text.startswith("{") else None
    take_log(index, log or plain_log(text, said), now, into)


def take_log(index: int, log: Log, now: float, into: Decoded) -> None:
    """Take a log whose names nobody has checked, or refuse it by its index."""
    if len(log.service) > NAME_CHARACTERS:
        sentence = f"service: expected at most {NAME_CHARACTERS} characters"
        into.refuse(index, Refused(Code.TOO_LONG, sentence))
        return
    settle(index, log, now, into)


def plain_log(text: str, said: Said) -> Log:
    """Return the log of a text that is no JSON; a traceback in it becomes its error."""
    return Log(
        time=said.time,
        service=said.service or NO_SERVICE,
        level=said.level,
        message=text,
        logger=said.logger,
        fields=kept_fields(said.fields),
        error=frames_of(text) if HEADER in text else None,
    )


def kept_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """
    Return what a log keeps of fields: the first ones, with keys that are cut.

    Where the values are too many or too deep, objects and arrays become their JSON.
    """
    if not fields or fields_fit(fields):
        return fields
    kept = {key[:KEY_CHARACTERS]: value for key, value in fields.items()}
    if len(kept) > ATTRIBUTES:
        first = dict(islice(kept.items(), ATTRIBUTES - 1))
        kept = {**first, "dropped_fields": len(kept) - len(first)}
    try:
        return bounded_fields(kept)
    except Refused:
        return bounded_fields({key: _as_text(value) for key, value in kept.items()})


def _as_text(value: Any) -> Any:
    if not isinstance(value, dict | list):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _from_json(text: str, said: Said, now: float) -> Log | None:
    """Return the log a JSON object with a message is; None when the text is none, or too large."""
    try:
        found = parsed(text.encode())
    except Refused:
        return None
    message = taken(found, MESSAGE_KEYS) if isinstance(found, dict) else None
    if message is None:
        return None
    level = _level(found) or said.level
    time = _time(found, now)
    error = frames_of(message) or _error(found)
    logger = taken(found, LOGGER_KEYS) or said.logger
    log = Log(
        time=said.time if time is None else time,
        service=said.service or NO_SERVICE,
        level=level,
        message=message,
        logger=logger,
        trace_id=hex_id(found, "trace_id", 32),
        span_id=hex_id(found, "span_id", 16),
        error=error,
        fields={
            **said.fields,
            **{key: value for key, value in found.items() if value is not None},
        },
    )
    return log if _fits(log) else None


def _fits(log: Log) -> bool:
    if len(log.logger) > NAME_CHARACTERS:
        return False
    try:
        return not log.fields or fields_fit(log.fields) or bool(bounded_fields(log.fields))
    except Refused:
        return False


def taken(found: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    """Take the first of the keys that holds a text out of the object, and return the text."""
    for key in keys:
        if isinstance(found.get(key), str):
            return str(found.pop(key))
    return None


def hex_id(found: dict[str, Any], key: str, digits: int) -> str | None:
    """Take a trace's or span's id out of the object; what is no such id stays a field."""
    value = found.get(key)
    if not isinstance(value, str):
        return None
    plain = value.replace("-", "").lower()
    if len(plain) != digits or plain.encode().translate(None, HEX):
        return None
    del found[key]
    return plain


def _level(found: dict[str, Any]) -> str | None:
    for key in LEVEL_KEYS:
        value = found.get(key)
        if isinstance(value, str) and (level := LEVEL_NAMES.get(value.upper())):
            del found[key]
            return level
    return None


def _time(found: dict[str, Any], now: float) -> float | None:
    """Take the first time within a day of now out of the object."""
    for key in TIME_KEYS:
        time = seconds_of(found.get(key))
        if time is not None and abs(time - now) <= DAY_SECONDS:
            del found[key]
            return time
    return None


def seconds_of(value: Any) -> float | None:
    """Return Unix seconds of a number or of an RFC 3339 text, None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str) and RFC_3339.fullmatch(value):
            return datetime.fromisoformat(value.upper()).timestamp()
    except (ValueError, OverflowError):
        pass
    return None


def _error(found: dict[str, Any]) -> ErrorInfo | None:
    for key in ERROR_KEYS:
        value = found.get(key)
        if isinstance(value, str) and (error := frames_of(value)):
            del found[key]
            return error
    return None


_NAMES = "|".join(sorted(LEVEL_NAMES, key=len, reverse=True))
# A word in capitals, or any after a bracket or `=`: ERROR, [error], level=error, level="error".
LEVEL_WORD = re.compile(
    rf'(?:(?<![\w/.-])({_NAMES})|(?:(?<=[\[<=])|(?<=="))((?ia:{_NAMES})))(?![\w/-])'
)
GUESSED_CHARACTERS = 100


def guessed_level(text: str) -> str:
    """Return the level a line names in its first characters; INFO, or ERROR of a traceback."""
    if found := LEVEL_WORD.search(text[:GUESSED_CHARACTERS]):
        return LEVEL_NAMES.get((found[1] or found[2]).upper(), "INFO")
    return "ERROR" if HEADER in text else "INFO"
