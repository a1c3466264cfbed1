"""The hours of samples beyond the last minutes, with time passed in."""

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.intake.minutes import MINUTE_SECONDS, Minutes, Summary
from monitord.intake.samples import SPAN_SECONDS, Samples
from monitord.intake.window import Window
from monitord.model import Batch, Metric
from tests.intake.conftest import START, Clock, filled, metric


def flow(window: Window, clock: Clock, minutes: int) -> None:
    """Let samples come in every ten seconds, for so many minutes."""
    for _ in range(minutes * 6):
        window.add(
            Batch(clock.now, metrics=[metric(clock.now, 1, "c", "counter"), metric(clock.now, 7)])
        )
        clock.now += 10


class TestMinutes:
    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 40_000).map(lambda hundredth: START + hundredth / 100),
                st.floats(-1e300, 1e300),
            ),
            max_size=80,
        )
    )
    def test_equal_the_samples(self, samples: list[tuple[float, float]]) -> None:
        """In whatever order samples come, each minute says what its own came to."""
        minutes = Minutes()
        for at, value in samples:
            minutes.add(at, value)

        begun = sorted({at // MINUTE_SECONDS * MINUTE_SECONDS for at, _ in samples})
        assert [one.at for one in minutes] == begun
        for one in minutes:
            held = [pair for pair in samples if one.at <= pair[0] < one.at + MINUTE_SECONDS]
            values = [value for _, value in held]
            newest = max(at for at, _ in held)
            assert (one.count, one.lowest, one.highest) == (len(held), min(values), max(values))
            assert one.total == pytest.approx(sum(values))
            assert one.last == [value for at, value in held if at == newest][-1]

    def test_one_sample_is_all_of_its_minute(self) -> None:
        """What came once is lowest, highest, sum and last, also where it is below zero."""
        minutes = Minutes()

        minutes.add(START + 61.5, -3.0)

        assert list(minutes) == [Summary(START + 60, 1, -3.0, -3.0, -3.0, -3.0)]


class TestHours:
    def test_six_hours_by_the_minute(self) -> None:
        """A minute has all its samples; after 6 hours it is gone, and points were long before."""
        clock = Clock()
        window = Window(clock)
        flow(window, clock, 420)

        [(_, gauges)] = window.minutes("m")
        [(_, counters)] = window.minutes("c")
        [(_, points)] = window.series("m")

        assert (gauges[0].at, len(gauges)) == (clock.now - SPAN_SECONDS, 360)
        assert {(one.count, one.lowest, one.highest, one.last) for one in gauges} == {(6, 7, 7, 7)}
        assert {one.total for one in counters} == {6.0}
        assert points[0].at >= clock.now - 900

    def test_what_no_longer_comes_is_remembered(self) -> None:
        """A series that ended an hour ago has its minutes, no points, and no minute of zero."""
        clock = Clock()
        window = Window(clock)
        flow(window, clock, 10)
        clock.now += 3_600

        [(_, minutes)] = window.minutes("m")

        assert [one.at for one in minutes] == [START + 60 * minute for minute in range(10)]
        assert window.series("m") == []
        assert window.latest("m", within=7_200) is None
        clock.now += SPAN_SECONDS
        assert window.minutes("m") == []

    def test_total_of_hours(self) -> None:
        """A counter's sum reaches beyond the points; without a sample it is not known."""
        clock = Clock()
        window = Window(clock)
        flow(window, clock, 120)

        assert window.total("c", 900) == 89
        assert window.total("c", 3_600) == 360
        assert window.total("c", 86_400) == 720
        assert window.total("n", 3_600) is None
        clock.now += 3_660
        assert window.total("c", 3_600) is None

    def test_late_samples_find_their_minute(self) -> None:
        """A late one is counted where it belongs and is not the last; one too late is nowhere."""
        window = filled(
            metric(START, 5),
            metric(START - 30, 9),
            metric(START - 40, 2),
            metric(START - 800, 4),
            metric(START - 901, 8),
        )

        [(_, minutes)] = window.minutes("m")

        assert minutes == [
            Summary(START - 840, 1, 4.0, 4.0, 4.0, 4.0),
            Summary(START - 60, 2, 11.0, 2.0, 9.0, 9.0),
            Summary(START, 1, 5.0, 5.0, 5.0, 5.0),
        ]

    def test_a_clock_set_back(self) -> None:
        """What was scraped in what is now the future is in no minute, the one of now included."""
        clock = Clock()
        window = Window(clock)
        flow(window, clock, 10)
        clock.now = START + 330

        window.add(Batch(clock.now, metrics=[metric(clock.now, 1, "c", "counter")]))

        [(_, minutes)] = window.minutes("c")
        assert [one.total for one in minutes] == [6.0, 6.0, 6.0, 6.0, 6.0, 6.0]
        assert window.total("c", 3_600) == window.total("c", 900) == 36

    def test_many_series_share_the_room(self) -> None:
        """Of more series than have room for 6 hours each keeps less; pushed ones take from none."""
        samples = Samples(pushed_minutes=100, scraped_minutes=1_000)
        for minute in range(300):
            now = START + minute * 60
            samples.add([metric(now, 1, disk=str(disk)) for disk in range(20)], now)
            samples.add(
                [Metric(now, "p", 1, "shop", attributes={"n": str(n)}) for n in range(5)], now
            )

        scraped = [len(series.minutes) for series in samples.matching("m", {}, now)]
        pushed = [len(series.minutes) for series in samples.matching("p", {}, now, "shop")]

        assert (scraped, pushed) == ([51] * 20, [21] * 5)

    def test_series_that_ended_give_room_to_new_ones(self) -> None:
        """New series shorten the memory of those nobody feeds or reads any more."""
        samples = Samples(scraped_minutes=1_000)
        for minute in range(100):
            samples.add(
                [metric(START + minute * 60, 1, disk=str(disk)) for disk in range(10)],
                START + minute * 60,
            )
        now = START + 6_000
        old = list(samples.matching("m", {}, now))

        for second in range(0, 60, 20):
            samples.add(
                [metric(now, 1, disk=f"new {second} {disk}") for disk in range(30)], now + second
            )

        assert sum(len(series.minutes) for series in old) <= 200

    def test_a_flood_of_pushed_series_ends_no_scraped_one(self) -> None:
        """When pushed series are too many, scraped ones without a recent point keep their hours."""
        samples = Samples(pushed=10)
        samples.add([metric(START, 1, target="main")], START)
        later = START + 3_600
        for second in (0, 60):
            flood = [
                Metric(later + second, "p", 1, "shop", attributes={"n": str(n)}) for n in range(50)
            ]
            samples.add(flood, later + second)

        [series] = samples.matching("m", {"target": "main"}, later)

        assert len(series.minutes) == 1
