"""How busy the processors were since the last reading, together and each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psutil

from monitord.model import Metric
from monitord.scrapers.samples import gauge


Times = tuple[float, ...]

# Linux counts a guest's time a second time, in user and nice.
_COUNTED_TWICE = ("guest", "guest_nice")
_AT_REST = ("idle", "iowait")


class Cpu:
    """
    Compares the lifetime times of two readings, so that nothing has to wait between them.

    (psutil's own `cpu_percent` keeps its last times per thread, and a worker thread is not always
    the same one.)
    """

    what = "cpu"

    def __init__(self) -> None:
        self._before: list[Times] = []

    def read(self, at: float) -> Iterator[Metric]:
        cores = psutil.cpu_times(percpu=True)
        yield gauge("system.cpu.count", len(cores))
        fields, now = cores[0]._fields, [tuple(core) for core in cores]
        before, self._before = self._before, now
        if len(before) != len(now):  # the first reading, or a processor was switched on or off
            return
        if (busy := utilization(_sum(before), _sum(now), fields)) is not None:
            yield gauge("system.cpu.utilization_ratio", busy)
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            if (busy := utilization(old, new, fields)) is not None:
                yield gauge("system.cpu.core.utilization_ratio", busy, cpu=str(number))


def utilization(before: Times, now: Times, fields: Sequence[str]) -> float | None:
    """
    Return the share 0..1 of the time between two readings that was not idle; None without time.

    The kernel's iowait and idle may go back a little: such a step counts as none.
    """
    passed = {
        field: max(0.0, new - old) for field, old, new in zip(fields, before, now, strict=True)
    }
    total = sum(passed.values()) - sum(passed.get(field, 0.0) for field in _COUNTED_TWICE)
    at_rest = sum(passed.get(field, 0.0) for field in _AT_REST)
    return min(1.0, max(0.0, 1 - at_rest / total)) if total > 0 else None


def _sum(cores: Sequence[Times]) -> Times:
    return tuple(map(sum, zip(*cores, strict=True)))
