"""
One event the strict decoder refused: made to fit where the protocol allows it, or told why not.

This path costs some 20 us an event where the strict one costs a third of one.
"""

from __future__ import annotations

import json
import math
import re

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from monitord.ingest.decoded import Code, Decoded, Refused
from monitord.ingest.envelope import Envelope
from monitord.ingest.limits import DEPTH
from monitord.ingest.settle import Item
from monitord.ingest.texts import REPLACEMENT, UNSTORABLE, cleaned, too_deep
from monitord.model import Annotation, Log, Metric, Request, Span


TYPES: dict[str, type[Item]] = {
    "request": Request,
    "log": Log,
    "metric": Metric,
    "span": Span,
    "annotation": Annotation,
    "sender": Envelope,
}
FIELDS = {name: frozenset(kind.__struct_fields__) for name, kind in TYPES.items()}

RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
MISSING = re.compile(r"Object missing required field `(\w+)`(?: - at `\$\.?(.*)`)?")
AT_PATH = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)


def lenient(item: bytes | str, now: float, into: Decoded) -> Item:
    """
    Return the event (or envelope) of one JSON text, its types and required fields checked.

    Unknown fields are counted in `into` and ignored. Raises Refused.
    """
    found = _parsed(item)
    if not isinstance(found, dict):
        raise Refused(Code.NOT_AN_OBJECT, f"expected an object, got {_named(found)}")
    if too_deep(found):
        raise Refused(Code.TOO_DEEP, f"expected at most {DEPTH} levels of nesting")
    found = cleaned(found)
    name = _type_name(found)
    known = {
        key: value for key, value in found.items() if key in FIELDS[name] and value is not None
    }
    into.unknown_fields += len(found.keys() - FIELDS[name] - {"type"})
    for key, mend in MENDED.items():
        if key in known and (name, key) not in AS_THEY_ARE:
            known[key] = mend(known[key])
    known = {key: value for key, value in known.items() if value is not None}
    if "time" in FIELDS[name]:
        known.setdefault("time", now)
    try:
        return msgspec.convert({**known, "type": name}, TYPES[name])
    except msgspec.ValidationError as error:
        raise _explained(error, known) from None


def _parsed(item: bytes | str) -> Any:
    """Decode the JSON; what is no UTF-8 becomes U+FFFD, so that one byte costs no log line."""
    text = item if isinstance(item, str) else item.decode("utf-8", "replace")
    try:
        if not ESCAPED_SURROGATE.search(text):
            return msgspec.json.decode(text)
        # Only the standard library reads half a surrogate pair, which `cleaned` then replaces.
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise Refused(Code.TOO_DEEP, f"expected at most {DEPTH} levels of nesting") from None
    except msgspec.ValidationError as error:
        raise _explained(error, {}) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise Refused(Code.NOT_JSON, f"not JSON: {_without_prefix(str(error))}") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


def _without_prefix(text: str) -> str:
    if text == "Input data was truncated":
        return "it ends too early"
    return text.removeprefix("JSON is malformed: ")[:200]


def _type_name(found: dict[str, Any]) -> str:
    name = found.get("type")
    if name is None:
        raise Refused(Code.MISSING_FIELD, "type: missing")
    if not isinstance(name, str) or name.lower() not in TYPES:
        known = ", ".join(TYPES)
        raise Refused(Code.UNSUPPORTED_TYPE, f"type: expected {known}, got {_short(name)}")
    return name.lower()


def _time(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        if RFC_3339.fullmatch(value):
            return datetime.fromisoformat(value.upper()).timestamp()
    except (ValueError, OverflowError):
        pass
    raise Refused(
        Code.INVALID_FIELD,
        f"time: expected Unix seconds or RFC 3339 with an offset, got {_short(value)}",
    )


def _absent_when_empty(value: Any) -> Any:
    return None if value == "" else value


def _hex_id(value: Any) -> Any:
    """Accept a UUID's dashes; no id is often sent as an empty text."""
    if isinstance(value, str) and len(value) == 36:
        value = value.replace("-", "")
    return _absent_when_empty(value)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _texts(value: Any) -> Any:
    """Attribute values are text: numbers and the like are written as JSON writes them."""
    if not isinstance(value, dict):
        return value
    return {
        key: inner if isinstance(inner, str) else msgspec.json.encode(inner).decode()
        for key, inner in value.items()
        if inner is not None
    }


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


# Field -> what makes it acceptable; None means absent.
MENDED: dict[str, Callable[[Any], Any]] = {
    "time": _time,
    "trace_id": _hex_id,
    "span_id": _absent_when_empty,
    "parent_id": _absent_when_empty,
    "id": _absent_when_empty,
    "kind": _lower,
    "status": _lower,
    "attributes": _texts,
    "error": _without_nulls,
    "distribution": _without_nulls,
}
# A span's attributes are any JSON, as a log's fields are.
AS_THEY_ARE = {("span", "attributes")}


def _explained(error: msgspec.ValidationError, known: dict[str, Any]) -> Refused:
    """Turn msgspec's message into `field: rule, got value`, with the code it falls under."""
    message = str(error)
    if missing := MISSING.fullmatch(message):
        field = ".".join(part for part in (missing[2], missing[1]) if part)
        return Refused(Code.MISSING_FIELD, f"{field}: missing")
    rule, path = message, ""
    if found := AT_PATH.fullmatch(message):
        rule, path = found[1], found[2]
    rule = rule[:1].lower() + rule[1:].replace("`", "")
    if "got" not in rule and path in known:
        rule += f", got {_short(known[path])}"
    code = Code.TOO_LONG if "of length <=" in rule else Code.INVALID_FIELD
    return Refused(code, f"{path}: {rule}" if path else rule)


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return _named(value)
    text = UNSTORABLE.sub(REPLACEMENT, repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _named(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
