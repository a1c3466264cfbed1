"""What each network interface received and sent since the last reading."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from monitord.model import Metric
from monitord.scrapers.increments import CounterGroups, Totals
from monitord.scrapers.samples import counter


# Loopback is no network; each container brings a veth, whose bytes its bridge counts, too.
LOOPBACK = "lo"
CONTAINER_END = "veth"


class Network:
    what = "network"

    def __init__(self) -> None:
        self._counters = CounterGroups()

    def read(self, at: float) -> Iterator[Metric]:
        totals = {
            interface: Totals({"received": io.bytes_recv, "sent": io.bytes_sent})
            for interface, io in psutil.net_io_counters(pernic=True, nowrap=False).items()
            if _is_network(interface) and (io.bytes_recv or io.bytes_sent)  # else: a dummy
        }
        for interface, interval in self._counters.advance(totals, at).items():
            for what, value in interval.added.items():
                yield counter(f"system.network.{what}_bytes", value, "By", interface=interface)


def _is_network(interface: str) -> bool:
    return interface != LOOPBACK and not interface.startswith(CONTAINER_END)
