"""How much a benchmark does: as much as its promise is about, or less by environment to try it."""

from __future__ import annotations

import os


def size(name: str, promised: int) -> int:
    """Return what `MONITORD_BENCH_<name>` says, else the size the promised figure is about."""
    return int(os.environ.get(f"MONITORD_BENCH_{name}", promised))
