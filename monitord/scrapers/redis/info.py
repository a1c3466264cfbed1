"""
INFO as series. Adding a number is adding a line to a table.

What a server does not report (an old version, a fork) is left out: missing is not zero.
"""

from __future__ import annotations

import re

from collections.abc import Iterable, Iterator, Mapping

from monitord.model import Metric
from monitord.scrapers.increments import Interval, Totals
from monitord.scrapers.samples import counter, gauge


# INFO key -> our series and its unit.
GAUGES = {
    "used_memory": ("redis.memory.used_bytes", "By"),
    "used_memory_rss": ("redis.memory.rss_bytes", "By"),
    "mem_fragmentation_ratio": ("redis.memory.fragmentation_ratio", "1"),
    "blocked_clients": ("redis.clients.blocked", "1"),
    "uptime_in_seconds": ("redis.uptime_seconds", "s"),
}
# INFO key -> our series, as increments.
COUNTERS = {
    "keyspace_hits": "redis.keyspace.hits",
    "keyspace_misses": "redis.keyspace.misses",
    "evicted_keys": "redis.keys.evicted",
    "expired_keys": "redis.keys.expired",
    "total_commands_processed": "redis.commands",
    "rejected_connections": "redis.connections.rejected",
}

Info = Mapping[str, str]

_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")
_DATABASE = re.compile(r"db[0-9]{1,9}")
_REPLICA = re.compile(r"slave[0-9]{1,9}")


def parse(reply: bytes) -> dict[str, str]:
    """Return INFO's lines by key. What is no line of the form `key:value` is passed over."""
    found: dict[str, str] = {}
    for line in reply.decode(errors="replace").split("\r\n"):
        key, colon, value = line.partition(":")
        if colon and not key.startswith("#"):
            found[key] = value
    return found


def number(text: str | None) -> float | None:
    """Return a plain decimal number; None for everything else (`nan`, `1_0`, text, nothing)."""
    return float(text) if text is not None and _NUMBER.fullmatch(text) else None


def gauges(info: Info) -> Iterator[Metric]:
    """Yield the values of now."""
    for key, (name, unit) in GAUGES.items():
        if (value := number(info.get(key))) is not None:
            yield gauge(name, value, unit)
    if limit := number(info.get("maxmemory")):  # 0 means no limit
        yield gauge("redis.memory.max_bytes", limit, "By")
    if (clients := number(info.get("connected_clients"))) is not None:
        yield gauge("redis.clients.connected", max(0.0, clients - 1))  # one of them is monitord
    if "used_memory" in info:  # a server without keys has no line of a database
        yield gauge("redis.keys", sum(_fields(info, _DATABASE, "keys")))


def totals(info: Info) -> Totals:
    """Return the lifetime counters; they belong to one run of the server."""
    found = {key: number(info.get(key)) for key in COUNTERS}
    values = {key: value for key, value in found.items() if value is not None}
    return Totals(values, owner=info.get("run_id"))


def increments(interval: Interval, own_commands: int) -> Iterator[Metric]:
    """Yield what the server did in the interval; `own_commands` of its commands were monitord's."""
    added = dict(interval.added)
    if (commands := added.get("total_commands_processed")) is not None:
        commands = max(0.0, commands - own_commands)
        added["total_commands_processed"] = commands
        yield gauge("redis.commands_per_second", commands / interval.seconds, "{command}/s")
    for key, value in added.items():
        yield counter(COUNTERS[key], value)
    hits, misses = added.get("keyspace_hits"), added.get("keyspace_misses")
    if hits is not None and misses is not None and hits + misses > 0:
        yield gauge("redis.keyspace.hit_ratio", hits / (hits + misses))


def replication(info: Info) -> Iterator[Metric]:
    """
    Yield the server's role.

    A primary's lag is that of its slowest replica that is online and has answered at least once;
    a replica knows whether its link stands, but not how far behind it is.
    """
    role = info.get("role")
    if role not in ("master", "slave"):
        return
    yield gauge("redis.replication.is_primary", role == "master")
    if (replicas := number(info.get("connected_slaves"))) is not None:
        yield gauge("redis.replication.replicas", replicas)
    if role == "slave":
        yield gauge("redis.replication.link_up", info.get("master_link_status") == "up")
        return
    position = number(info.get("master_repl_offset"))
    acknowledged = list(_acknowledged(info))
    if position is not None and acknowledged:
        lag = max(0.0, position - min(acknowledged))
        yield gauge("redis.replication.lag_bytes", lag, "By")


def _acknowledged(info: Info) -> Iterator[float]:
    for fields in _lines(info, _REPLICA):
        offset = number(fields.get("offset"))
        seconds = number(fields.get("lag"))  # since it answered; -1: it never did
        if fields.get("state") == "online" and offset is not None and (seconds or 0) >= 0:
            yield offset


def _fields(info: Info, key: re.Pattern[str], field: str) -> Iterable[float]:
    found = (number(fields.get(field)) for fields in _lines(info, key))
    return (value for value in found if value is not None)


def _lines(info: Info, key: re.Pattern[str]) -> Iterator[dict[str, str]]:
    """Yield the fields of every line such as `db0:keys=1,expires=0`."""
    for name, value in info.items():
        if key.fullmatch(name):
            yield dict(field.partition("=")[::2] for field in value.split(","))
