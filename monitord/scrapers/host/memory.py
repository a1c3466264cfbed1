"""The machine's memory and swap."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from monitord.model import Metric
from monitord.scrapers.samples import gauge


class Memory:
    """Used is what is not available, so that used and available make the total."""

    what = "memory"

    def read(self, at: float) -> Iterator[Metric]:
        memory = psutil.virtual_memory()
        used = memory.total - memory.available
        yield gauge("system.memory.total_bytes", memory.total, "By")
        yield gauge("system.memory.available_bytes", memory.available, "By")
        yield gauge("system.memory.used_bytes", used, "By")
        yield gauge("system.memory.utilization_ratio", used / memory.total)
        swap = psutil.swap_memory()
        yield gauge("system.swap.total_bytes", swap.total, "By")
        yield gauge("system.swap.used_bytes", swap.used, "By")
