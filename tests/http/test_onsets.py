"""Since when the requests are bad."""

from __future__ import annotations

import pytest

from monitord.http.kpis import Limits
from monitord.http.onsets import Onsets
from monitord.intake.window import Window
from monitord.model import Batch, Request


START = 1_795_459_203.0
ERRORS = ("api.error_rate", 300.0, Limits("lower", 1, 5))


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Traffic:
    """Requests that come in second by second, of which some fail."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.window = Window(self.clock)
        self.onsets = Onsets(self.window)

    def flow(self, seconds: int, failing: bool = False) -> float:
        """Let requests come in for so long; return when the first of them came."""
        begun = self.clock.now
        for _ in range(seconds):
            status = 500 if failing else 200
            request = Request(self.clock.now, "shop", "GET", "/", status, 5.0)
            self.window.add(Batch(self.clock.now, requests=[request]))
            self.clock.now += 1
        return begun

    def since(self) -> float | None:
        return self.onsets.since(ERRORS, self.clock.now)


@pytest.mark.parametrize("well", [0, 301, 604])
def test_since_the_fault_and_never_before(well: int) -> None:
    """
    It says when the fault was seen first: never before it, nor before monitord, and within seconds.
    """
    traffic = Traffic()
    traffic.flow(well)
    fault = traffic.flow(95, failing=True)

    since = traffic.since()

    # Three failures are the least, and a slot is ten seconds long.
    assert since is not None
    assert fault <= since <= fault + 20


def test_since_stays_while_it_lasts() -> None:
    """
    Asked again it answers the same, also when memory has forgotten how it began.
    """
    traffic = Traffic()
    traffic.flow(400)
    traffic.flow(60, failing=True)
    first = traffic.since()

    for _ in range(3):
        traffic.flow(1_500, failing=True)
        assert traffic.since() == first


def test_since_begins_anew_after_a_recovery() -> None:
    """
    What was well in between is a new fault.
    """
    traffic = Traffic()
    traffic.flow(400)
    traffic.flow(60, failing=True)
    traffic.since()
    traffic.flow(400)
    fault = traffic.flow(60, failing=True)

    since = traffic.since()

    assert since is not None
    assert fault <= since <= fault + 20


@pytest.mark.parametrize("lasting", [1_000, 5_003, 20_000])
def test_since_long_ago_is_known_to_the_minute(lasting: int) -> None:
    """
    Asked for the first time after hours of it, it says the minute, and never one too early.
    """
    traffic = Traffic()
    traffic.flow(400)
    fault = traffic.flow(lasting, failing=True)

    since = traffic.since()

    assert since is not None
    assert fault <= since <= fault + 80


def test_since_before_memory_is_not_known() -> None:
    """
    Asked for the first time after more than six hours of it, nobody knows since when.
    """
    traffic = Traffic()
    traffic.flow(400)
    traffic.flow(21_700, failing=True)

    assert traffic.since() is None
