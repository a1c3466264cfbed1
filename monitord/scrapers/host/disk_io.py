"""What was read from and written to each disk since the last reading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from monitord.model import Metric
from monitord.scrapers.increments import CounterGroups, Totals
from monitord.scrapers.samples import counter


BLOCK_DEVICES = Path("/sys/block")
NOT_DISKS = ("loop", "ram", "zram", "sr", "fd")


class DiskIo:
    """Whole disks only: a partition's bytes are its disk's as well."""

    what = "disk i/o"

    def __init__(self) -> None:
        self._counters = CounterGroups()

    def read(self, at: float) -> Iterator[Metric]:
        totals = {
            device: Totals({"read": io.read_bytes, "written": io.write_bytes})
            for device, io in (psutil.disk_io_counters(perdisk=True, nowrap=False) or {}).items()
            if _is_disk(device)
        }
        for device, interval in self._counters.advance(totals, at).items():
            for what, value in interval.added.items():
                yield counter(f"system.disk.{what}_bytes", value, "By", device=device)


def _is_disk(device: str) -> bool:
    whole = (BLOCK_DEVICES / device.replace("/", "!")).exists()
    return whole and not device.startswith(NOT_DISKS)
