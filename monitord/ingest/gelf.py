"""GELF 1.1, plain, zlib, gzip or in chunks. Bytes in, logs out; no sockets here."""

from __future__ import annotations

import contextlib
import re
import zlib

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from monitord.ingest.decoded import Code, Decoded, Refused
from monitord.ingest.gelf_chunks import MAGIC, Chunks
from monitord.ingest.limits import ITEM_BYTES
from monitord.ingest.records import Said, hex_id, parsed, plain_log, seconds_of, take_log, taken
from monitord.ingest.settle import LEVEL_NAMES
from monitord.ingest.syslog import LEVELS_BY_SEVERITY
from monitord.model import Log


# gzip, and zlib without a dictionary at each of its levels.
COMPRESSED = (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
# zlib's own number for either of the two.
EITHER = 32 + zlib.MAX_WBITS
NATIVE = re.compile(rb'"type"[ \t\r\n]*:')
# Bytes looked into before others get a turn: some 4 ms.
STEP_BYTES = 16 * 1024

# What the service is taken from; the first that holds a text.
SERVICE_KEYS = ("_service", "_container_name", "_tag", "facility", "host")
# By number, as syslog has them, and by name.
LEVELS: Mapping[Any, str] = {
    **dict(enumerate(LEVELS_BY_SEVERITY)),
    **{str(number): level for number, level in enumerate(LEVELS_BY_SEVERITY)},
    **LEVEL_NAMES,
}
LOGGER_KEYS = ("_logger", "_logger_name")


class Gelf:
    """The datagrams of GELF; keeps chunks until their message is whole."""

    name = "gelf"

    def __init__(self) -> None:
        self._chunks = Chunks()

    def owns(self, datagram: bytes) -> bool:
        return datagram.startswith((MAGIC, *COMPRESSED)) or _is_plain(datagram)

    def decoding(self, datagrams: Sequence[bytes], now: float, into: Decoded) -> Iterator[None]:
        self._chunks.expire(now, into)
        looked_into = 0
        for index, datagram in enumerate(datagrams):
            whole: bytes | None = datagram
            if datagram.startswith(MAGIC):
                whole = self._chunks.whole(index, datagram, now, into)
            if whole is None:
                continue
            looked_into += decode_message(index, whole, now, into)
            if looked_into > STEP_BYTES:
                looked_into = 0
                yield


def _is_plain(datagram: bytes) -> bool:
    return (
        datagram.lstrip()[:1] == b"{"
        and b'"short_message"' in datagram
        and NATIVE.search(datagram) is None
    )


def decode_message(index: int, message: bytes, now: float, into: Decoded) -> int:
    """Take one message received at `now`, or refuse it by its index; return the bytes it cost."""
    # What cannot be unpacked may have been until its end.
    size = ITEM_BYTES if message.startswith(COMPRESSED) else len(message)
    try:
        message = _unpacked(message)
        size = len(message)
        log = _log(parsed(message), now)
    except Refused as why:
        into.refuse(index, why)
    else:
        take_log(index, log, now, into)
    return size


def _unpacked(message: bytes) -> bytes:
    if message.startswith(COMPRESSED):
        packed = zlib.decompressobj(EITHER)
        try:
            message = packed.decompress(message, ITEM_BYTES + 1)
        except zlib.error as error:
            raise Refused(Code.NOT_JSON, f"neither zlib nor gzip: {error}") from None
        if not packed.eof and len(message) <= ITEM_BYTES:
            raise Refused(Code.NOT_JSON, "what was compressed ends too early")
    if len(message) > ITEM_BYTES:
        raise Refused(Code.ITEM_TOO_LARGE, f"expected at most {ITEM_BYTES} bytes")
    return message


def _log(found: Any, now: float) -> Log:
    if not isinstance(found, dict):
        raise Refused(Code.NOT_AN_OBJECT, "expected an object")
    short = found.pop("short_message", None)
    if not isinstance(short, str):
        raise Refused(Code.MISSING_FIELD, "short_message: missing")
    found.pop("version", None)
    service = next((found[key] for key in SERVICE_KEYS if _is_text(found.get(key))), "")
    found.pop("_service", None)
    time, level = _time(found, now), _level(found)
    message = _message(short, taken(found, ("full_message",)))
    logger = taken(found, LOGGER_KEYS) or ""
    trace_id, span_id = hex_id(found, "_trace_id", 32), hex_id(found, "_span_id", 16)
    fields = {key.removeprefix("_"): value for key, value in found.items() if value is not None}
    said = Said(time=time, service=service, level=level, fields=fields, logger=logger)
    return msgspec.structs.replace(plain_log(message, said), trace_id=trace_id, span_id=span_id)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _time(found: dict[str, Any], now: float) -> float:
    value = found.pop("timestamp", None)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    time = seconds_of(value)
    return now if time is None or time != time else time


def _level(found: dict[str, Any]) -> str:
    """Return the level of a severity, INFO without one; what is no severity stays a field."""
    value = found.get("level")
    if isinstance(value, str):
        value = value.upper()
    level = LEVELS.get(value) if isinstance(value, str | int) else None
    if level is None:
        return "INFO"
    del found["level"]
    return level


def _message(short: str, full: str | None) -> str:
    """Join the two, unless one says all the other does."""
    if not full or full in short:
        return short
    return full if full.startswith(short) else f"{short}\n{full}"
