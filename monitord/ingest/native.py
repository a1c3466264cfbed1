"""
The native protocol: newline-delimited JSON, or a JSON array. Bytes in, nouns out; no sockets here.

The strict decoder takes everything at once. Only when it refuses is the input cut up, first into
datagrams, then into lines, and only the lines that are refused by themselves are decoded leniently.
"""

from __future__ import annotations

import re

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from monitord.ingest.arrays import items
from monitord.ingest.decoded import Code, Decoded, Refused, TooManyItems
from monitord.ingest.lenient import lenient
from monitord.ingest.limits import BODY_ITEMS, ITEM_BYTES
from monitord.ingest.settle import Item, settle, settle_all, take_all


BOM = b"\xef\xbb\xbf"
# NUL and surrogates can only come escaped; the strict decoder would let the first through.
UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")

# After so many bad items, one too short to be any event is not looked into: a flood of them would
# hold everything else up.
EXPLAINED = 200
SHORTEST_EVENT_BYTES = 30
# Bytes of datagrams looked into event by event before others get a turn, but whole datagrams: some
# 4 ms, 15 ms for the largest one.
STEP_BYTES = 16 * 1024

_item: msgspec.json.Decoder[Item] = msgspec.json.Decoder(cast(Any, Item))
_items: msgspec.json.Decoder[list[Item]] = msgspec.json.Decoder(cast(Any, list[Item]))


def decode_body(body: bytes, now: float, limit: int = BODY_ITEMS) -> Decoded:
    """
    Decode one HTTP body, received at *now*.

    An array is taken whole or, when its syntax is broken, not at all. Raises TooManyItems.
    """
    into = Decoded()
    body = body.removeprefix(BOM)
    if body.lstrip()[:1] == b"[":
        _decode_array(body, now, into, limit)
        return into
    # An event and its newline are two bytes at least.
    if len(body) > 2 * limit and body.count(b"\n") >= limit and len(_lines(body)) > limit:
        raise TooManyItems
    _decode_lines(body, now, into)
    return into


def decode_datagrams(datagrams: Sequence[bytes], now: float) -> Decoded:
    """Decode what one drain of the socket gave. No datagram can spoil another."""
    into = Decoded()
    for _ in decoding(datagrams, now, into):
        pass
    return into


def take_at_once(datagrams: Sequence[bytes], now: float, into: Decoded) -> bool:
    """Take a whole drain if nothing in it needs mending; else take nothing, return False."""
    events = _strict(b"\n".join(datagrams))
    return events is not None and take_all(events, now, into)


def decoding(datagrams: Sequence[bytes], now: float, into: Decoded) -> Iterator[None]:
    """
    Decode one drain into *into*, pausing after each STEP_BYTES that must be looked into.

    What needs no mending is done without a pause.
    """
    if take_at_once(datagrams, now, into):
        return
    looked_into = 0
    for datagram in datagrams:
        if looked_into + len(datagram) > STEP_BYTES and looked_into:
            looked_into = 0
            yield
        looked_into += len(datagram)
        _decode_datagram(datagram.removeprefix(BOM), now, into)


def _decode_datagram(datagram: bytes, now: float, into: Decoded) -> None:
    if datagram.lstrip()[:1] != b"[":
        _decode_lines(datagram, now, into)
        return
    try:
        _decode_array(datagram, now, into, BODY_ITEMS)
    except TooManyItems:
        sentence = f"expected at most {BODY_ITEMS} events in an array"
        into.refuse(0, Refused(Code.ITEM_TOO_LARGE, sentence))


def _strict(data: bytes) -> list[Item] | None:
    """Return the events when every line is exactly one that needs no mending, else None."""
    if _suspicious(data):
        return None
    if len(data) > ITEM_BYTES and max(map(len, data.split(b"\n"))) > ITEM_BYTES:
        return None
    try:
        events = _item.decode_lines(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    # The decoder minds newlines no more than blanks: an event over two lines is two bad lines.
    if len(events) == data.count(b"\n") + 1 or len(events) == len(_lines(data)):
        return events
    return None


def _suspicious(data: bytes) -> bool:
    return b"\\" in data and UNSTORABLE.search(data) is not None


def _lines(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\n") if line and not line.isspace()]


def _decode_lines(data: bytes, now: float, into: Decoded) -> None:
    events = _strict(data)
    if events is not None:
        settle_all(events, now, into)
        return
    index = 0
    for line in _lines(data):
        index += _decode_item(index, line, now, into)


def _decode_item(index: int, item: bytes, now: float, into: Decoded) -> int:
    """Take or refuse one line; return how many events it was."""
    if len(item) > ITEM_BYTES:
        sentence = f"expected at most {ITEM_BYTES} bytes, got {len(item)}"
        into.refuse(index, Refused(Code.ITEM_TOO_LARGE, sentence))
        return 1
    if len(item) < SHORTEST_EVENT_BYTES and into.rejected >= EXPLAINED:
        into.refuse(index, Refused(Code.MISSING_FIELD, "too short for an event"))
        return 1
    try:
        event = None if _suspicious(item) else _item.decode(item)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        event = None
    if event is None:
        try:
            event = lenient(item, now, into)
        except Refused as why:
            into.refuse(index, why)
            return 1
    return settle(index, event, now, into)


def _decode_array(body: bytes, now: float, into: Decoded, limit: int) -> None:
    try:
        events = None if _suspicious(body) or len(body) > ITEM_BYTES else _items.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        events = None
    if events is not None:
        if len(events) > limit:
            raise TooManyItems
        settle_all(events, now, into)
        return
    parts: list[bytes] = []
    try:
        for item in items(body.decode("utf-8", "replace")):
            if len(parts) == limit:
                raise TooManyItems
            parts.append(item.encode())
    except Refused as why:
        into.refuse(len(parts), why)
        return
    index = 0
    for part in parts:
        index += _decode_item(index, part, now, into)
