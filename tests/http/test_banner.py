"""What the banner says of the requests: judged over the last minutes, told once, since when."""

from __future__ import annotations

import pytest

from monitord.http.answers import StoreState
from monitord.http.snapshot import Loss
from monitord.latency import RequestStats
from tests.http.test_overview import FAST, KPIS, NOW, card, overview, row


def failing(count: int, failed: int, ms: float = 20.0) -> RequestStats:
    return RequestStats(count, failed, 0, ms, ms, ms, ms, ms, 300.0)


@pytest.mark.parametrize("picked", [900.0, 3_600.0, 2_592_000.0])
def test_failed_requests_stand_in_the_banner(picked: float) -> None:
    """
    The error rate of the last five minutes is judged by its row's limits, whatever range is picked.
    """
    found = overview(range_seconds=picked, requests={None: FAST, 300.0: failing(500, 36)})

    (item,) = found.banner.items
    assert item.text == "API: Error rate 7.2 % in the last 5 min, above 5 %"
    assert (found.banner.state, row(found, "api_error_rate").state) == ("critical", "ok")


def test_errors_of_yesterday_are_not_now() -> None:
    """
    A row that is bad over the picked range says nothing of now, and is not in the banner.
    """
    found = overview(requests={None: failing(500, 100), 300.0: FAST, 60.0: FAST})

    assert row(found, "api_error_rate").state == "critical"
    assert found.banner.items == []


@pytest.mark.parametrize(
    ("count", "failed", "state"),
    [
        (1, 1, "ok"),
        (19, 1, "ok"),
        (19, 2, "ok"),
        (4, 3, "critical"),
        (20, 1, "warning"),
        (20, 2, "critical"),
        (200, 2, "ok"),
    ],
)
def test_few_requests_are_no_verdict(count: int, failed: int, state: str) -> None:
    """
    Below twenty requests an error rate is called bad only when three of them failed.
    """
    stats = failing(count, failed)

    found = overview(requests={None: stats, 300.0: stats})

    assert found.banner.state == state
    if state == "ok" and count < 20:
        rate = row(found, "api_error_rate")
        words = f"only {count} request{'s' * (count > 1)}"
        assert (rate.state, rate.reason) == ("unknown", words)


def test_one_slow_request_is_no_verdict() -> None:
    """
    One slow request among a few makes no quantile bad; half of them being slow does.
    """
    one = RequestStats(9, 0, 0, 350.0, 20.0, 3_000.0, 3_000.0, 3_000.0, 300.0)
    most = RequestStats(9, 0, 0, 350.0, 900.0, 3_000.0, 3_000.0, 3_000.0, 300.0)

    assert overview(requests={None: one, 300.0: one}).banner.items == []
    assert card(overview(requests={300.0: one}), "api_latency_p95").reason == "only 9 requests"
    (item,) = overview(requests={None: most, 300.0: most}).banner.items
    assert item.text == "API: Latency P50 900 ms in the last 5 min, above 200 ms"


@pytest.mark.parametrize(
    ("p95", "p99", "text"),
    [
        (350.0, 400.0, "API latency P95 350 ms in the last 5 min, above 200 ms"),
        (150.0, 600.0, "API latency P95 150 ms in the last 5 min, above 100 ms"),
        (150.0, 1_500.0, "API: Latency P99 1.50 s in the last 5 min, above 1 s"),
    ],
)
def test_slow_requests_are_told_once(p95: float, p99: float, text: str) -> None:
    """
    However many figures of the latency are bad, the banner has one line: the worst, the card first.
    """
    stats = RequestStats(600, 0, 0, 120.0, 110.0, p95, p99, 2_000.0, 300.0)

    found = overview(requests={None: stats, 300.0: stats, 60.0: stats})

    assert [item.text for item in found.banner.items] == [text]


def test_since_of_requests_is_not_the_range() -> None:
    """
    The banner and the card say since when the requests are bad; a row over a range does not.
    """
    stats = failing(500, 100, ms=350.0)
    limits = {kpi.value: kpi.limits for kpi in KPIS if kpi.limits is not None}
    onsets = {
        ("api.error_rate", 300.0, limits["api.error_rate"]): NOW - 70,
        ("api.latency_p95", 300.0, limits["api.latency_p95"]): NOW - 40,
    }

    found = overview(requests={None: stats, 300.0: stats}, onsets=onsets)

    assert [item.since for item in found.banner.items] == [NOW - 70, NOW - 40]
    assert card(found, "api_latency_p95").since == NOW - 40
    assert row(found, "api_error_rate").since is None


@pytest.mark.parametrize(
    ("waiting", "words"),
    [
        (0, "new events wait safely on disk"),
        (48_210, "48,210 events wait safely on disk"),
    ],
)
def test_events_wait_on_disk_while_the_store_is_down(waiting: float, words: str) -> None:
    """
    A store that is down is told with since when, how many events wait and where, and leads to the
    page that accounts for them.
    """
    store = StoreState(False, NOW - 90, "connection refused")

    (item,) = overview(store=store, waiting=waiting).banner.items

    assert item.text == f"Store: connection refused; {words}"
    assert (item.since, item.page) == (NOW - 90, "/itself")


def test_losses_lead_to_the_ledgers() -> None:
    """
    A line of the banner that tells of lost events leads to the page that accounts for them.
    """
    loss = Loss("datagrams were dropped by the kernel", 56, True, NOW - 10)

    (item,) = overview(losses=[loss]).banner.items

    assert item.page == "/itself"
