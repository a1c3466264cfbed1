"""Bounds per address: failed log-ins in a minute, live streams at once. Memory is bounded too."""

from __future__ import annotations

import time

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address


class Throttle:
    """
    Counts the failures of each address in the last `seconds`; beyond `limit` it has to wait.

    At most `addresses` are remembered, the longest untouched forgotten first.
    """

    def __init__(
        self,
        limit: int = 10,
        seconds: float = 60.0,
        addresses: int = 4_096,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._seconds = seconds
        self._addresses = addresses
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Return how many seconds the address has to wait; 0 when it may try now."""
        failures = self._failures.get(network_of(address))
        if failures is None or len(failures) < self._limit:
            return 0.0
        return max(0.0, failures[0] + self._seconds - self._clock())

    def failed(self, address: str) -> None:
        """Count one failure."""
        key = network_of(address)
        failures = self._failures.setdefault(key, deque(maxlen=self._limit))
        failures.append(self._clock())
        self._failures.move_to_end(key)
        if len(self._failures) > self._addresses:
            self._failures.popitem(last=False)


class NoSeat(Exception):
    """All places are taken; the message says which."""


class Seats:
    """Places for what stays open: so many in all, so many for one address."""

    def __init__(self, total: int = 100, per_address: int = 10) -> None:
        self._total = total
        self._per_address = per_address
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        return self._taken.total()

    @contextmanager
    def take(self, address: str) -> Iterator[None]:
        """Hold a place for the time of the block. Raises NoSeat."""
        key = network_of(address)
        if self.taken >= self._total:
            raise NoSeat(f"all {self._total} live streams are taken")
        if self._taken[key] >= self._per_address:
            raise NoSeat(f"all {self._per_address} live streams of one address are taken")
        self._taken[key] += 1
        try:
            yield
        finally:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]


def network_of(address: str) -> str:
    """Return what one user holds: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and not found.is_loopback:
        return found.exploded[:19]
    return str(found)
