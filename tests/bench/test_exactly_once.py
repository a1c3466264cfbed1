"""How losses are judged."""

from __future__ import annotations

from collections import Counter
from uuid import uuid4

from tests.bench.exactly_once import lost_or_twice


def test_every_event_that_is_wrong_counts() -> None:
    """
    One that misses and one that is there twice are two; that all are there once is good.
    """
    here, twice, gone = uuid4(), uuid4(), uuid4()

    wrong = lost_or_twice("x", {here, twice, gone}, Counter({here: 1, twice: 2}))
    right = lost_or_twice("x", {here}, Counter({here: 1}))

    assert (wrong.value, wrong.good) == (2, False)
    assert (right.value, right.good) == (0, True)


def test_nothing_acknowledged_is_no_success() -> None:
    """
    A run in which nothing was taken shows nothing.
    """
    assert lost_or_twice("x", set(), Counter()).good is False
