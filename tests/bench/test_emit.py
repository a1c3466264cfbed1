"""An hour without a daemon: what is measured is an emitter that has nowhere to send."""

from __future__ import annotations

import pytest

from tests.bench import emit


def test_memory_is_that_of_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What waits is in the figure: more of it while it is little, and never less than in the end.
    """
    monkeypatch.setattr(emit, "AWAY", 200)
    _, little = emit.grown_mb(emit.nowhere())
    monkeypatch.setattr(emit, "AWAY", 1_000)

    most, held = emit.grown_mb(emit.nowhere())

    assert most >= held > little > 0


def test_both_are_recorded_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The two rows have a figure each.
    """
    monkeypatch.setattr(emit, "AWAY", emit.CALLS)

    assert all(row.value is not None and row.value > 0 for row in emit.away())
