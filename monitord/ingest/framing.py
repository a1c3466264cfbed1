"""Where a message ends in a stream. Bytes in, messages out; no sockets here."""

from __future__ import annotations

import re

from typing import Protocol

from monitord.ingest.decoded import Code, Refused
from monitord.ingest.limits import MESSAGE_BYTES


# `11 <13>hello 1`, RFC 6587: how many bytes follow the blank. A line of a message may begin with
# digits too: only a priority after them makes them a count.
COUNTED = re.compile(rb"([1-9][0-9]{0,9}) (?=<[0-9]{1,3}>)")
# What may yet become one.
BEGUN = re.compile(rb"[1-9][0-9]{0,9}(?: (?:<[0-9]{0,3})?)?")
BLANKS = re.compile(rb"[\n\0]*")

Message = bytes | Refused


class Framing(Protocol):
    """
    Cuts one connection's bytes into messages, and keeps no more of them than one message.

    Once it is `broken` nobody can tell where the next one begins: nothing more is cut.
    """

    broken: bool

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that are whole now, and a Refused for each that is too long."""
        ...

    def rest(self) -> list[Message]:
        """Return what came after the last whole message: the connection has ended."""
        ...


class _Stream:
    """The bytes from `at` on that are no whole message yet, and how a too long one is skipped."""

    def __init__(self) -> None:
        self.buffer = b""
        self.at = 0
        self._skipping = b""

    def feed(self, data: bytes) -> None:
        self.buffer += data
        if self._skipping:
            found = self.buffer.find(self._skipping)
            self.at = found + 1 if found >= 0 else len(self.buffer)
            self._skipping = b"" if found >= 0 else self._skipping

    def keep(self) -> None:
        """Let go of what was taken: once a feed, since it copies the rest."""
        self.buffer = self.buffer[self.at :]
        self.at = 0

    def skip_blanks(self) -> bool:
        """Go on to the next message; say whether there is anything of it."""
        blanks = BLANKS.match(self.buffer, self.at)
        self.at = blanks.end() if blanks else self.at
        return self.at < len(self.buffer)

    def take(self, start: int, size: int) -> bytes | None:
        """Take so many bytes; None while they are not all there."""
        if len(self.buffer) < start + size:
            return None
        self.at = start + size
        return self.buffer[start : self.at]

    def until(self, end: bytes) -> Message | None:
        """Take the bytes before the next `end`, one byte; None while they are not all there."""
        if self._skipping:
            return None
        found = self.buffer.find(end, self.at)
        start, stop = self.at, found if found >= 0 else len(self.buffer)
        if found >= 0:
            self.at = found + 1
        if stop - start <= MESSAGE_BYTES:
            return self.buffer[start:stop] if found >= 0 else None
        if found < 0:
            self.at, self._skipping = stop, end
        return too_long()


class NulFraming:
    """Each message ends with a NUL, as in GELF."""

    def __init__(self) -> None:
        self._stream = _Stream()
        self.broken = False

    def feed(self, data: bytes) -> list[Message]:
        stream = self._stream
        stream.feed(data)
        messages: list[Message] = []
        while stream.skip_blanks() and (message := stream.until(b"\0")) is not None:
            messages.append(message)
        stream.keep()
        return messages

    def rest(self) -> list[Message]:
        return [self._stream.buffer] if self._stream.buffer.strip() else []


class SyslogFraming:
    """
    Each message has its size before it, or ends with a newline; or all end with a NUL.

    Whoever ends one with a NUL may have newlines inside; that is told by a NUL before the next
    priority, or at the end of what came.
    """

    def __init__(self) -> None:
        self._stream = _Stream()
        self._end = b"\n"
        self.broken = False

    def feed(self, data: bytes) -> list[Message]:
        if self._end != b"\0" and (b"\0<" in data or data.endswith(b"\0")):
            self._end = b"\0"
        self._stream.feed(data)
        messages: list[Message] = []
        while not self.broken and (message := self._next()) is not None:
            messages.append(message)
        self._stream.keep()
        return [message for message in messages if isinstance(message, Refused) or message.strip()]

    def rest(self) -> list[Message]:
        rest = self._stream.buffer
        if self.broken or not rest.strip(b"\0\r\n "):
            return []
        if COUNTED.match(rest):
            return [Refused(Code.INVALID_FIELD, "octet count: the connection ended before it")]
        return [rest]

    def _next(self) -> Message | None:
        stream = self._stream
        if not stream.skip_blanks():
            return None
        if stream.buffer[stream.at] in b"123456789":
            if counted := COUNTED.match(stream.buffer, stream.at):
                return self._counted(counted.end(), int(counted[1]))
            if BEGUN.fullmatch(stream.buffer, stream.at):
                return None
        return stream.until(self._end)

    def _counted(self, start: int, size: int) -> Message | None:
        if size > MESSAGE_BYTES:
            self.broken = True
            self._stream.at = len(self._stream.buffer)
            sentence = f"octet count: expected at most {MESSAGE_BYTES}, got {size}"
            return Refused(Code.ITEM_TOO_LARGE, sentence)
        return self._stream.take(start, size)


def too_long() -> Refused:
    return Refused(Code.ITEM_TOO_LARGE, f"expected at most {MESSAGE_BYTES} bytes")
