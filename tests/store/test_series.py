"""Which series there are, and the quantiles of those that are histograms."""

from __future__ import annotations

import time

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest

from monitord.histogram import RELATIVE_ERROR
from monitord.model import Batch, Frame, Metric, MetricKind
from monitord.store import metrics
from monitord.store.metrics import MetricReader
from monitord.store.pool import Store
from monitord.store.series import SeriesReader


Write = Callable[[Sequence[Frame]], Awaitable[None]]

# The start of an hour some hours ago.
AT = time.time() // 3_600 * 3_600 - 4 * 3_600


def sample(
    name: str, kind: MetricKind = "gauge", at: float = AT, value: float = 1.0, **changes: object
) -> Metric:
    return Metric(at, name, value, kind=kind, **changes)  # type: ignore[arg-type]


async def put(write: Write, *samples: Metric, seq: int = 1) -> None:
    await write([Frame(1, seq, Batch(time.time(), metrics=list(samples)))])


async def names(
    store: Store,
    name: str = "",
    service: str = "",
    attributes: dict[str, str] | None = None,
    limit: int = 100,
) -> list[str]:
    found = await SeriesReader(store).find(name, service, attributes or {}, limit)
    return [one.name for one in found.series]


async def test_series(store: Store, write: Write) -> None:
    """
    Every series has its kind, unit, service and attributes, and when its newest sample was: of a
    histogram to the minute.
    """
    await put(
        write,
        sample("queue.depth", unit="1", service="shop", attributes={"queue": "mail"}),
        sample("queue.depth", at=AT + 90, service="shop", attributes={"queue": "mail"}, unit="1"),
        sample("job.duration", "histogram", at=AT + 90, unit="ms", service="shop"),
        sample("redis.keys", at=AT + 2, attributes={"target": "main"}),
    )

    histogram, gauge, scraped = (await SeriesReader(store).find("", "", {}, 10)).series

    assert (gauge.name, gauge.kind, gauge.unit) == ("queue.depth", "gauge", "1")
    assert (gauge.service, gauge.attributes) == ("shop", {"queue": "mail"})
    assert gauge.last_seen == AT + 90
    assert (histogram.name, histogram.kind, histogram.last_seen) == (
        "job.duration",
        "histogram",
        AT + 60,
    )
    assert (scraped.name, scraped.service) == ("redis.keys", "")


async def test_which_series(store: Store, write: Write) -> None:
    """
    A text in the name, a service, attributes and a number choose among them; of the others it is
    said how many there are.
    """
    await put(
        write,
        sample("queue.depth", service="shop", attributes={"queue": "mail", "pool": "a"}),
        sample("queue.age", service="cart", attributes={"queue": "mail"}),
        sample("cache_hits", service="cart"),
    )

    assert await names(store) == ["cache_hits", "queue.age", "queue.depth"]
    assert await names(store, "QUEUE.") == ["queue.age", "queue.depth"]
    assert await names(store, "_") == ["cache_hits"]
    assert await names(store, service="cart") == ["cache_hits", "queue.age"]
    assert await names(store, attributes={"queue": "mail", "pool": "a"}) == ["queue.depth"]
    assert await names(store, "nothing") == []
    found = await SeriesReader(store).find("", "", {}, 2)
    assert ([one.name for one in found.series], found.left_out) == (["cache_hits", "queue.age"], 1)


@pytest.mark.parametrize(("aggregate", "share"), [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)])
async def test_quantiles_of_histograms(
    store: Store, write: Write, aggregate: metrics.Aggregate, share: float
) -> None:
    """
    A quantile of a step is that of all its observations; other series have none.
    """
    took = np.random.default_rng(1).lognormal(3, 1, 600).round(3)
    samples = [
        sample("job.duration", "histogram", AT + n, float(ms), service="shop")
        for n, ms in enumerate(took)
    ]
    await put(write, *samples, sample("job.duration", service="gauges"))

    found = await MetricReader(store).points("job.duration", {}, AT, AT + 900, 300, aggregate)

    [(attributes, values)] = found
    assert attributes == {"service": "shop"}
    exact = [np.quantile(part, share, method="inverted_cdf") for part in (took[:300], took[300:])]
    assert values[:2] == [pytest.approx(each, rel=RELATIVE_ERROR) for each in exact]
    assert values[2] is None


async def test_quantiles_of_long_times(
    store: Store, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The longer the time, the fewer series have their quantiles read; all have the rest.
    """
    monkeypatch.setattr(metrics, "MOST_MINUTES", 20)
    await put(write, *(sample("h", "histogram", service=f"s{n}") for n in range(3)))
    reader = MetricReader(store)

    assert len(await reader.points("h", {}, AT, AT + 600, 60, "p95")) == 2
    assert len(await reader.points("h", {}, AT, AT + 86_400, 3_600, "p95")) == 1
    assert len(await reader.points("h", {}, AT, AT + 86_400, 3_600, "max")) == 3
