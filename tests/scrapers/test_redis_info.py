"""INFO, as servers of several versions wrote it."""

import math

from pathlib import Path

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.scrapers.increments import Counters, Interval
from monitord.scrapers.redis import info


DATA = Path(__file__).parents[1] / "data" / "redis"


def read(name: str) -> dict[str, str]:
    return info.parse((DATA / name).read_bytes())


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "redis-5.0.txt",
            {
                "redis.memory.used_bytes": 859_624,
                "redis.memory.rss_bytes": 6_012_928,
                "redis.memory.fragmentation_ratio": 7.28,
                "redis.clients.connected": 8,
                "redis.clients.blocked": 2,
                "redis.uptime_seconds": 86_413,
                "redis.keys": 124,
                "redis.replication.is_primary": 1,
                "redis.replication.replicas": 0,
            },
        ),
        (
            "redis-6.2.txt",
            {
                "redis.memory.used_bytes": 876_648,
                "redis.memory.rss_bytes": 7_909_376,
                "redis.memory.max_bytes": 1_073_741_824,
                "redis.memory.fragmentation_ratio": 9.41,
                "redis.clients.connected": 2,
                "redis.clients.blocked": 0,
                "redis.uptime_seconds": 429_905,
                "redis.keys": 2_000,
                "redis.replication.is_primary": 1,
                "redis.replication.replicas": 3,
                # The slower of two that are online; the third has not begun.
                "redis.replication.lag_bytes": 501,
            },
        ),
    ],
)
def test_numbers_of_a_version(file: str, expected: dict[str, float]):
    """
    Each number is found in the INFO of the version; what it does not report is left out.
    """
    found = read(file)

    metrics = [*info.gauges(found), *info.replication(found)]

    assert expected == {metric.name: metric.value for metric in metrics}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("redis-7.0-primary.txt", {"is_primary": 1, "replicas": 1, "lag_bytes": 0}),
        ("redis-7.0-replica.txt", {"is_primary": 0, "replicas": 0, "link_up": 1}),
        ("valkey-9.1-cluster.txt", {"is_primary": 1, "replicas": 0}),
    ],
)
def test_replication_as_captured(file: str, expected: dict[str, float]):
    """
    A primary tells its lag, a replica its link; a replica claims no lag of 0.
    """
    metrics = info.replication(read(file))

    assert {f"redis.replication.{name}": value for name, value in expected.items()} == {
        metric.name: metric.value for metric in metrics
    }


def test_all_captured_servers_report_the_essentials():
    """
    Redis 5 to 7 and Valkey, alone and in a cluster, give memory, keys, clients and all counters.
    """
    for file in DATA.glob("*-[0-9]*.txt"):
        found = read(file.name)

        names = {metric.name for metric in info.gauges(found)}

        assert {"redis.memory.used_bytes", "redis.keys", "redis.clients.connected"} <= names
        assert info.COUNTERS.keys() == info.totals(found).values.keys()


def test_hostile_values_give_no_numbers():
    """
    Text, `nan`, `inf`, underscores, foreign digits and absurd lengths are no numbers; the rest is.
    """
    found = read("hostile.txt")

    gauges = {metric.name: metric.value for metric in info.gauges(found)}

    assert gauges == {
        "redis.clients.blocked": -1,
        "redis.clients.connected": 0,
        "redis.keys": 3,
    }
    assert dict(info.totals(found).values) == {"expired_keys": 12}
    assert list(info.replication(found)) == []


@given(st.binary(max_size=2_000) | st.text(max_size=500).map(lambda text: text.encode()))
@settings(max_examples=100, deadline=None)
def test_no_bytes_break_the_parser(reply: bytes):
    """
    Whatever a server sends becomes numbers or nothing, never an error.
    """
    found = info.parse(b"role:master\r\nslave0:" + reply + b"\r\ndb0:" + reply + b"\r\n" + reply)

    metrics = [*info.gauges(found), *info.replication(found)]

    assert all(math.isfinite(metric.value) for metric in metrics)
    assert all(math.isfinite(value) for value in info.totals(found).values.values())


def test_lag_of_a_replica_that_never_answered_is_unknown():
    """
    A replica with lag -1, or still in its first transfer, makes no lag.
    """
    found = {
        "role": "master",
        "master_repl_offset": "500",
        "slave0": "ip=1,state=online,offset=0,lag=-1",
        "slave1": "ip=2,state=send_bulk,offset=0,lag=0",
    }

    names = {metric.name for metric in info.replication(found)}

    assert names == {"redis.replication.is_primary"}


def test_hit_ratio_needs_lookups():
    """
    Without a lookup in the interval the ratio is unknown, not 0.
    """
    quiet = Interval(10.0, {"keyspace_hits": 0.0, "keyspace_misses": 0.0})
    busy = Interval(10.0, {"keyspace_hits": 3.0, "keyspace_misses": 1.0})

    ratios = [
        [m.value for m in info.increments(interval, 0) if m.name == "redis.keyspace.hit_ratio"]
        for interval in (quiet, busy)
    ]

    assert ratios == [[], [0.75]]


def test_own_commands_are_taken_off():
    """
    monitord's own commands are in neither the count nor the rate.
    """
    interval = Interval(2.0, {"total_commands_processed": 11.0})

    found = {metric.name: metric.value for metric in info.increments(interval, own_commands=1)}

    assert found == {"redis.commands": 10, "redis.commands_per_second": 5}


def test_another_run_of_the_server_is_a_gap():
    """
    Counters that are larger than before, but of another run, are not compared.
    """
    counters = Counters()
    before = {**read("redis-5.0.txt")}
    after = {**before, "run_id": "another", "keyspace_hits": "5000"}

    counters.advance(info.totals(before), 1.0)

    assert counters.advance(info.totals(after), 2.0) is None
