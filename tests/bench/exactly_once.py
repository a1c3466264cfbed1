"""The row that says whether every acknowledged event is stored exactly once."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from tests.acceptance.oracle import verdict
from tests.bench.table import Row


def lost_or_twice(name: str, acknowledged: set[UUID], stored: Counter[UUID]) -> Row:
    """Count the events that are not there exactly once; none acknowledged is no success."""
    wrong = len(acknowledged - stored.keys()) + sum(1 for count in stored.values() if count > 1)
    good = bool(acknowledged) and not verdict(acknowledged, stored)
    unit = f"events (of {len(acknowledged):,} acknowledged)"
    return Row(f"{name}: lost or twice", wrong, unit, "0", good)
