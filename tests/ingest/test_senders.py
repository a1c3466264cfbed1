"""What was lost on the way: sent by the senders' word, and never heard."""

from __future__ import annotations

from typing import Any

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.ingest.envelope import Envelope
from monitord.ingest.senders import GAPS, GRACE_SECONDS, OVERFLOW, SENDERS, SERVICES, Senders
from monitord.telemetry import Telemetry


EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True, database=None)


class Hearing:
    """Senders on a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.telemetry = Telemetry()
        self.senders = Senders(self.telemetry, lambda: self.now)
        self.now += 100

    def hear(self, *spans: tuple[int, int], sender: str = "a", **named: Any) -> None:
        """Hear of events from the first number up to the second, of a sender a second old."""
        said = {"id": sender, "service": "shop", "age_ms": 1_000, **named}
        self.senders.hear([Envelope(sequence=a, events=b - a, **said) for a, b in spans])

    def lost(self, service: str = "shop", wait: float = GRACE_SECONDS) -> float | None:
        """Return what is counted after a while."""
        self.now += wait
        self.senders.settle()
        labels = {"service": service}
        return self.telemetry.registry.get_sample_value("monitord_ingest_lost_events_total", labels)


@pytest.fixture
def heard() -> Hearing:
    return Hearing()


@pytest.mark.parametrize(
    ("spans", "lost"),
    [
        ([(0, 40), (40, 80)], 0),
        ([(0, 40), (80, 120)], 40),
        ([(40, 80)], 40),
        ([(0, 40), (60, 60)], 20),
        ([(0, 10), (20, 30), (40, 50)], 20),
        ([(0, 10), (20, 30), (10, 20)], 0),
        ([(0, 10), (40, 50), (20, 30)], 20),
        ([(30, 40), (20, 30), (10, 20), (0, 10)], 0),
        ([(0, 40), (0, 40), (40, 80), (40, 80), (0, 40)], 0),
        ([(0, 10), (20, 30), (10, 20), (10, 20), (20, 30)], 0),
        ([(0, 10), (20, 30), (15, 15)], 10),
        ([(0, 10), (10, 20), (10, 30)], 0),
        ([(0, 0), (0, 0)], 0),
    ],
)
def test_gaps(heard: Hearing, spans: list[tuple[int, int]], lost: int) -> None:
    """
    What is missing below the highest number is lost; what comes late, twice or empty is no harm.
    """
    heard.hear(*spans)

    assert heard.lost() == lost


def test_a_gap_is_no_loss_at_once(heard: Hearing) -> None:
    """
    A gap counts when the grace is over, and only once; what fills it later is not counted back.
    """
    heard.hear((0, 10), (20, 30))

    assert heard.lost(wait=GRACE_SECONDS - 0.1) == 0
    heard.hear((40, 50))
    assert heard.lost(wait=0.2) == 10
    assert heard.lost() == 20
    heard.hear((10, 20), (30, 40))
    assert heard.lost() == 20


def test_each_service_has_its_count(heard: Hearing) -> None:
    """
    Processes of one service share a count and no numbers; a service without loss counts 0.
    """
    heard.hear((0, 10), (20, 30), sender="a")
    heard.hear((0, 5), (6, 7), sender="b")
    heard.hear((7, 8), (9, 9), sender="c", service="mail")
    heard.hear((0, 8), sender="d", service="search")

    assert heard.lost() == 11
    assert heard.lost("mail") == 8
    assert heard.lost("search") == 0


def test_a_sender_older_than_this(heard: Hearing) -> None:
    """
    What was sent to a daemon before this one is not missed; what follows the first word is.
    """
    heard.hear((5_000, 5_010), (5_020, 5_030), (4_990, 5_000), age_ms=100_500)

    assert heard.lost() == 10


def test_a_sender_that_starts_again(heard: Hearing) -> None:
    """
    A new process is a new sender: its numbers begin at 0, and nothing of the old one's is lost.
    """
    heard.hear((0, 500), sender="a")
    heard.hear((0, 10), (10, 20), sender="b", age_ms=1)

    assert heard.lost() == 0


def test_many_senders(heard: Hearing) -> None:
    """
    The oldest is forgotten, its open gaps counted; heard again it starts from what it says.
    """
    heard.hear((0, 10), (20, 30), sender="first")
    heard.now += 1
    for number in range(SENDERS):
        heard.hear((0, 10), sender=f"{number}", age_ms=1)

    assert heard.lost(wait=0) == 10
    heard.now += 50
    heard.hear((70, 80), (90, 100), sender="first", age_ms=52_000)
    # Whoever began after the forgotten one was last heard is still known from its first event.
    heard.hear((10, 20), sender="late", age_ms=1_000)
    assert heard.lost() == 10 + 10 + 10


def test_who_is_heard_is_not_forgotten(heard: Hearing) -> None:
    """
    Not the first heard goes, but the one silent for longest.
    """
    heard.hear((0, 10), sender="busy")
    for number in range(SENDERS * 2):
        heard.hear((0, 10), sender=f"{number}", age_ms=1)
        heard.hear((number * 10, number * 10 + 10), sender="busy")
    heard.hear((SENDERS * 20 + 5, SENDERS * 20 + 10), sender="busy")

    assert heard.lost() == 5


def test_many_gaps(heard: Hearing) -> None:
    """
    Beyond a number of open gaps the oldest counts at once, so that none is kept for ever.
    """
    heard.hear(*((number * 2 + 1, number * 2 + 2) for number in range(GAPS + 7)))

    assert heard.lost(wait=0) == 7
    assert heard.lost() == GAPS + 7


def test_many_services(heard: Hearing) -> None:
    """
    The counter has a bounded number of labels; the known ones stay, the others share one.
    """
    for number in range(SERVICES + 5):
        heard.hear((1, 2), sender=f"{number}", service=f"service {number}")
    heard.hear((1, 2), sender="again", service="service 0")

    assert heard.lost("service 0") == 2
    assert heard.lost(OVERFLOW) == 5
    assert heard.lost(f"service {SERVICES}") is None


SENDINGS = st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=12), min_size=1, max_size=4)


@EXAMPLES
@given(SENDINGS, st.data())
def test_lost_is_what_was_sent_and_did_not_arrive(
    sendings: list[list[int]], data: st.DataObject
) -> None:
    """
    Whichever datagrams of several senders arrive, in whatever order and however often: sent minus
    arrived is lost, to the event, once each sender's last word has been heard.
    """
    datagrams = []
    last = []
    for sender, sizes in enumerate(sendings):
        total = 0
        for size in sizes:
            datagrams.append((f"{sender}", total, size))
            total += size
        last.append((f"{sender}", total, 0))
    kept = data.draw(st.lists(st.sampled_from(datagrams), max_size=40))
    order = data.draw(st.permutations([*kept, *last]))
    heard = Hearing()

    for sender, sequence, events in order:
        heard.hear((sequence, sequence + events), sender=sender)

    sent = sum(map(sum, sendings))
    assert heard.lost() == sent - sum(events for _, _, events in set(kept))
