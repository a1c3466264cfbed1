"""How many processes ran or waited to, averaged over 1, 5 and 15 minutes."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from monitord.model import Metric
from monitord.scrapers.samples import gauge


class Load:
    what = "load"

    def read(self, at: float) -> Iterator[Metric]:
        names = ("system.load_1m", "system.load_5m", "system.load_15m")
        for name, value in zip(names, psutil.getloadavg(), strict=True):
            yield gauge(name, value)
