"""Bounds per address."""

import pytest

from monitord.http.throttle import NoSeat, Seats, Throttle, network_of


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_waits_after_too_many_failures() -> None:
    """
    Ten wrong tokens in a minute make an address wait, until the first of them is a minute old.
    """
    clock = Clock()
    throttle = Throttle(limit=10, seconds=60, clock=clock)
    for _ in range(9):
        throttle.failed("192.0.2.7")
    before = throttle.wait("192.0.2.7")
    throttle.failed("192.0.2.7")

    clock.now += 45

    assert before == 0
    assert throttle.wait("192.0.2.7") == 15
    clock.now += 15
    assert throttle.wait("192.0.2.7") == 0


def test_others_do_not_wait() -> None:
    """
    One address' failures lock out nobody else; the /64 of an IPv6 user counts as one.
    """
    throttle = Throttle(limit=1)
    throttle.failed("192.0.2.7")
    throttle.failed("2001:db8:1:2::1")

    assert throttle.wait("192.0.2.8") == 0
    assert throttle.wait("2001:db8:1:2:ffff::9") > 0
    assert throttle.wait("2001:db8:1:3::1") == 0


def test_memory_is_bounded() -> None:
    """
    Many addresses do not add up: the longest untouched are forgotten.
    """
    throttle = Throttle(limit=1, addresses=100)
    for number in range(1_000):
        throttle.failed(f"10.0.{number // 250}.{number % 250}")

    remembered = [n for n in range(1_000) if throttle.wait(f"10.0.{n // 250}.{n % 250}")]

    assert remembered == list(range(900, 1_000))


def test_seats_of_one_address() -> None:
    """
    One address cannot take every place; a place that is left can be taken again.
    """
    seats = Seats(total=5, per_address=2)
    with seats.take("192.0.2.7"), seats.take("192.0.2.7"):
        with (
            pytest.raises(NoSeat, match="all 2 live streams of one address"),
            seats.take("192.0.2.7"),
        ):
            pass
        with seats.take("192.0.2.8"):
            taken = seats.taken

    assert taken == 3
    assert seats.taken == 0
    with seats.take("192.0.2.7"):
        assert seats.taken == 1


def test_seats_in_all() -> None:
    """
    The whole number of places is bounded too.
    """
    seats = Seats(total=2, per_address=2)
    with (
        seats.take("192.0.2.7"),
        seats.take("192.0.2.8"),
        pytest.raises(NoSeat, match="all 2 live streams are taken"),
        seats.take("192.0.2.9"),
    ):
        pass


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.7", "192.0.2.7"), ("::1", "::1"), ("2001:db8::1", "2001:0db8:0000:0000"), ("", "")],
)
def test_network_of(address: str, network: str) -> None:
    """
    What one user holds: an IPv4 address, or the /64 of an IPv6 address.
    """
    assert network_of(address) == network
