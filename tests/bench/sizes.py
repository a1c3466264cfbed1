"""How much a benchmark does: as much as its promise is about, or less by environment to try it."""

from __future__ import annotations

import os


PREFIX = "MONITORD_BENCH_"


def size(name: str, promised: int) -> int:
    """Return what `MONITORD_BENCH_<name>` says, else the size the promised figure is about."""
    return int(os.environ.get(PREFIX + name, promised))
