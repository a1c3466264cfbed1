"""Attributes and other values of OTLP, as JSON knows them."""

from __future__ import annotations

import base64
import math

from collections.abc import Collection
from typing import Any

import msgspec

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from monitord.ingest.decoded import Code, Refused
from monitord.ingest.limits import ATTRIBUTES, FIELD_BYTES, FIELD_VALUES, KEY_CHARACTERS
from monitord.ingest.otlp.malformed import Malformed
from monitord.ingest.texts import bounded_fields, cleaned, shortened


# Attributes remembered, and the longest of them: together some 10 MB at most.
REMEMBERED = 4_096
LONGEST_BYTES = 1_024

# What an array or an object may hold, so that a whole event of them is within its limits.
NESTED_VALUES = FIELD_VALUES // ATTRIBUTES

# Says how many of an event's attributes had no room.
DROPPED = "otlp.dropped_attributes"


class Attributes(dict[bytes, tuple[str, Any]]):
    """
    Attributes by the bytes of their KeyValue; one that is not known yet is decoded.

    As many of them as an event may have are within its limits, whichever they are. Raises
    Malformed: the bytes are none. Refused: the key is too long.
    """

    def __missing__(self, raw: bytes) -> tuple[str, Any]:
        found = _short(raw) or _pair(raw)
        if len(raw) <= LONGEST_BYTES:
            if len(self) >= REMEMBERED:
                self.clear()
            self[raw] = found
        return found


KNOWN = Attributes()


def attributes_of(raw: Collection[bytes]) -> dict[str, Any]:
    """Return attributes by their keys. Raises Malformed; Refused: they are far too many."""
    check_number(raw)
    return dict(map(KNOWN.__getitem__, raw))


def check_number(raw: Collection[bytes]) -> None:
    """Refuse so many attributes that even looking at them all would cost too much."""
    if len(raw) > FIELD_VALUES:
        raise Refused(
            Code.TOO_MANY_ATTRIBUTES, f"attributes: expected at most {FIELD_VALUES}, got {len(raw)}"
        )


def fitted(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return as many of the attributes as an event may have, the first ones."""
    if len(attributes) <= ATTRIBUTES:
        return attributes
    kept = dict(list(attributes.items())[: ATTRIBUTES - 1])
    return kept | {DROPPED: len(attributes) - len(kept)}


def value_of(value: Any) -> Any:
    """Return an AnyValue as JSON knows it: bytes in base64, what is no number by its name."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(inner) for inner in value.array_value.values]
    if kind == "kvlist_value":
        return {cleaned(inner.key): value_of(inner.value) for inner in value.kvlist_value.values}
    found = getattr(value, kind) if kind else None
    if isinstance(found, bytes):
        return base64.b64encode(found).decode()
    if isinstance(found, float) and not math.isfinite(found):
        return str(found)
    return cleaned(found)


def text_of(value: Any) -> str:
    """Return a value as text: a text as it is, anything else as JSON writes it."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _short(raw: bytes) -> tuple[str, Any] | None:
    """
    Return a pair of two short texts at a third of the usual price, None for any other.

    Those are the ones that differ from event to event: paths, addresses, ids.
    """
    size = len(raw)
    if size > 0x7F or size < 6 or raw[0] != 0x0A:
        return None
    value = raw[1] + 2
    # Field 2 of a KeyValue to the end of it, and in that field 1 of an AnyValue to the end.
    if size < value + 4 or raw[value : value + 4] != bytes(
        (0x12, size - value - 2, 0x0A, size - value - 4)
    ):
        return None
    if b"\x00" in raw:
        return None
    try:
        return raw[2:value].decode(), raw[value + 4 :].decode()
    except UnicodeDecodeError:
        return None


def _pair(raw: bytes) -> tuple[str, Any]:
    try:
        pair = KeyValue.FromString(raw)
    except DecodeError:
        raise Malformed("an attribute is no KeyValue") from None
    if len(pair.key) > KEY_CHARACTERS:
        raise Refused(
            Code.TOO_LONG,
            f"a key of attributes: expected at most {KEY_CHARACTERS} characters,"
            f" got {len(pair.key)}",
        )
    return cleaned(pair.key), _bounded(value_of(pair.value))


def _bounded(value: Any) -> Any:
    """Return a value that any event may have: one nested too deep, or too wide, as its JSON."""
    if isinstance(value, list | dict):
        try:
            bounded: Any = bounded_fields({"": value})[""]
        except Refused:
            return shortened(text_of(value), FIELD_BYTES)
        return bounded if _size(value) <= NESTED_VALUES else shortened(text_of(value), FIELD_BYTES)
    return shortened(value, FIELD_BYTES) if isinstance(value, str) else value


def _size(value: Any) -> int:
    """Return how many values a value is, those inside it included."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1
