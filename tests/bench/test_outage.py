"""How an outage is judged: what could not be seen is no success."""

from __future__ import annotations

from tests.bench.outage import Caught, caught_up


def test_nothing_seen_is_missed() -> None:
    """
    Without a live event or a rate there is no figure, and both limits are missed.
    """
    rows = caught_up("Outage", Caught(None, []))

    assert [(row.value, row.good) for row in rows] == [(None, False), (None, False)]


def test_worst_is_judged() -> None:
    """
    One event that came late is enough.
    """
    [_, behind] = caught_up("Outage", Caught(40_000.0, [0.2, 7.0, 0.3]))

    assert (behind.value, behind.good) == (7.0, False)
