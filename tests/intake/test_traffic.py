"""The memory of requests, with time passed in."""

import math
import random
import sys

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.histogram import RELATIVE_ERROR
from monitord.intake.traffic import (
    GATHERED_BYTES,
    GATHERED_ROWS,
    MINUTE_SECONDS,
    RECENT_SECONDS,
    SLOT_SECONDS,
    SPAN_SECONDS,
    Traffic,
)
from monitord.intake.window import Window
from monitord.latency import RequestStats
from monitord.model import Batch, Request
from tests.intake.conftest import START, Clock, filled, request


class TestRequests:
    def test_none_without_a_request(self) -> None:
        """No request is no latency, not a latency of zero."""
        assert filled().requests(60) is None

    def test_totals(self) -> None:
        """Errors are 5xx and exceptions, other 4xx stand apart, sum and maximum are exact."""
        window = filled(
            request(START, 10),
            request(START, 20, status=404),
            request(START, 30, status=500),
            request(START, 40, raised=True),
            request(START, 60, status=422, raised=True),
        )

        stats = window.requests(60)

        assert stats is not None
        assert (stats.count, stats.errors, stats.client_errors) == (5, 3, 1)
        assert (stats.avg_ms, stats.max_ms) == (32, 60)

    def test_quantiles_over_many_slots(self) -> None:
        """Quantiles of an hour are those of all its durations, within the histogram's error."""
        draw = random.Random(7)
        clock = Clock()
        window = Window(clock)
        durations = []
        for _ in range(300):
            clock.now += 10
            batch = [draw.lognormvariate(3, 1) for _ in range(20)]
            durations += batch
            window.add(
                Batch(clock.now, [request(clock.now - draw.uniform(0, 30), ms) for ms in batch])
            )

        stats = window.requests(3_600)

        assert stats is not None
        assert stats.count == len(durations)
        durations.sort()
        for q, measured in ((0.5, stats.p50_ms), (0.95, stats.p95_ms), (0.99, stats.p99_ms)):
            exact = durations[math.ceil(q * len(durations)) - 1]
            assert measured == pytest.approx(exact, rel=RELATIVE_ERROR)

    def test_the_window_moves_on(self) -> None:
        """A request leaves each window once that is over, ten seconds or a minute later."""
        clock = Clock()
        window = filled(request(START), clock=clock)

        clock.now = START + 59
        assert window.requests(60) is not None
        clock.now = START + 71
        assert window.requests(60) is None
        assert window.requests(3_600) is not None
        clock.now = START + 3_661
        assert window.requests(3_600) is None
        assert window.requests(21_600) is not None
        clock.now = START + 21_661
        assert window.requests(21_600) is None

    def test_slots_are_used_again_from_zero(self) -> None:
        """What a slot held when its ring was last at its place is not in it any more."""
        for seconds, around in ((60, 910), (3_600, 21_660)):
            clock = Clock()
            window = filled(request(START, 1_000, status=500), clock=clock)
            assert window.requests(seconds) is not None
            clock.now = START + around

            window.add(Batch(clock.now, [request(clock.now, 5)]))

            stats = window.requests(seconds)
            assert stats is not None
            assert (stats.count, stats.errors, stats.max_ms, stats.avg_ms) == (1, 0, 5, 5)

    def test_time_of_the_request_counts(self) -> None:
        """Late requests count where they belong, early ones now, those out of memory nowhere."""
        window = filled(
            request(START - 595), request(START + 500), request(START - 22_000), request(START)
        )

        minute, hour = window.requests(60), window.requests(3_600)

        assert minute is not None
        assert minute.count == 2
        assert hour is not None
        assert (hour.count, hour.seconds) == (3, 600)

    def test_rate_is_over_the_time_that_was_watched(self) -> None:
        """Twenty seconds after the start, the rate is over twenty seconds, not over the hour."""
        clock = Clock()
        window = filled(*[request(START)] * 100, clock=clock)
        clock.now = START + 20

        stats = window.requests(3_600)

        assert stats is not None
        assert stats.seconds == 20
        assert stats.per_second == 5


class TestRequestPoints:
    def test_each_step_has_its_own_requests(self) -> None:
        """Steps without a request are None; the others hold theirs and the time they cover."""
        clock = Clock()
        clock.now = START + 100
        window = filled(request(START + 5, 10.0), request(START + 65, 30.0, 500), clock=clock)

        first, second, third = window.request_points(START, 30.0, 3)

        assert first is not None
        assert (first.count, first.avg_ms, first.seconds) == (1, 10.0, 30.0)
        assert second is None
        assert third is not None
        assert (third.count, third.errors, third.avg_ms) == (1, 1, 30.0)

    def test_the_step_under_way_covers_what_has_passed(self) -> None:
        """A rate of the newest step is not thinned by time to come."""
        clock = Clock()
        clock.now = START + 20
        window = filled(request(START + 15), clock=clock)

        (newest,) = window.request_points(START, 60.0, 1)

        assert newest is not None
        assert newest.seconds == 20.0

    def test_what_is_older_than_memory_is_gone(self) -> None:
        """A slot that was not used again since is no point any more."""
        clock = Clock()
        window = filled(request(START), clock=clock)
        clock.now = START + 1_000

        tens = window.request_points(START - 60, 10.0, 10)
        minutes = window.request_points(START - 60, 60.0, 20)
        clock.now = START + 22_000
        late = window.request_points(START - 60, 60.0, 370)

        assert tens == [None] * 10
        assert [place for place, stats in enumerate(minutes) if stats is not None] == [1]
        assert late == [None] * 370


class TestGathering:
    @pytest.mark.parametrize("size", [1, 7, GATHERED_ROWS, 9_001])
    def test_every_batch_counts_at_once(self, size: int) -> None:
        """Whoever reads finds all that was added, be it gathered still or counted already."""
        traffic = Traffic(START)
        for count in range(1, 6):
            traffic.add([request(START + count, count)] * size, START + count)

            stats = traffic.stats(60, START + count)
            assert stats is not None
            assert (stats.count, stats.max_ms) == (count * size, count)

    def test_what_is_gathered_is_bounded(self) -> None:
        """Without a reader nothing is held for long: not many requests, and not large ones."""
        many, large = Traffic(START), Traffic(START)
        held = [request(START) for _ in range(10)]
        before = sys.getrefcount(held)

        for _ in range(3 * GATHERED_ROWS // 10):
            many.add(held, START)
            assert sys.getrefcount(held) - before <= GATHERED_ROWS // 10
        assert sys.getrefcount(held) == before
        for _ in range(8):
            large.add(held, START, GATHERED_BYTES // 4)
            assert sys.getrefcount(held) - before < 4
        assert sys.getrefcount(held) == before

    def test_a_request_of_the_future_counts_when_it_came(self) -> None:
        """It is one of the moment it was added, not of the later one at which it was counted."""
        traffic = Traffic(START)
        traffic.add([request(START + 500)], START)
        traffic.add([request(START + 100)], START + 100)

        first, last = traffic.points(START, 100, 2, START + 100)

        assert first is not None
        assert last is not None
        assert (first.count, last.count) == (1, 1)

    def test_a_clock_set_back(self) -> None:
        """What came before is of a time to come, and what comes now counts now."""
        # The length of each ring: then and now share a slot's place.
        for back, seconds in ((910, 60), (21_660, 3_600)):
            traffic = Traffic(START)
            traffic.add([request(START, 9)], START)
            traffic.add([request(START - back, 5)], START - back)

            stats = traffic.stats(seconds, START - back)

            assert stats is not None
            assert (stats.count, stats.max_ms) == (1, 5)


class Asked:
    """Requests as a list, counted one by one by the rule of the slots' edges."""

    def __init__(self, requests: list[Request], now: float) -> None:
        self.requests = requests
        self.now = now

    def between(self, start: float, end: float, slot: int) -> list[Request]:
        """Return those whose slot begins in [start, end), as far back as the ring of it reaches."""
        span = RECENT_SECONDS if slot == SLOT_SECONDS else SPAN_SECONDS
        oldest = self.now // slot - span // slot
        return [
            one
            for one in self.requests
            if (number := min(one.time, self.now) // slot) >= oldest
            and start <= number * slot < end
        ]

    def window(self, seconds: float) -> list[Request]:
        slot = SLOT_SECONDS if seconds <= RECENT_SECONDS else MINUTE_SECONDS
        return self.between((self.now - seconds) // slot * slot, math.inf, slot)


def same(stats: RequestStats | None, requests: list[Request]) -> bool:
    """Say whether the statistics are those of exactly these requests."""
    if stats is None or not requests:
        return stats is None and not requests
    durations = sorted(one.duration_ms for one in requests)
    failed = [one for one in requests if one.status >= 500 or one.error]
    refused = [one for one in requests if one.status >= 400 and one not in failed]
    exact = [durations[math.ceil(q * len(durations)) - 1] for q in (0.5, 0.95, 0.99)]
    return (
        (stats.count, stats.errors, stats.client_errors, stats.max_ms)
        == (len(requests), len(failed), len(refused), durations[-1])
        and stats.avg_ms == pytest.approx(sum(durations) / len(durations))
        and [stats.p50_ms, stats.p95_ms, stats.p99_ms] == pytest.approx(exact, rel=RELATIVE_ERROR)
    )


# How long ago requests were: mostly recent ones, some on a slot's very edge, some early or too old.
AGES = st.one_of(
    st.floats(-700, 1_000),
    st.floats(0, 23_000),
    st.integers(0, 100).map(lambda slots: float(slots * SLOT_SECONDS)),
    st.integers(0, 380).map(lambda slots: float(slots * MINUTE_SECONDS)),
)
REQUESTS = st.builds(
    request,
    AGES.map(lambda age: START - age),
    ms=st.floats(0.002, 3_000_000),
    status=st.sampled_from([200, 404, 500]),
    raised=st.booleans(),
)


class TestBruteForce:
    @settings(deadline=None)
    @given(
        st.lists(REQUESTS, max_size=60),
        st.floats(0, 59.9),
        st.lists(st.integers(1, 61), min_size=1, max_size=9),
        st.one_of(st.floats(1, 900), st.floats(900, 21_600)),
    )
    def test_windows(
        self, requests: list[Request], later: float, sizes: list[int], seconds: float
    ) -> None:
        """However they come, a window holds those whose slot is in it, and says how long it is."""
        now = START + later
        traffic = Traffic(now)
        asked = Asked(requests, now)
        left = list(requests)
        while left:
            size = sizes[len(left) % len(sizes)]
            traffic.add(left[:size], now)
            left = left[size:]
            if size % 2:
                traffic.stats(60, now)

        stats = traffic.stats(seconds, now)

        held = asked.window(seconds)
        assert same(stats, held)
        if stats is not None:
            earliest = min(now, *(one.time for one in held)) // SLOT_SECONDS * SLOT_SECONDS
            assert stats.seconds == max(1.0, now - earliest)

    @settings(deadline=None)
    @given(
        st.lists(REQUESTS, max_size=60),
        st.floats(0, 59.9),
        st.sampled_from([(10.0, 89), (30.0, 29), (60.0, 15), (60.0, 359), (300.0, 71)]),
    )
    def test_points(self, requests: list[Request], later: float, cut: tuple[float, int]) -> None:
        """Each step holds the requests whose slot begins in it, of the finest slots there are."""
        now, (step, count) = START + later, cut
        traffic = Traffic(now)
        asked = Asked(requests, now)
        traffic.add(requests, now)
        start = START - (count - 1) * step

        points = traffic.points(start, step, count, now)

        slot = SLOT_SECONDS if step * count <= RECENT_SECONDS else MINUTE_SECONDS
        for place, stats in enumerate(points):
            begun = start + place * step
            assert same(stats, asked.between(begun, begun + step, slot))
