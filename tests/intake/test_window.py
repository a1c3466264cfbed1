"""The memory of samples and targets, with time passed in."""

from monitord.intake.samples import Samples
from monitord.intake.series import AGE_SECONDS, Point
from monitord.intake.window import Window
from monitord.model import Batch, Metric, Reading, Reason
from tests.intake.conftest import START, Clock, filled, metric


class TestSamples:
    def test_latest_over_matching_series(self) -> None:
        """Given attributes must match; those left out are free, and the newest point wins."""
        window = filled(
            metric(START - 20, 1, target="main", state="idle"),
            metric(START - 10, 2, target="main", state="active"),
            metric(START - 5, 3, target="other", state="active"),
        )

        assert window.latest("m") == Point(START - 5, 3)
        assert window.latest("m", target="main") == Point(START - 10, 2)
        assert window.latest("m", target="main", state="idle") == Point(START - 20, 1)
        assert window.latest("m", target="main", state="gone") is None
        assert window.latest("n") is None

    def test_an_old_value_is_no_value(self) -> None:
        """What was last seen longer ago than `within` is unknown now."""
        clock = Clock()
        window = filled(metric(START, 1), clock=clock)
        clock.now = START + 61

        assert window.latest("m") is None
        assert window.latest("m", within=120) == Point(START, 1)

    def test_series_and_age(self) -> None:
        """Points come oldest first and leave after 15 minutes."""
        clock = Clock()
        window = Window(clock)
        for step in range(100):
            clock.now = START + step * 10
            window.add(Batch(clock.now, metrics=[metric(clock.now, step, target="main")]))

        [(attributes, points)] = window.series("m", target="main")

        assert attributes == {"target": "main"}
        assert [point.value for point in points] == [float(step) for step in range(10, 100)]
        clock.now += AGE_SECONDS
        assert window.series("m") == []

    def test_total_of_a_counter(self) -> None:
        """Increments add up over time and series; no sample is None, not zero."""
        clock = Clock()
        window = Window(clock)
        for step in range(10):
            clock.now = START + step * 10
            window.add(
                Batch(
                    clock.now,
                    metrics=[
                        metric(clock.now, 2, kind="counter", target="main", cpu="0"),
                        metric(clock.now, 3, kind="counter", target="main", cpu="1"),
                    ],
                )
            )

        assert window.total("m", 60, target="main") == 30
        assert window.total("m", 60, cpu="1") == 18
        assert window.total("m", 5, cpu="1") == 3
        assert window.total("m", 60, target="other") is None

    def test_samples_close_together_share_a_point(self) -> None:
        """A thousand samples a second are a point each five seconds; no increment is lost."""
        clock = Clock()
        window = Window(clock)
        for step in range(30_000):
            clock.now = START + step / 1_000
            window.add(
                Batch(
                    clock.now,
                    metrics=[metric(clock.now, step), metric(clock.now, 1, "c", "counter")],
                )
            )

        [(_, gauges)] = window.series("m")
        [(_, counters)] = window.series("c")
        assert (len(gauges), len(counters)) == (6, 6)
        assert gauges[-1] == Point(START + 29.999, 29_999)
        assert [point.value for point in counters] == [5_000] * 6

    def test_late_samples(self) -> None:
        """A late sample changes no newer gauge, and its increment still counts."""
        window = filled(
            metric(START, 5),
            metric(START - 30, 9),
            metric(START, 5, "c", "counter"),
            metric(START - 30, 9, "c", "counter"),
            metric(START - 2_000, 9, "c", "counter"),
        )

        assert window.latest("m") == Point(START, 5)
        assert window.total("c", 60) == 14

    def test_services_have_series_of_their_own(self) -> None:
        """Two services that push the same name do not mix; the service is an attribute."""
        window = filled(
            Metric(time=START, name="m", value=1, service="shop"),
            Metric(time=START, name="m", value=2, service="mail"),
        )

        assert window.latest("m", service="shop") == Point(START, 1)
        assert window.latest("m", service="mail") == Point(START, 2)

    def test_number_of_series_is_bounded(self) -> None:
        """Above the bound new pushed series are not kept; scraped ones have room of their own."""
        samples = Samples(pushed=10, scraped=10)
        flood = [
            Metric(time=START, name="m", value=1, service="shop", attributes={"user": str(user)})
            for user in range(100)
        ]

        samples.add(flood, START)
        samples.add([metric(START, 7, target="main")], START)

        assert len(list(samples.matching("m", {}, START, "shop"))) == 10
        assert len(list(samples.matching("m", {"target": "main"}, START))) == 1

    def test_what_is_pushed_is_not_what_was_scraped(self) -> None:
        """A pushed sample of a scraped name and attributes changes nothing that is scraped."""
        window = filled(
            metric(START - 5, 1, target="main"),
            Metric(START, "m", 9, service="unknown", attributes={"target": "main"}),
            metric(START - 5, 2, "c", "counter"),
            Metric(START, "c", 9, service="shop", kind="counter"),
        )

        assert window.latest("m", target="main") == Point(START - 5, 1)
        assert window.series("m") == [({"target": "main"}, [Point(START - 5, 1)])]
        assert window.total("c", 60) == 2
        assert window.latest("m", service="unknown", target="main") == Point(START, 9)
        assert window.total("c", 60, service="shop") == 9
        assert window.total("c", 60, service=None) == 11

    def test_a_clock_set_back(self) -> None:
        """What was scraped in what is now the future is gone; new values count at once."""
        clock = Clock()
        window = filled(metric(START, 1), metric(START, 5, "c", "counter"), clock=clock)
        clock.now = START - 300

        before = (window.latest("m"), window.total("c", 60), window.series("m"))
        for _ in range(2):
            window.add(
                Batch(
                    clock.now, metrics=[metric(clock.now, 2), metric(clock.now, 1, "c", "counter")]
                )
            )
            clock.now += 30

        assert before == (None, None, [])
        assert window.latest("m") == Point(START - 270, 2)
        assert window.total("c", 300) == 2

    def test_what_an_application_says_is_ahead_is_not_now(self) -> None:
        """A pushed sample of the near future counts when its time comes, and hides none."""
        clock = Clock()
        window = filled(
            Metric(START + 300, "c", 7, service="shop", kind="counter"),
            Metric(START, "c", 1, service="shop", kind="counter"),
            Metric(START + 700, "c", 9, service="shop", kind="counter"),
            clock=clock,
        )

        assert window.latest("c", service="shop") == Point(START, 1)
        assert window.total("c", 60, service="shop") == 1
        clock.now = START + 300
        assert window.total("c", 60, service="shop") == 7

    def test_room_is_made_after_the_clock_was_set_back(self) -> None:
        """The time of the last look through all series is no reason to wait for its return."""
        samples = Samples(scraped=10)
        for batch in range(2):
            now = START + batch * 2_000
            samples.add([metric(now, 1, disk=f"{batch} {disk}") for disk in range(10)], now)

        samples.add([metric(START, 1, disk=str(disk)) for disk in range(10)], START)

        assert len(list(samples.matching("m", {}, START))) == 10

    def test_dead_series_make_room(self) -> None:
        """Series without a recent point give their place to new ones."""
        samples = Samples(scraped=10)
        samples.add([metric(START, 1, disk=str(disk)) for disk in range(10)], START)
        later = START + AGE_SECONDS + 1

        samples.add([metric(later, 2, disk=str(disk)) for disk in range(10, 20)], later)

        assert len(list(samples.matching("m", {}, later))) == 10


class TestTargets:
    def test_since_is_the_last_change(self) -> None:
        """Down since the first failed reading, with the reason of the last one."""
        window = Window(lambda: START)
        window.expect("main", "redis")
        [expected] = window.targets()

        window.note(Reading("main", "redis", START, True, 1.0))
        window.note(Reading("main", "redis", START + 10, False, 1.0, Reason.REFUSED, "first"))
        window.note(Reading("main", "redis", START + 20, False, 1.0, Reason.TIMEOUT, "second"))

        [down] = window.targets()
        assert (expected.up, expected.since, expected.last_reading_at) == (None, None, None)
        assert (down.up, down.since, down.last_reading_at) == (False, START + 10, START + 20)
        assert (down.reason, down.detail) == (Reason.TIMEOUT, "second")

    def test_name_and_kind_are_one_target(self) -> None:
        """A Redis and a PostgreSQL of the same name are two; expecting one twice is once."""
        window = Window(lambda: START)
        window.expect("main", "redis")
        window.expect("main", "postgres")
        window.note(Reading("main", "redis", START, True, 1.0))
        window.expect("main", "redis")

        assert [(status.kind, status.up) for status in window.targets()] == [
            ("redis", True),
            ("postgres", None),
        ]
