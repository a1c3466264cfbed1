"""From a snapshot to cards, rows and banner."""

from __future__ import annotations

from typing import Any

import pytest

from monitord import assets
from monitord.http import kpis
from monitord.http.answers import Card, Overview, Row, Spark, StoreState
from monitord.http.overview import build
from monitord.http.snapshot import Loss, Snapshot
from monitord.latency import RequestStats
from monitord.model import Problem, Reason, TargetStatus


NOW = 1_795_459_200.0
KPIS = kpis.load(assets.folder("config") / "kpis.yaml")

FAST = RequestStats(600, 0, 6, 20.0, 15.0, 60.0, 90.0, 120.0, 300.0)


def target(name: str, kind: str, up: bool | None = True, **further: Any) -> TargetStatus:
    return TargetStatus(name, kind, up, NOW - 600, NOW - 2, **further)


WELL = (target("main", "redis"), target("main", "postgres"), target("host", "host"))

NUMBERS = {
    ("main", "redis.connected", 60.0): 1.0,
    ("main", "redis.memory_used", 60.0): 1024.0**2,
    ("main", "redis.keys", 60.0): 12_000.0,
    ("main", "redis.hit_rate", 60.0): 95.0,
    ("main", "redis.evicted_keys", 300.0): 0.0,
    ("main", "redis.clients", 60.0): 7.0,
    ("main", "postgres.connections_active", 60.0): 2.0,
    ("main", "postgres.connections_idle", 60.0): 8.0,
    ("main", "postgres.connections_total", 60.0): 10.0,
    ("main", "postgres.connections_max", 60.0): 100.0,
    ("main", "postgres.connections_percent", 60.0): 10.0,
    ("main", "postgres.cache_hit_ratio", 60.0): 99.0,
    ("main", "postgres.database_size", 60.0): 2.0 * 1024**3,
    ("main", "postgres.slow_queries", 60.0): 0.0,
    ("host", "system.cpu", 60.0): 35.0,
    ("host", "system.cores", 60.0): 4.0,
    ("host", "system.memory", 60.0): 50.0,
    ("host", "system.memory_used", 60.0): 8.0 * 1024**3,
    ("host", "system.memory_total", 60.0): 16.0 * 1024**3,
    ("host", "system.disk", 60.0): 40.0,
    ("host", "system.disk_used", 60.0): 40.0 * 1024**3,
    ("host", "system.disk_total", 60.0): 100.0 * 1024**3,
}


def overview(**changes: Any) -> Overview:
    given: dict[str, Any] = {
        "at": NOW,
        "range_seconds": 3_600.0,
        "targets": WELL,
        "numbers": NUMBERS,
        "requests": {None: FAST, 300.0: FAST, 60.0: FAST},
        "store": StoreState(True, NOW - 600),
        "empty": {("main", "redis.memory_percent", 60.0)},
    }
    return build(KPIS, Snapshot(**(given | changes)))


def card(found: Overview, name: str) -> Card:
    return next(card for card in found.cards if card.id == name)


def row(found: Overview, name: str) -> Row:
    return next(row for row in found.rows if row.id == name)


def test_all_is_well() -> None:
    """
    With every target up and every figure within its limits the banner says so.
    """
    found = overview()

    assert (found.banner.state, found.banner.text) == ("ok", "All is well: 3 targets up")
    assert found.banner.items == []
    assert {card.state for card in found.cards} == {"ok"}
    assert len(found.rows) == 24


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("api_latency_avg", "20.0 ms"),
        ("api_request_count", "600"),
        ("api_requests_per_second", "2.00 /s"),
        ("api_error_count", "0 (4xx: 6)"),
        ("api_error_rate", "0.0 % (4xx: 1.0 %)"),
        ("redis_connected", "yes"),
        ("redis_memory_max", "no limit set"),
        ("redis_keys", "12,000"),
        ("postgres_connections_total", "10 of 100 (10.0 %)"),
        ("postgres_database_size", "2.00 GiB"),
        ("system_cpu", "35.0 % of 4 cores"),
        ("system_memory", "8.00 GiB of 16.0 GiB (50.0 %)"),
        ("system_disk", "40.0 GiB of 100 GiB (40.0 %)"),
    ],
)
def test_texts(name: str, text: str) -> None:
    """
    A row is written as a person would: figures with their units, parts of their whole.
    """
    assert row(overview(), name).text == text


def test_windows() -> None:
    """
    A card looks back over its own window, the requests of the table over the picked range.
    """
    slow = RequestStats(90, 0, 0, 500.0, 500.0, 500.0, 500.0, 500.0, 3_600.0)

    found = overview(requests={None: slow, 300.0: FAST, 60.0: FAST})

    assert (card(found, "api_latency_p95").value, card(found, "api_latency_p95").window) == (
        60,
        300,
    )
    assert (row(found, "api_latency_p95").value, row(found, "api_latency_p95").window) == (
        500,
        3_600,
    )
    assert row(found, "api_latency_p95").state == "critical"
    assert found.banner.state == "ok"


def test_a_window_is_what_was_looked_back_over() -> None:
    """
    Of a target that is seldom read, counters are looked back over longer, and the page says so.
    """
    found = overview(within={("redis", "main"): 90.0})

    assert card(found, "redis_hit_rate").window == 90
    assert row(found, "redis_hit_rate").metric == "Hit rate (90 s)"
    assert row(found, "redis_evicted_keys").metric == "Evicted keys (5 min)"
    assert row(found, "postgres_cache_hit").metric == "Cache hit ratio (1 min)"
    assert row(found, "redis_keys").window == 60


def test_a_target_that_is_down_has_no_numbers() -> None:
    """
    An outage is "down since", with its reason first in the banner; never zeros, never a low rate.
    """
    down = target("main", "redis", up=False, reason=Reason.REFUSED, remedy="start it")
    stale = dict(NUMBERS) | {("main", "redis.hit_rate", 60.0): 0.0}

    found = overview(targets=(down, *WELL[1:]), numbers=stale)

    assert found.banner.state == "critical"
    assert found.banner.text == "Redis main: connection refused"
    assert found.banner.since == NOW - 600
    (item,) = found.banner.items
    assert (item.target, item.remedy) == ("main", "start it")
    hit_rate = card(found, "redis_hit_rate")
    assert (hit_rate.value, hit_rate.text, hit_rate.down_since) == (None, "down", NOW - 600)
    assert (hit_rate.state, hit_rate.reason) == ("critical", "connection refused")
    redis_rows = [row for row in found.rows if row.group == "Redis"]
    assert [row.value for row in redis_rows] == [0.0, None, None, None, None, None, None]
    assert (redis_rows[0].text, redis_rows[0].down_since) == ("no", NOW - 600)
    assert card(found, "postgres_cache_hit").state == "ok"


def test_before_the_first_reading() -> None:
    """
    A target that has not been read is unknown, and so is the whole.
    """
    found = overview(targets=(target("main", "redis", up=None),), numbers={}, requests={})

    assert found.banner.state == "unknown"
    assert found.banner.text == "Redis main: waiting for the first reading"
    assert {card.state for card in found.cards} == {"unknown"}
    assert {card.value for card in found.cards} == {None}
    assert card(found, "postgres_cache_hit").text == "no PostgreSQL target is configured"


def test_unknown_is_not_zero() -> None:
    """
    Without look-ups there is no hit rate; that is no reason to worry either.
    """
    numbers = {key: value for key, value in NUMBERS.items() if key[1] != "redis.hit_rate"}
    empty = {("main", "redis.hit_rate", 60.0)}

    found = overview(numbers=numbers, empty=empty, requests={None: None, 300.0: None, 60.0: None})

    assert (card(found, "redis_hit_rate").value, card(found, "redis_hit_rate").text) == (
        None,
        "no look-ups",
    )
    assert card(found, "redis_hit_rate").state == "unknown"
    assert row(found, "api_request_count").value is None
    assert found.banner.state == "ok"


def test_what_was_not_read_is_not_absent() -> None:
    """
    That there are no look-ups, or no limit, is said only when it is known; else why it is not.
    """
    late = target("main", "postgres", problems=(Problem("statistics", Reason.TIMEOUT),))
    numbers = {key: value for key, value in NUMBERS.items() if "hit" not in key[1]}

    found = overview(targets=(WELL[0], late, WELL[2]), numbers=numbers, empty=frozenset())

    assert card(found, "redis_hit_rate").text == "not read yet"
    assert row(found, "redis_memory_max").text == "not read yet"
    assert card(found, "postgres_cache_hit").text == "statistics: timed out"


def test_thresholds_stand_in_the_banner_worst_first() -> None:
    """
    Each figure beyond its limit is told once, critical before warning, with since when.
    """
    numbers = dict(NUMBERS) | {
        ("main", "redis.hit_rate", 60.0): 43.0,
        ("host", "system.cpu", 60.0): 80.0,
        ("main", "postgres.connections_percent", 60.0): 95.0,
        ("main", "postgres.connections_total", 60.0): 95.0,
    }
    trails = {
        ("main", "redis.hit_rate"): [(NOW - 90, 97.0), (NOW - 60, 40.0), (NOW - 30, 44.0)],
        ("host", "system.cpu"): [(NOW - 30, 20.0), (NOW - 10, 85.0)],
    }

    found = overview(numbers=numbers, trails=trails)

    assert [(item.state, item.text, item.since) for item in found.banner.items] == [
        ("critical", "Redis hit rate 43.0 %, below 50 %", NOW - 60),
        ("critical", "PostgreSQL: Connections of maximum 95 of 100 (95.0 %), above 90 %", None),
        ("warning", "System CPU 80.0 %, above 70 %", NOW - 10),
    ]
    assert card(found, "redis_hit_rate").since == NOW - 60
    assert (found.banner.state, found.banner.since) == ("critical", NOW - 60)


def test_several_targets() -> None:
    """
    A card shows the worst target and says which, a row the first; the banner names every bad one.
    """
    targets = (*WELL, target("cache", "redis"), target("queue", "redis"))
    numbers = dict(NUMBERS) | {
        ("cache", "redis.hit_rate", 60.0): 30.0,
        ("queue", "redis.hit_rate", 60.0): 70.0,
    }

    found = overview(targets=targets, numbers=numbers)

    assert (card(found, "redis_hit_rate").target, card(found, "redis_hit_rate").value) == (
        "cache",
        30.0,
    )
    assert (row(found, "redis_hit_rate").target, row(found, "redis_hit_rate").value) == ("main", 95)
    assert [item.text for item in found.banner.items] == [
        "Redis hit rate 30.0 %, below 50 % (cache)",
        "Redis hit rate 70.0 %, below 80 % (queue)",
    ]


def test_equal_targets_show_the_worse_value() -> None:
    """
    Of two that are well, the card shows the one nearer to its limit; an unknown one is not shown.
    """
    targets = (*WELL, target("cache", "redis"), target("queue", "redis"))
    numbers = dict(NUMBERS) | {("cache", "redis.hit_rate", 60.0): 85.0}

    found = overview(targets=targets, numbers=numbers)

    assert (card(found, "redis_hit_rate").target, card(found, "redis_hit_rate").value) == (
        "cache",
        85.0,
    )


def test_kind_without_a_target_is_not_configured() -> None:
    """
    Figures of a kind that nobody configured keep their place, marked so; they worry nobody.
    """
    found = overview(targets=WELL[2:])

    absent = {row.id for row in found.rows if not row.configured}
    assert absent == {row.id for row in found.rows if row.group in ("Redis", "PostgreSQL")}
    assert [card.id for card in found.cards if not card.configured] == [
        "redis_hit_rate",
        "postgres_cache_hit",
    ]
    assert found.banner.state == "ok"


def test_store_and_losses() -> None:
    """
    A dead store and lost events are told: where they come from, how many, since when.
    """
    found = overview(
        store=StoreState(False, NOW - 60, "connection refused"),
        losses=[Loss("events were rejected as malformed", 1_200.0, False, NOW - 100)],
        requests_from_store=False,
    )

    assert [(item.state, item.since) for item in found.banner.items] == [
        ("critical", NOW - 60),
        ("warning", NOW - 100),
    ]
    assert found.banner.text.startswith("Store: connection refused")
    assert found.banner.items[1].text == "monitord: 1,200 events were rejected as malformed"
    assert found.requests_source == "memory"


def test_problems_of_a_target() -> None:
    """
    A reading that timed out is told; a right that is missing is a limit, not an event.
    """
    problems = (
        Problem("database size", Reason.TIMEOUT),
        Problem("pg_stat_statements", Reason.MISSING, remedy="CREATE EXTENSION"),
    )
    limited = target("main", "postgres", problems=problems)

    found = overview(targets=(WELL[0], limited, WELL[2]))

    assert [item.text for item in found.banner.items] == [
        "PostgreSQL main: database size: timed out"
    ]
    assert found.banner.state == "warning"


def test_sparks() -> None:
    """
    A card has the sparkline of the target it shows, with its gaps.
    """
    spark = Spark([NOW - 60, NOW - 30], [95.0, None])

    found = overview(sparks={("main", "redis.hit_rate"): spark})

    assert card(found, "redis_hit_rate").spark == spark
    assert card(found, "system_cpu").spark == Spark()
