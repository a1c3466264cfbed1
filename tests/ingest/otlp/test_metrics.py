"""Metrics of OTLP: gauges, increments and distributions, whatever they were sent as."""

from __future__ import annotations

import math
import time

from typing import Any

import numpy as np
import pytest

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
    Summary,
    SummaryDataPoint,
)

from monitord.histogram import ZERO_TO_FIRST, signed_value
from monitord.ingest.decoded import Decoded, TooManyItems
from monitord.ingest.otlp import identity, totals
from monitord.ingest.otlp.metrics import MetricDecoder
from tests.ingest.otlp.messages import SECOND, attributes, metrics


DELTA, CUMULATIVE = 1, 2
NOW_NS = time.time_ns()
# When the decoder began, and a time after it.
SINCE = NOW_NS - 1_000 * SECOND
LATER = SINCE + SECOND

MANY = [SummaryDataPoint.ValueAtQuantile()] * 101


class Sender:
    """Sends points of one series to one decoder, ten seconds apart."""

    def __init__(self, start: int = LATER, since: int = SINCE) -> None:
        self.decoder = MetricDecoder(since)
        self.start = start
        self.at = LATER + SECOND
        self.changes: list[Any] = []

    def decoded(self, *found: Metric, **of: Any) -> Decoded:
        body = metrics(*found, **of).SerializeToString()
        into, self.changes = self.decoder.decode(body, NOW_NS / 1e9, 10_000)
        return into

    def when(self) -> dict[str, int]:
        self.at += 10 * SECOND
        return {"start_time_unix_nano": self.start, "time_unix_nano": self.at}

    def total(self, value: float, temporality: int = CUMULATIVE, **more: Any) -> list[float]:
        """Send a monotonic sum; return the increments it gave."""
        point = NumberDataPoint(as_double=value, **self.when() | more)
        into = self.decoded(counter(point, temporality))
        assert all(metric.kind == "counter" for metric in into.metrics)
        return [metric.value for metric in into.metrics]

    def histogram(self, temporality: int = CUMULATIVE, **point: Any) -> Decoded:
        of = Histogram(
            aggregation_temporality=temporality,
            data_points=[HistogramDataPoint(**self.when() | point)],
        )
        return self.decoded(Metric(name="h", unit="s", histogram=of))

    def exponential(self, temporality: int = CUMULATIVE, **point: Any) -> Decoded:
        of = ExponentialHistogram(
            aggregation_temporality=temporality,
            data_points=[ExponentialHistogramDataPoint(**self.when() | point)],
        )
        return self.decoded(Metric(name="e", unit="ms", exponential_histogram=of))


def counter(point: NumberDataPoint, temporality: int, monotonic: bool = True) -> Metric:
    found = Sum(aggregation_temporality=temporality, is_monotonic=monotonic, data_points=[point])
    return Metric(name="orders", unit="1", sum=found)


class TestNumbers:
    def test_a_gauge(self) -> None:
        """A gauge keeps name, unit, value, time and attributes, which are texts."""
        at = NOW_NS - SECOND
        found = attributes({"queue": "mail", "n": 3, "b": True, "l": [1]})
        point = NumberDataPoint(as_int=7, time_unix_nano=at, attributes=found)

        [one] = (
            Sender()
            .decoded(Metric(name="depth", unit="By", gauge=Gauge(data_points=[point])))
            .metrics
        )

        assert (one.name, one.kind, one.value, one.unit) == ("depth", "gauge", 7.0, "By")
        assert one.time == pytest.approx(at / 1e9)
        assert one.attributes == {"queue": "mail", "n": "3", "b": "true", "l": "[1]"}
        assert one.service == "shop"

    def test_what_may_fall_is_a_gauge(self) -> None:
        """A cumulative sum that may fall is a gauge of what it is."""
        point = NumberDataPoint(as_int=-7, time_unix_nano=NOW_NS)

        [one] = Sender().decoded(counter(point, CUMULATIVE, monotonic=False)).metrics

        assert (one.kind, one.value) == ("gauge", -7.0)

    def test_a_delta(self) -> None:
        """A delta is an increment already."""
        sender = Sender()

        assert [sender.total(value, DELTA) for value in (3, 0, 4)] == [[3], [0], [4]]

    def test_increments(self) -> None:
        """Of totals that began after monitord the first counts whole, each other what it adds."""
        sender = Sender()

        assert [sender.total(value) for value in (3, 3, 10)] == [[3], [0], [7]]

    @pytest.mark.parametrize("start", [0, SINCE - SECOND], ids=["absent", "before monitord"])
    def test_the_start_is_not_known(self, start: int) -> None:
        """Of totals that began before, or say no start, the first one is where counting begins."""
        sender = Sender(start)

        assert [sender.total(value) for value in (3, 10)] == [[], [7]]

    def test_a_start_at_the_point_itself(self) -> None:
        """That is how a true start is said to be unknown."""
        sender = Sender()
        at = sender.at + SECOND

        assert sender.total(3, start_time_unix_nano=at, time_unix_nano=at) == []
        assert sender.total(4, start_time_unix_nano=at) == [1]

    def test_another_start(self) -> None:
        """A restart counts whole; two processes that say the same of themselves do not mix."""
        sender = Sender()
        other = LATER + 5 * SECOND

        assert sender.total(100) == [100]
        assert sender.total(4, start_time_unix_nano=other) == [4]
        assert sender.total(101) == [1]
        assert sender.total(9, start_time_unix_nano=other) == [5]

    def test_it_falls(self) -> None:
        """A total that falls under the same start is a gap; from there it counts on."""
        sender = Sender()

        assert [sender.total(value) for value in (10, 4, 5)] == [[10], [], [1]]

    @pytest.mark.parametrize("start", [0, NOW_NS + 3_600 * SECOND], ids=["absent", "future"])
    def test_two_share_a_name(self, start: int) -> None:
        """Totals of two processes that say no start are told by their falls, and not counted."""
        sender = Sender(start)
        found = [sender.total(value) for value in (100, 40, 105, 45, 110, 50, 115, 55, 120, 60)]

        assert found == [[]] * 10

    def test_one_falls_without_a_start(self) -> None:
        """After a fall counting begins again once five points in a row have not fallen."""
        sender = Sender(0)
        found = [sender.total(value) for value in (10, 14, 2, 3, 3, 4, 5, 6, 7, 9)]

        assert found == [[], [4], [], [], [], [], [], [], [1], [2]]

    def test_an_undone_point_of_a_mixed_series(self) -> None:
        """What was taken back of a series leaves it as it is otherwise."""
        sender = Sender(0)
        assert [sender.total(value) for value in (10, 14)] == [[], [4]]
        sender.decoder.undo(sender.changes)
        assert [sender.total(value) for value in (14, 2, 100)] == [[4], [], []]

    def test_a_start_from_the_future(self) -> None:
        """A clock that is wrong takes nothing from other series when its own is forgotten."""
        sender = Sender()
        ahead = NOW_NS + 500 * SECOND
        for start, at in ((2**64 - 2, 2**64 - 1), (ahead, ahead + 1)):
            sender.total(1, start_time_unix_nano=start, time_unix_nano=at)
        later = NOW_NS / 1e9 + totals.EXPIRY_SECONDS + 1
        fresh = int(later * SECOND) - 60 * SECOND
        point = NumberDataPoint(as_int=5, start_time_unix_nano=fresh, time_unix_nano=fresh + 1)
        soon = NumberDataPoint(as_int=7, start_time_unix_nano=NOW_NS + SECOND, time_unix_nano=fresh)

        found = [
            sender.decoder.decode(
                metrics(counter(each, CUMULATIVE)).SerializeToString(), later, 10
            )[0]
            for each in (point, soon)
        ]

        assert [[metric.value for metric in into.metrics] for into in found] == [[5], [7]]

    def test_an_older_point(self) -> None:
        """A point that was overtaken adds nothing: the later one has counted it."""
        sender = Sender()
        assert [sender.total(value) for value in (1, 5)] == [[1], [4]]

        assert sender.total(3, time_unix_nano=LATER + 2 * SECOND) == []
        assert sender.total(6) == [1]

    def test_not_taken(self) -> None:
        """What was decoded and could not be kept is added by the next point, or the same again."""
        sender = Sender()
        sender.total(1)
        assert sender.total(5) == [4]
        sender.decoder.undo(sender.changes)

        assert sender.total(5, time_unix_nano=sender.at) == [4]
        sender.decoder.undo(sender.changes)
        assert sender.total(12) == [11]

    def test_a_body_that_is_refused_changes_nothing(self) -> None:
        """A body that is found to be none after some points has counted none of them."""
        sender = Sender()
        good = counter(NumberDataPoint(as_int=5, **sender.when()), CUMULATIVE)
        bad = metrics(good, service="shop")
        bad.resource_metrics.add().scope_metrics.add(metrics=[good, good])
        with pytest.raises(TooManyItems):
            sender.decoder.decode(bad.SerializeToString(), NOW_NS / 1e9, 2)

        assert [metric.value for metric in sender.decoded(good).metrics] == [5]

    def test_series_are_told_apart(self) -> None:
        """By service, name and attributes, in whatever order these come."""
        sender = Sender()
        one = NumberDataPoint(as_int=1, **sender.when(), attributes=attributes({"a": 1, "b": 2}))
        two = NumberDataPoint(as_int=3, **sender.when(), attributes=attributes({"b": 2, "a": 1}))

        assert [
            [
                metric.value
                for metric in sender.decoded(counter(point, CUMULATIVE), service=name).metrics
            ]
            for point, name in ((one, "x"), (one, "y"), (two, "x"), (two, "y"))
        ] == [[1], [1], [2], [2]]

    def test_series_are_told_apart_by_all_they_stand_under(self) -> None:
        """The resource, the scope, name, kind, unit and attributes make a series, none run into."""
        when = Sender().when()

        def body(*, key: str = "a", value: str = "bc", **of: str) -> bytes:
            found = {"resource": "r", "scope": "s", "version": "v", "name": "n", "unit": "u"} | of
            point = NumberDataPoint(as_int=1, **when, attributes=attributes({key: value}))
            message = metrics(counter(point, CUMULATIVE), **{"service.instance": found["resource"]})
            group = message.resource_metrics[0].scope_metrics[0]
            group.scope.name, group.scope.version = found["scope"], found["version"]
            group.metrics[0].name, group.metrics[0].unit = found["name"], found["unit"]
            return message.SerializeToString()

        bodies = [
            body(),
            body(key="ab", value="c"),
            body(resource="q"),
            body(scope="sv", version=""),
            body(scope="", version="sv"),
            body(name="nu", unit=""),
            body(name="nus", unit=""),
        ]
        decoder = MetricDecoder(SINCE)
        given = [
            [metric.value for metric in decoder.decode(each, NOW_NS / 1e9, 10)[0].metrics]
            for each in bodies * 2
        ]

        assert given == [[1]] * len(bodies) + [[0]] * len(bodies)

    def test_a_resource_is_digested_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What all points share is not read again for each of them."""
        fed: list[int] = []
        digest = identity.hashlib.blake2b

        class Counting:
            def __init__(self, state: Any = None) -> None:
                self._state = state or digest(digest_size=16)

            def update(self, raw: bytes) -> None:
                fed.append(len(raw))
                self._state.update(raw)

            def copy(self) -> Counting:
                return Counting(self._state.copy())

            def digest(self) -> bytes:
                return bytes(self._state.digest())

        monkeypatch.setattr(identity.hashlib, "blake2b", lambda **_: Counting())
        points = [NumberDataPoint(as_int=1, **Sender().when()) for _ in range(100)]
        of = Sum(aggregation_temporality=CUMULATIVE, is_monotonic=True, data_points=points)

        into = Sender().decoded(Metric(name="n", sum=of), **{"process.command": "x" * 10_000})

        assert into.accepted == 100
        assert sum(fed) < 20_000

    def test_too_large_a_resource(self) -> None:
        """The points of a resource that is too large are refused, each counted."""
        large = {f"k{number}": "x" * 30_000 for number in range(10)}
        into = Sender().decoded(
            counter(NumberDataPoint(as_int=1, **Sender().when()), DELTA), **large
        )

        assert (into.accepted, into.rejected) == (0, 1)
        assert into.refusals[0].sentence.startswith("resource: expected at most 262,144 bytes")

    @pytest.mark.parametrize("at", [0, NOW_NS], ids=["absent", "given"])
    def test_a_point_without_a_time(self, at: int) -> None:
        """It is of the time of receipt, and counted as such."""
        point = NumberDataPoint(as_int=1, time_unix_nano=at)
        into = Sender().decoded(counter(point, DELTA))

        assert into.metrics[0].time == pytest.approx(NOW_NS / 1e9)
        assert into.undated == (not at)

    def test_what_was_forgotten_is_not_counted_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A series that made room for others begins anew, without an increment."""
        monkeypatch.setattr(totals, "SERIES", 2)
        sender = Sender()
        assert sender.total(3) == [3]
        for name in "abc":
            point = NumberDataPoint(as_int=1, **sender.when(), attributes=attributes({"n": name}))
            sender.decoded(counter(point, CUMULATIVE))

        assert [sender.total(value) for value in (5, 6)] == [[], [1]]

    @pytest.mark.parametrize(
        ("metric", "said"),
        [
            (counter(NumberDataPoint(as_int=1), 0), "aggregation_temporality"),
            (counter(NumberDataPoint(as_int=1), DELTA, monotonic=False), "aggregation_temporality"),
            (counter(NumberDataPoint(), DELTA), "as_double or as_int: missing"),
            (counter(NumberDataPoint(as_double=math.nan), CUMULATIVE), "finite"),
            (counter(NumberDataPoint(as_double=math.inf), DELTA), "finite"),
            (
                Metric(
                    name="s", summary=Summary(data_points=[SummaryDataPoint(quantile_values=MANY)])
                ),
                "quantile_values: expected at most 100",
            ),
            (Metric(gauge=Gauge(data_points=[NumberDataPoint(as_int=1)])), "name: missing"),
            (Metric(name="n" * 256, gauge=Gauge(data_points=[NumberDataPoint(as_int=1)])), "name:"),
        ],
    )
    def test_what_cannot_be(self, metric: Metric, said: str) -> None:
        """A point that is no number is refused by its place among the points; the others stay."""
        good = Metric(name="n", gauge=Gauge(data_points=[NumberDataPoint(as_int=1)]))

        into = Sender().decoded(good, metric, good)

        assert len(into.metrics) == 2
        assert [refusal.index for refusal in into.refusals] == [1]
        assert said in into.refusals[0].sentence

    def test_no_value_recorded(self) -> None:
        """A point that says its series has ended is none, and nothing is wrong with it."""
        point = NumberDataPoint(flags=1, time_unix_nano=NOW_NS)
        into = Sender().decoded(Metric(name="n", gauge=Gauge(data_points=[point])))

        assert (into.accepted, into.rejected) == (0, 0)

    def test_a_summary(self) -> None:
        """Each quantile is a gauge; count and sum are counters."""
        sender = Sender()
        for count, total in ((2, 3.0), (5, 10.0)):
            quantile = SummaryDataPoint.ValueAtQuantile(quantile=0.5, value=1.5)
            point = SummaryDataPoint(
                count=count, sum=total, quantile_values=[quantile], **sender.when()
            )
            into = sender.decoded(Metric(name="s", unit="s", summary=Summary(data_points=[point])))

        assert [(one.name, one.kind, one.value, one.attributes) for one in into.metrics] == [
            ("s", "gauge", 1.5, {"quantile": "0.5"}),
            ("s_count", "counter", 3.0, {}),
            ("s_sum", "counter", 7.0, {}),
        ]


def shape(into: Decoded) -> dict[float, int]:
    """Return the counts of the only histogram by their buckets' values, rounded."""
    [metric] = into.metrics
    assert metric.kind == "histogram"
    found = metric.distribution
    assert found is not None
    assert sum(found.buckets.values()) == found.count
    assert metric.value == pytest.approx(found.sum / found.count)
    keys = list(found.buckets)
    values = signed_value(np.array(keys)).tolist()
    return {
        float(f"{value:.2g}"): found.buckets[key] for key, value in zip(keys, values, strict=True)
    }


class TestHistograms:
    def test_bounds(self) -> None:
        """What lies between two bounds is at their middle; below the first, between 0 and it."""
        point = {"count": 6, "sum": 30.0, "bucket_counts": [1, 2, 0, 3]}
        into = Sender().histogram(DELTA, **point, explicit_bounds=[3, 5, 8])

        assert shape(into) == {1.5: 1, 4.0: 2, 8.0: 3}
        [metric] = into.metrics
        assert metric.unit == "s"
        assert metric.distribution is not None
        assert (metric.distribution.sum, metric.distribution.count) == (30.0, 6)

    def test_a_known_range(self) -> None:
        """The smallest and the largest value narrow the outer buckets, and are kept."""
        point = {"count": 6, "sum": 30.0, "bucket_counts": [1, 2, 0, 3], "min": 1.5, "max": 10.0}
        into = Sender().histogram(DELTA, **point, explicit_bounds=[2, 4, 8])

        assert shape(into) == {1.7: 1, 3.0: 2, 9.0: 3}
        found = into.metrics[0].distribution
        assert found is not None
        assert (found.min, found.max) == (1.5, 10.0)

    def test_negative_bounds(self) -> None:
        """Below a negative first bound values are taken to be at the bound."""
        into = Sender().histogram(DELTA, count=3, bucket_counts=[1, 1, 1], explicit_bounds=[-4, 4])

        assert shape(into) == {-4.0: 1, 0.0: 1, 4.0: 1}

    def test_no_bounds(self) -> None:
        """A histogram of count and sum alone has all at its mean."""
        assert shape(Sender().histogram(DELTA, count=4, sum=12.0)) == {3.0: 4}

    def test_cumulative(self) -> None:
        """Of cumulative points each gives what it adds; one that adds nothing gives none."""
        sender = Sender()
        bounds = [1, 3]
        first = sender.histogram(count=3, sum=5.0, bucket_counts=[1, 2, 0], explicit_bounds=bounds)
        same = sender.histogram(count=3, sum=5.0, bucket_counts=[1, 2, 0], explicit_bounds=bounds)
        more = sender.histogram(
            count=5, sum=12.0, bucket_counts=[1, 3, 1], explicit_bounds=bounds, max=5.0
        )

        assert shape(first) == {0.5: 1, 2.0: 2}
        assert (same.accepted, same.rejected) == (0, 0)
        assert shape(more) == {2.0: 1, 4.0: 1}
        assert more.metrics[0].distribution is not None
        assert more.metrics[0].distribution.sum == 7.0

    def test_cumulative_falls(self) -> None:
        """A count that falls is a gap."""
        sender = Sender()
        for counts, given in (([5, 1], True), ([4, 2], False), ([5, 2], True)):
            into = sender.histogram(
                count=sum(counts), sum=1.0, bucket_counts=counts, explicit_bounds=[1]
            )
            assert bool(into.metrics) == given

    @pytest.mark.parametrize(
        "point",
        [
            {"count": 1, "bucket_counts": [1], "explicit_bounds": [1]},
            {"count": 1, "bucket_counts": [1, 0, 0], "explicit_bounds": [2, 1]},
            {"count": 1, "bucket_counts": [1, 0], "explicit_bounds": [math.nan]},
            {"count": 2**40, "bucket_counts": [2**40, 0], "explicit_bounds": [1]},
            {"count": 1, "bucket_counts": [1, 0], "explicit_bounds": [1], "sum": math.inf},
        ],
    )
    def test_what_cannot_be(self, point: dict[str, Any]) -> None:
        """Counts without their bounds, and bounds that are none, are refused."""
        into = Sender().histogram(DELTA, **point)

        assert (into.accepted, into.rejected) == (0, 1)

    @pytest.mark.parametrize("scale", [6, 7, 20])
    def test_exponential_without_loss(self, scale: int) -> None:
        """Scales from 6 on keep every value in its own bucket of scale 6, either side of zero."""
        values = [0.001, 0.7, 1.0, 1.5, 250.0, 3_600_000.0]
        indexes = [math.ceil(math.log2(value) * 2**scale) - 1 for value in values]
        for sign, side in ((1, "positive"), (-1, "negative")):
            for value, index in zip(values, indexes, strict=True):
                buckets = {"offset": index, "bucket_counts": [2]}
                point = {"count": 3, "scale": scale, "zero_count": 1, side: buckets}
                into = Sender().exponential(DELTA, sum=sign * value, **point)

                found = into.metrics[0].distribution
                assert found is not None
                ours = math.ceil(math.log2(value) * 64) - 1 + ZERO_TO_FIRST
                assert found.buckets == {0: 1, sign * ours: 2}

    @pytest.mark.parametrize("scale", [5, 2, 0, -3])
    def test_exponential_coarser(self, scale: int) -> None:
        """Below 6 all is in the middle of its bucket: within the root of the bucket's base."""
        base = 2.0 ** (2.0**-scale)
        buckets = {"offset": 1, "bucket_counts": [1, 3]}
        into = Sender().exponential(DELTA, count=4, scale=scale, positive=buckets)

        found = into.metrics[0].distribution
        assert found is not None
        assert list(found.buckets.values()) == [1, 3]
        low, high = base**1.5, base**2.5
        assert found.min == pytest.approx(low, rel=0.011)
        assert found.max == pytest.approx(high, rel=0.011)

    def test_exponential_cumulative_becomes_coarser(self) -> None:
        """A series whose scale sinks goes on: what it had is made as coarse."""
        sender = Sender()
        first = sender.exponential(
            count=4, sum=8.0, scale=8, positive={"offset": 255, "bucket_counts": [1, 1, 2]}
        )
        second = sender.exponential(
            count=7, sum=9.0, scale=7, positive={"offset": 127, "bucket_counts": [1, 3, 3]}
        )

        assert first.metrics[0].distribution is not None
        found = second.metrics[0].distribution
        assert found is not None
        assert (found.count, found.sum) == (3, 1.0)
        assert found.buckets == {ZERO_TO_FIRST + 64: 3}

    @pytest.mark.parametrize(
        "point",
        [
            {"scale": 2**31 - 1},
            {"scale": -(2**31)},
            {"scale": 0, "positive": {"offset": 2**30, "bucket_counts": [1]}},
            {"scale": 6, "negative": {"offset": -(2**31), "bucket_counts": [1]}},
            {"scale": 6, "positive": {"offset": 0, "bucket_counts": [1] * 6_001}},
        ],
    )
    def test_exponential_that_cannot_be(self, point: dict[str, Any]) -> None:
        """Scales and buckets beyond every number are refused, and cost nothing to refuse."""
        into = Sender().exponential(DELTA, count=1, **point)

        assert (into.accepted, into.rejected) == (0, 1)
