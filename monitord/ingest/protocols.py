"""
The protocols of datagrams, told apart by their first bytes. A new one: its file, and a line here.

A decoder belongs to one listener and may keep what a later datagram needs. It raises nothing for
what a datagram holds, and yields now and then where that is much, so that others get a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from typing import Protocol

from monitord.ingest import native
from monitord.ingest.decoded import Decoded
from monitord.ingest.gelf import Gelf
from monitord.ingest.statsd import Statsd
from monitord.ingest.syslog import Syslog


class Datagrams(Protocol):
    """The decoder of one protocol; `name` is its label on /metrics."""

    @property
    def name(self) -> str: ...

    def owns(self, datagram: bytes) -> bool:
        """Say whether the datagram is of this protocol, by its first bytes."""
        ...

    def decoding(self, datagrams: Sequence[bytes], now: float, into: Decoded) -> Iterator[None]:
        """Decode datagrams received at `now`, Unix seconds; pause at every yield."""
        ...


class Native:
    """Newline-delimited JSON, or an array of it. What nobody else owns is refused here."""

    name = "udp"

    def owns(self, datagram: bytes) -> bool:
        return True

    def decoding(self, datagrams: Sequence[bytes], now: float, into: Decoded) -> Iterator[None]:
        return native.decoding(datagrams, now, into)


# Asked in this order; the last one owns the rest. StatsD comes in the smallest datagrams.
PROTOCOLS: tuple[Callable[[], Datagrams], ...] = (Statsd, Gelf, Syslog, Native)


class Sorted:
    """Decodes the datagrams of one listener, each by its protocol."""

    def __init__(self) -> None:
        self._protocols: list[Datagrams] = [make() for make in PROTOCOLS]
        self._native = self._protocols[-1]
        self.names = [one.name for one in self._protocols]

    def decoding(
        self, datagrams: Sequence[bytes], now: float, into: dict[str, Decoded]
    ) -> Iterator[None]:
        """
        Decode datagrams received at `now` into one Decoded a protocol, by its name.

        Those that are all native, as nearly always, are not even looked at one by one.
        """
        first = into.setdefault(self._native.name, Decoded())
        if native.take_at_once(datagrams, now, first):
            return
        for protocol, some in self._sorted(datagrams):
            if some:
                found = into.setdefault(protocol.name, Decoded())
                yield from protocol.decoding(some, now, found)

    def _sorted(self, datagrams: Sequence[bytes]) -> list[tuple[Datagrams, list[bytes]]]:
        kept: list[tuple[Datagrams, list[bytes]]] = []
        for protocol in self._protocols:
            owned = [protocol.owns(one) for one in datagrams]
            kept.append((protocol, list(compress(datagrams, owned))))
            if all(owned):
                break
            datagrams = [one for one, taken in zip(datagrams, owned, strict=True) if not taken]
        return kept
