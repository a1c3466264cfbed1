"""
What the container monitord runs in may use, and uses. Nothing where there is no limit.

psutil tells the machine's numbers inside a container too; these stand beside them, under their
own names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from monitord.model import Metric
from monitord.scrapers.host import cgroup
from monitord.scrapers.host.cgroup import Group
from monitord.scrapers.increments import Counters, Totals
from monitord.scrapers.samples import counter, gauge


class ContainerMemory:
    """Memory used, without file pages that can be dropped at once: the kubelet's working set."""

    what = "container memory"

    def __init__(self, proc: Path, root: Path) -> None:
        self._proc = proc
        self._root = root

    def read(self, at: float) -> Iterator[Metric]:
        group = cgroup.locate(self._proc, self._root, "memory")
        limit = memory_limit(group) if group else None
        if group is None or limit is None or limit >= psutil.virtual_memory().total:
            return
        yield gauge("container.memory.limit_bytes", limit, "By")
        if (used := memory_used(group)) is not None:
            yield gauge("container.memory.used_bytes", used, "By")
            yield gauge("container.memory.utilization_ratio", used / limit)


class ContainerCpu:
    """Processor time used, as a share of the quota, and how long the quota held processes up."""

    what = "container cpu"

    def __init__(self, proc: Path, root: Path) -> None:
        self._proc = proc
        self._root = root
        self._counters = Counters()

    def read(self, at: float) -> Iterator[Metric]:
        group = cgroup.locate(self._proc, self._root, "cpu")
        cores = cpu_limit(group) if group else None
        if group is None or cores is None:
            return
        yield gauge("container.cpu.limit_cores", cores)
        accounting = group if group.version == 2 else self._accounting()
        interval = self._counters.advance(Totals(cpu_times(group, accounting)), at)
        if interval is None:
            return
        if (used := interval.added.get("used")) is not None:
            yield gauge("container.cpu.utilization_ratio", used / interval.seconds / cores)
        if (throttled := interval.added.get("throttled")) is not None:
            yield counter("container.cpu.throttled_ms", throttled * 1000, "ms")

    def _accounting(self) -> Group | None:
        return cgroup.locate(self._proc, self._root, "cpuacct")


def memory_limit(group: Group) -> int | None:
    """Return the smallest limit in bytes of the group and all above it; None without one."""
    file = "memory.max" if group.version == 2 else "memory.limit_in_bytes"
    found = (cgroup.whole(cgroup.text(folder / file)) for folder in group.lineage())
    return min((limit for limit in found if limit is not None and limit > 0), default=None)


def memory_used(group: Group) -> int | None:
    """Return the bytes in use, without file pages that were not used lately."""
    unified = group.version == 2
    used = group.number("memory.current" if unified else "memory.usage_in_bytes")
    if used is None:
        return None
    stat = group.table("memory.stat")
    return max(0, used - stat.get("inactive_file" if unified else "total_inactive_file", 0))


def cpu_limit(group: Group) -> float | None:
    """Return the smallest quota in cores of the group and all above it; None without one."""
    quota = _quota if group.version == 2 else _quota_v1
    found = (quota(folder) for folder in group.lineage())
    return min((cores for cores in found if cores is not None), default=None)


def cpu_times(group: Group, accounting: Group | None) -> dict[str, float]:
    """Return the processor time used and held up since the group began, in seconds."""
    stat = group.table("cpu.stat")
    if group.version == 2:
        unit, used, throttled = 1e6, stat.get("usage_usec"), stat.get("throttled_usec")
    else:
        unit, used = 1e9, accounting.number("cpuacct.usage") if accounting else None
        throttled = stat.get("throttled_time")
    found = {"used": used, "throttled": throttled}
    return {what: value / unit for what, value in found.items() if value is not None}


def _quota(folder: Path) -> float | None:
    quota, _, period = (cgroup.text(folder / "cpu.max") or "").partition(" ")
    return _cores(cgroup.whole(quota), cgroup.whole(period))


def _quota_v1(folder: Path) -> float | None:
    quota, period = (cgroup.text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return _cores(cgroup.whole(quota), cgroup.whole(period))


def _cores(quota: int | None, period: int | None) -> float | None:
    return quota / period if quota and period and quota > 0 and period > 0 else None
