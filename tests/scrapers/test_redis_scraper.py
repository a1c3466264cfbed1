"""A real Valkey, read, restarted, frozen, kept busy and forbidden to."""

import asyncio
import os
import signal

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio

from msgspec import structs

from monitord.embedded import EmbeddedValkey, ValkeyOptions
from monitord.model import Metric, Reason, ScrapeError
from monitord.schedule import scrape
from monitord.scrapers.jobs import ScrapeJob
from monitord.scrapers.redis import RedisScraper
from monitord.scrapers.redis.refusals import ACL
from monitord.settings import RedisTarget, Secret


LINK = "redis.replication.link_up"
Values = Callable[[list[Metric]], dict[str, float]]


@asynccontextmanager
async def reading(url: str, password: str = "") -> AsyncIterator[RedisScraper]:
    target = RedisTarget(name="main", url=Secret(url), password=Secret(password))
    scraper = RedisScraper(target)
    try:
        yield scraper
    finally:
        await scraper.close()


@asynccontextmanager
async def client(url: str) -> AsyncIterator["redis.asyncio.Redis"]:
    async with redis.asyncio.from_url(url, protocol=2) as connected:
        yield connected


def as_user(url: str, user: str, password: str) -> str:
    return url.replace("redis://", f"redis://{user}:{password}@")


async def test_hits_of_the_interval_not_of_a_lifetime(valkey: str, values: Values):
    """
    Hit ratio, hits and commands are those since the scrape before, not since the server's start.
    """
    async with client(valkey) as shop, reading(valkey) as scraper:
        await shop.set("a", 1)
        for _ in range(50):
            await shop.get("a")
        first = values((await scraper.scrape()).metrics)
        await shop.get("a")
        await shop.get("nothing")
        second = values((await scraper.scrape()).metrics)
        third = values((await scraper.scrape()).metrics)

    assert not any(name.startswith("redis.keyspace") for name in first)
    assert second["redis.keyspace.hits"] == 1
    assert second["redis.keyspace.misses"] == 1
    assert second["redis.keyspace.hit_ratio"] == 0.5
    assert second["redis.commands"] == 2
    assert second["redis.keys"] == 1
    assert third["redis.keyspace.hits"] == 0
    assert "redis.keyspace.hit_ratio" not in third


async def test_monitord_is_not_counted(own_valkey: EmbeddedValkey, values: Values):
    """
    An idle server has no client and runs no command, though monitord asks it.
    """
    async with reading(own_valkey.url) as scraper:
        await scraper.scrape()
        found = values((await scraper.scrape()).metrics)

    assert found["redis.clients.connected"] == 0
    assert found["redis.commands"] == 0
    assert found["redis.commands_per_second"] == 0


async def test_one_named_connection_is_reused(own_valkey: EmbeddedValkey):
    """
    Scrapes share one connection, which CLIENT LIST shows as monitord.
    """
    async with reading(own_valkey.url) as scraper, client(own_valkey.url) as shop:
        for _ in range(3):
            await scraper.scrape()
        named = [row for row in await shop.client_list() if row["name"] == "monitord"]
        connections = (await shop.info("stats"))["total_connections_received"]
        await scraper.scrape()
        later = (await shop.info("stats"))["total_connections_received"]

    assert len(named) == 1
    assert later == connections


async def test_evictions_of_the_interval(own_valkey: EmbeddedValkey, values: Values):
    """
    Evicted keys are counted per interval, and the memory limit is told.
    """
    async with reading(own_valkey.url) as scraper, client(own_valkey.url) as shop:
        await shop.config_set("maxmemory", "4mb")
        await scraper.scrape()
        for number in range(60):
            await shop.set(f"key {number}", "x" * 100_000)
        evicted = (await shop.info("stats"))["evicted_keys"]
        second = values((await scraper.scrape()).metrics)
        third = values((await scraper.scrape()).metrics)

    assert second["redis.keys.evicted"] == evicted > 0
    assert third["redis.keys.evicted"] == 0
    assert third["redis.memory.max_bytes"] == 4 * 1024 * 1024


async def test_reset_of_the_statistics_is_a_gap(own_valkey: EmbeddedValkey, values: Values):
    """
    After CONFIG RESETSTAT one interval is missing; no number is negative, the next is right.
    """
    async with reading(own_valkey.url) as scraper, client(own_valkey.url) as shop:
        for _ in range(100):
            await shop.get("a")
        await scraper.scrape()
        await shop.config_resetstat()
        second = values((await scraper.scrape()).metrics)
        await shop.get("a")
        third = values((await scraper.scrape()).metrics)

    assert "redis.commands" not in second
    assert "redis.keyspace.misses" not in second
    assert second["redis.memory.used_bytes"] > 0
    assert third["redis.keyspace.misses"] == 1


async def test_restart_is_a_gap(own_valkey: EmbeddedValkey, values: Values):
    """
    After a restart the first scrape has values of now and no increments, the second has both.
    """
    async with reading(own_valkey.url) as scraper:
        async with client(own_valkey.url) as shop:
            for _ in range(100):
                await shop.get("a")
        await scraper.scrape()
        await restarted(own_valkey)
        async with client(own_valkey.url) as shop:
            for _ in range(200):
                await shop.get("a")
        second = values((await scraper.scrape()).metrics)
        third = values((await scraper.scrape()).metrics)

    assert second["redis.memory.used_bytes"] > 0
    assert "redis.commands" not in second
    assert third["redis.keyspace.misses"] == 0


async def restarted(server: EmbeddedValkey) -> None:
    """Kill the server and return when its supervisor has started another."""
    before = server.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(20):
        while server.pid in (None, before):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)


async def test_connection_closed_by_the_server_is_made_anew(
    own_valkey: EmbeddedValkey, values: Values
):
    """
    A server that closes idle clients is not taken for one that is down.
    """
    async with reading(own_valkey.url) as scraper, client(own_valkey.url) as shop:
        await scraper.scrape()
        (number,) = [row["id"] for row in await shop.client_list() if row["name"] == "monitord"]
        await shop.client_kill_filter(_id=number)
        await asyncio.sleep(0.05)
        found = values((await scraper.scrape()).metrics)

    assert found["redis.commands"] >= 0


async def test_frozen_server_times_out_and_recovers(own_valkey: EmbeddedValkey):
    """
    A server that is stopped gives a time-out; once it runs again it is read again.
    """
    assert own_valkey.pid is not None
    async with reading(own_valkey.url) as scraper:
        job = ScrapeJob(target="main", kind="redis", scraper=scraper, every=10, timeout=5)
        before = await scrape(job)
        hasty = structs.replace(job, timeout=0.3)
        os.kill(own_valkey.pid, signal.SIGSTOP)
        try:
            frozen = [await scrape(hasty) for _ in range(2)]
        finally:
            os.kill(own_valkey.pid, signal.SIGCONT)
        after = await scrape(job)

    assert before.up
    assert [(one.up, one.reason) for one in frozen] == [(False, Reason.TIMEOUT)] * 2
    assert after.up


async def test_busy_server_is_not_ready(own_valkey: EmbeddedValkey):
    """
    While a script keeps the server busy it is told as not ready, with what ends it.
    """
    async with client(own_valkey.url) as shop, reading(own_valkey.url) as scraper:
        await shop.config_set("busy-reply-threshold", 1)
        script = asyncio.create_task(shop.eval("while true do end", 0))
        async with client(own_valkey.url) as other:
            caught = await refusal(scraper)
            await other.script_kill()
        with pytest.raises(redis.asyncio.ResponseError):
            await script
        after = await scraper.scrape()

    assert caught.reason is Reason.LOADING
    assert "SCRIPT KILL" in caught.remedy
    assert after.metrics


async def refusal(scraper: RedisScraper) -> ScrapeError:
    """Scrape until that is refused; return what was said."""
    async with asyncio.timeout(10):
        while True:
            try:
                await scraper.scrape()
            except ScrapeError as error:
                return error


async def test_full_server_is_told_apart(own_valkey: EmbeddedValkey):
    """
    A server with as many clients as it takes refuses monitord, and says why.
    """
    async with client(own_valkey.url) as shop, reading(own_valkey.url) as scraper:
        await shop.config_set("maxclients", 1)
        with pytest.raises(ScrapeError) as caught:
            await scraper.scrape()
        await shop.config_set("maxclients", 100)

    assert caught.value.reason is Reason.REFUSED
    assert "max number of clients" in caught.value.detail


@pytest.mark.parametrize(
    ("password", "detail"), [("", "wants a password"), ("hunter3", "wrong user or password")]
)
async def test_password_missing_or_wrong(own_valkey: EmbeddedValkey, password: str, detail: str):
    """
    A missing and a wrong password are told apart from a dead server, and never repeated.
    """
    async with client(own_valkey.url) as shop:
        await shop.config_set("requirepass", "hunter2")

        async with reading(own_valkey.url, password) as scraper:
            with pytest.raises(ScrapeError) as caught:
                await scraper.scrape()
        async with reading(own_valkey.url, "hunter2") as scraper:
            right = await scraper.scrape()

    assert caught.value.reason is Reason.AUTH
    assert detail in caught.value.detail
    assert "hunter3" not in str(caught.value) + caught.value.remedy
    assert right.metrics


async def test_password_where_none_is_set(valkey: str):
    """
    A password for a server that has none, and a user it does not know, are refused as such.
    """
    with pytest.raises(ScrapeError) as caught:
        async with reading(as_user(valkey, "nobody", "secret")) as scraper:
            await scraper.scrape()

    assert caught.value.reason is Reason.AUTH


async def test_the_documented_acl_is_enough(own_valkey: EmbeddedValkey):
    """
    A user with the rights of the documentation gives every number, and the server denies nothing.
    """
    async with client(own_valkey.url) as shop:
        await shop.execute_command(f"ACL SETUSER monitord on >pw {ACL}")
        async with reading(as_user(own_valkey.url, "monitord", "pw")) as scraper:
            await scraper.scrape()
            found = await scraper.scrape()
            advice = await scraper.advise()
        denied = await shop.execute_command("ACL LOG")

    assert {metric.name for metric in found.metrics} >= {"redis.commands", "redis.keys"}
    assert found.problems == []
    assert advice == []
    assert denied == []


async def test_a_denied_name_costs_nothing_else(own_valkey: EmbeddedValkey):
    """
    A user who may not name its connection still gives every number; the ACL line is told.
    """
    async with client(own_valkey.url) as shop:
        await shop.execute_command("ACL SETUSER lesser on >pw resetkeys -@all +info")
        async with reading(as_user(own_valkey.url, "lesser", "pw")) as scraper:
            found = await scraper.scrape()
            again = await scraper.scrape()

    assert found.metrics
    assert [problem.remedy for problem in found.problems] == ["ACL SETUSER lesser +client|setname"]
    assert again.problems == found.problems


async def test_a_denied_info_is_named(own_valkey: EmbeddedValkey):
    """
    A user who may not run INFO gives nothing; command, user and ACL line are told.
    """
    async with client(own_valkey.url) as shop:
        await shop.execute_command("ACL SETUSER least on >pw -@all +client|setname")
        async with reading(as_user(own_valkey.url, "least", "pw")) as scraper:
            with pytest.raises(ScrapeError) as caught:
                await scraper.scrape()

    assert caught.value.reason is Reason.PERMISSION
    assert caught.value.detail == "user least may not run INFO"
    assert caught.value.remedy == "ACL SETUSER least +info"


async def test_the_default_user_is_advised_against(valkey: str):
    """
    Working as the user who may do anything is worth a word and an ACL line.
    """
    async with reading(valkey) as scraper:
        (advice,) = await scraper.advise()

    assert advice.remedy == f"ACL SETUSER monitord on >PASSWORD {ACL}"


async def test_a_replica_tells_its_link_and_the_primary_its_lag(
    own_valkey: EmbeddedValkey, tmp_path: Path, values: Values
):
    """
    Both sides of a replication tell their role; only the primary tells a lag.
    """
    # No disk: the servers' working folder is not theirs to write to.
    settings = {
        "replicaof": f"127.0.0.1 {own_valkey.port}",
        "repl-diskless-load": "on-empty-db",
    }
    async with client(own_valkey.url) as shop:
        await shop.config_set("repl-diskless-sync-delay", 0)
    options = ValkeyOptions(settings=settings)
    async with (
        EmbeddedValkey(tmp_path / "replica", options) as replica,
        reading(own_valkey.url) as primary_scraper,
        reading(replica.url) as replica_scraper,
    ):
        primary: dict[str, float] = {}
        second: dict[str, float] = {}
        async with asyncio.timeout(20):
            while not ("redis.replication.lag_bytes" in primary and second[LINK]):
                await asyncio.sleep(0.05)
                primary = values((await primary_scraper.scrape()).metrics)
                second = values((await replica_scraper.scrape()).metrics)

    assert primary["redis.replication.is_primary"] == 1
    assert primary["redis.replication.replicas"] == 1
    assert second["redis.replication.is_primary"] == 0
    assert "redis.replication.lag_bytes" not in second
