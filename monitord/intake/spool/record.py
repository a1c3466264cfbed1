"""One frame as bytes: a header that vouches for itself, and a MessagePack body. No I/O here."""

from __future__ import annotations

import struct
import zlib

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from monitord.model import LISTS, Annotation, Batch, Frame, Log, Metric, Request, Span


# 0xc1 is in no MessagePack type and in no UTF-8 text, so that hardly any body holds the mark.
MARK = b"\xc1MNT\xc1FR\xc1"
FIELDS = struct.Struct("<8sQQQdIIIII")
CRC = struct.Struct("<I")
HEADER_BYTES = FIELDS.size + CRC.size

# Bounds what a reader allocates for one record; a body of events is bounded far below.
LIMIT_BODY_BYTES = 64 * 1024 * 1024

# The extension type of an integer that MessagePack has no room for: two's complement, big-endian.
BIG_INTEGER = 1


class Unfit(ValueError):
    """The batch has no form in the spool: a lone surrogate, endless nesting, a foreign type."""


class Header(NamedTuple):
    """
    What a reader knows of a frame without reading it.

    `stamp` is drawn by each run: no text from outside can hold a header that passes for its own.
    """

    mark: bytes
    stamp: int
    writer: int
    seq: int
    received_at: float
    body_bytes: int
    requests: int
    logs: int
    others: int
    body_crc: int

    @property
    def events(self) -> int:
        return self.requests + self.logs + self.others

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return HEADER_BYTES + self.body_bytes


def encode(frame: Frame, stamp: int) -> tuple[bytes, bytes]:
    """
    Return the header and the body of a frame. Raises Unfit.
    """
    batch = frame.batch
    body = encode_batch(batch)
    fields = FIELDS.pack(
        MARK,
        stamp,
        frame.writer,
        frame.seq,
        batch.received_at,
        len(body),
        len(batch.requests),
        len(batch.logs),
        batch.others,
        zlib.crc32(body),
    )
    return fields + CRC.pack(zlib.crc32(fields)), body


def header_at(data: bytes, at: int = 0) -> Header | None:
    """
    Return the header that starts at this offset; None where there is no whole, sound one.
    """
    end = at + FIELDS.size
    if len(data) < at + HEADER_BYTES or not data.startswith(MARK, at):
        return None
    if CRC.unpack_from(data, end)[0] != zlib.crc32(data[at:end]):
        return None
    header = Header._make(FIELDS.unpack_from(data, at))
    return header if header.body_bytes <= LIMIT_BODY_BYTES else None


def is_sound(header: Header, body: bytes) -> bool:
    """Say whether this is the body the header was written for."""
    return len(body) == header.body_bytes and zlib.crc32(body) == header.body_crc


def encode_batch(batch: Batch) -> bytes:
    """
    Return a batch as MessagePack, maps by field name. Raises Unfit.
    """
    try:
        return _encoder.encode(batch)
    except OverflowError:
        pass
    except (UnicodeEncodeError, RecursionError, TypeError, ValueError) as error:
        raise Unfit(str(error)) from error
    try:
        return _encoder.encode(_without_big_integers(msgspec.to_builtins(batch, builtin_types=())))
    except (UnicodeEncodeError, RecursionError, TypeError, ValueError, OverflowError) as error:
        raise Unfit(str(error)) from error


def decode(header: Header, body: bytes) -> tuple[Frame, int]:
    """
    Return the frame, and how many of its events are not what the model takes today.

    Those were left out; the others are never harmed by them, but each behind one has an index less
    by one. That is seen only where a frame is shown, or an event of it refused, by one version and
    stored by another. Raises msgspec.MsgspecError where nothing of it is MessagePack.
    """
    try:
        return Frame(header.writer, header.seq, _decoder.decode(body)), 0
    except (msgspec.ValidationError, RecursionError):
        parts = _parts.decode(body)
    batch = Batch(
        parts.received_at,
        size_bytes=parts.size_bytes,
        idempotency_key=parts.idempotency_key,
        **{name: _fitting(getattr(parts, name), _events[name]) for name in LISTS.values()},
    )
    return Frame(header.writer, header.seq, batch), header.events - len(batch)


class _Parts(msgspec.Struct):
    """A batch whose events are not looked at yet."""

    received_at: float
    requests: list[msgspec.Raw] = []
    logs: list[msgspec.Raw] = []
    metrics: list[msgspec.Raw] = []
    spans: list[msgspec.Raw] = []
    annotations: list[msgspec.Raw] = []
    size_bytes: int = 0
    idempotency_key: str = ""


def _fitting(raws: list[msgspec.Raw], decoder: msgspec.msgpack.Decoder[Any]) -> list[Any]:
    fitting = []
    for raw in raws:
        try:
            fitting.append(decoder.decode(raw))
        except (msgspec.MsgspecError, RecursionError):
            continue
    return fitting


def _without_big_integers(value: Any) -> Any:
    """Return plain data with every integer beyond 64 bits as an extension."""
    if isinstance(value, dict):
        return {key: _without_big_integers(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_big_integers(one) for one in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        size = value.bit_length() // 8 + 1
        return msgspec.msgpack.Ext(BIG_INTEGER, value.to_bytes(size, "big", signed=True))
    return value


def _extension(code: int, data: memoryview) -> Any:
    if code == BIG_INTEGER:
        return int.from_bytes(data, "big", signed=True)
    raise msgspec.ValidationError(f"extension type {code} is not known")


def _reader(of: Any) -> msgspec.msgpack.Decoder[Any]:
    hook: Callable[[int, memoryview], Any] = _extension
    return msgspec.msgpack.Decoder(of, ext_hook=hook)


_encoder = msgspec.msgpack.Encoder()
_decoder, _parts = _reader(Batch), _reader(_Parts)
_events: dict[str, msgspec.msgpack.Decoder[Any]] = {
    "requests": _reader(Request),
    "logs": _reader(Log),
    "metrics": _reader(Metric),
    "spans": _reader(Span),
    "annotations": _reader(Annotation),
}
