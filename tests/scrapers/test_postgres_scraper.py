"""A real PostgreSQL, read while others work on it, restarted, frozen and reset."""

import asyncio
import os
import signal
import time

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from monitord.embedded import EmbeddedPostgres
from monitord.model import Metric, Reason, Scrape
from monitord.schedule import scrape
from monitord.scrapers.jobs import ScrapeJob
from monitord.scrapers.postgres import PostgresScraper
from monitord.scrapers.postgres.question import SELDOM
from monitord.settings import PostgresTarget, Secret


Values = Callable[..., dict[str, float]]

STATES = ("active", "idle", "idle_in_transaction", "other")


class Clock:
    """The monotonic clock, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@asynccontextmanager
async def reading(
    dsn: str, clock: Callable[[], float] = time.monotonic, **options: float
) -> AsyncIterator[PostgresScraper]:
    target = PostgresTarget(name="main", dsn=Secret(dsn), **options)
    scraper = PostgresScraper(target, clock)
    try:
        yield scraper
    finally:
        await scraper.close()


@asynccontextmanager
async def connected(dsn: str, **settings: str) -> AsyncIterator["asyncpg.Connection"]:
    connection = await asyncpg.connect(dsn, server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


async def settled(connection: "asyncpg.Connection") -> None:
    """Make what the session did visible in the statistics."""
    await connection.execute("SELECT pg_stat_force_next_flush()")


async def until(
    scraper: PostgresScraper, values: Values, seen: Callable[[dict[str, float]], bool]
) -> dict[str, float]:
    """Scrape until the numbers show what others are on their way to do."""
    async with asyncio.timeout(20):
        while True:
            found = values((await scraper.scrape()).metrics)
            if seen(found):
                return found
            await asyncio.sleep(0.05)


async def test_connections_by_state(empty_database: str, values: Values):
    """
    Sessions are counted by what they do; monitord's own are not.
    """
    async with (
        reading(empty_database) as scraper,
        connected(empty_database) as busy,
        connected(empty_database) as holding,
    ):
        before = values((await scraper.scrape()).metrics)
        async with holding.transaction():
            await holding.execute("SELECT 1")
            sleeping = asyncio.create_task(busy.execute("SELECT pg_sleep(60)"))
            during = await until(
                scraper, values, lambda found: found["postgres.connections active"] > 0
            )
            sleeping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sleeping

    def of(found: dict[str, float]) -> list[float]:
        return [found[f"postgres.connections {state}"] for state in STATES]

    assert during["postgres.connections.total"] == before["postgres.connections.total"]
    assert [after - old for after, old in zip(of(during), of(before), strict=True)] == [1, -2, 1, 0]
    assert during["postgres.connections.max"] == 100


async def test_own_connections_are_not_counted(quiet_postgres: EmbeddedPostgres, values: Values):
    """
    Neither the scraper's connection nor others of monitord are the application's.
    """
    async with (
        connected(quiet_postgres.dsn(), application_name="monitord"),
        reading(quiet_postgres.dsn()) as scraper,
    ):
        found = values((await scraper.scrape()).metrics)

    assert found["postgres.connections.total"] == 0
    assert sum(found[f"postgres.connections {state}"] for state in STATES) == 0


async def test_long_slow_and_blocked(empty_database: str, values: Values):
    """
    A transaction open too long, a statement running too long and one that waits for a lock show.
    """
    async with (
        reading(empty_database, slow_statement_ms=20.0, long_transaction=0.05) as scraper,
        connected(empty_database) as holder,
        connected(empty_database) as waiter,
    ):
        await holder.execute("CREATE TABLE orders (id int)")
        async with holder.transaction():
            await holder.execute("LOCK TABLE orders")
            waiting = asyncio.create_task(waiter.fetch("SELECT * FROM orders"))
            found = await until(
                scraper,
                values,
                lambda found: (
                    found["postgres.queries.blocked"] == 1
                    and found["postgres.queries.slow"] == 1
                    and found["postgres.transactions.long"] == 2
                ),
            )
        await waiting
        after = values((await scraper.scrape()).metrics)

    # The lock stopped nothing monitord asks.
    assert found["postgres.is_standby"] == 0
    assert after["postgres.queries.blocked"] == 0


async def test_a_store_of_monitord_is_not_the_applications(
    quiet_postgres: EmbeddedPostgres, values: Values
):
    """
    What happens in a database that only monitord uses is left out.
    """
    async with connected(quiet_postgres.dsn()) as shop:
        await shop.execute("CREATE DATABASE only_monitord")
    try:
        async with (
            connected(quiet_postgres.dsn("only_monitord"), application_name="monitord") as store,
            reading(quiet_postgres.dsn()) as scraper,
        ):
            for _ in range(3):
                await scraper.scrape()
                for _ in range(50):
                    await store.execute("SELECT 1")
                await settled(store)
            found = values((await scraper.scrape()).metrics)
    finally:
        async with connected(quiet_postgres.dsn()) as shop:
            await shop.execute("DROP DATABASE only_monitord WITH (FORCE)")

    assert found["postgres.transactions.committed"] < 50


async def test_work_of_the_interval_not_of_a_lifetime(
    quiet_postgres: EmbeddedPostgres, values: Values
):
    """
    Commits, rollbacks, blocks and the hit ratio are those since the scrape before.
    """
    async with connected(quiet_postgres.dsn()) as shop, reading(quiet_postgres.dsn()) as scraper:
        await shop.execute("CREATE TABLE IF NOT EXISTS items AS SELECT generate_series(1, 5000)")
        for _ in range(3):
            await shop.execute("SELECT count(*) FROM items")
            await settled(shop)
            await scraper.scrape()
            await asyncio.sleep(1.1)  # the server takes a session's numbers in once a second
        for _ in range(20):
            await shop.execute("SELECT count(*) FROM items")
        with pytest.raises(asyncpg.PostgresError):
            await shop.execute("SELECT 1 / 0")
        await settled(shop)
        second = values((await scraper.scrape()).metrics)

    # The 20 queries, and the statements that make them visible.
    assert 20 <= second["postgres.transactions.committed"] <= 22
    assert second["postgres.transactions.rolled_back"] == 1
    assert second["postgres.commits_per_second"] > 0
    assert 400 < second["postgres.blocks.hit"] < 1_000
    assert second["postgres.cache.hit_ratio"] > 0.9


async def test_an_idle_server_has_no_hit_ratio(quiet_postgres: EmbeddedPostgres, values: Values):
    """
    Where nobody works there are no commits and no hit ratio, though monitord asks all the time.
    """
    async with reading(quiet_postgres.dsn()) as scraper:
        for _ in range(4):
            found = values((await scraper.scrape()).metrics)
            await asyncio.sleep(1.1)  # the server takes a session's numbers in once a second

    assert found["postgres.transactions.committed"] == 0
    assert found["postgres.commits_per_second"] == 0
    assert "postgres.cache.hit_ratio" not in found


async def test_reset_statistics_are_a_gap(
    postgres_server: EmbeddedPostgres, empty_database: str, values: Values
):
    """
    A database whose statistics are reset between two scrapes never makes a number negative.
    """
    async with reading(postgres_server.dsn()) as scraper, connected(empty_database) as shop:
        for _ in range(50):
            await shop.execute("SELECT 1")
        await settled(shop)
        await scraper.scrape()
        await shop.execute("SELECT pg_stat_reset()")
        found = [values((await scraper.scrape()).metrics) for _ in range(2)]

    assert all(value >= 0 for numbers in found for value in numbers.values())
    assert all("postgres.transactions.committed" in numbers for numbers in found)


async def test_sizes_and_statements_are_asked_seldom(empty_database: str, values: Values):
    """
    What costs the server more is asked every half minute; in between nothing is said of it.
    """
    clock = Clock()
    async with reading(empty_database, clock) as scraper:
        first = values((await scraper.scrape()).metrics)
        clock.ahead += 10
        second = values((await scraper.scrape()).metrics)
        clock.ahead += SELDOM
        third = values((await scraper.scrape()).metrics)

    name = empty_database.split("/")[-1].split("?")[0]
    assert first[f"postgres.database.size_bytes {name}"] > 1_000_000
    assert not any(key.startswith("postgres.database.size_bytes") for key in second)
    assert third[f"postgres.database.size_bytes {name}"] > 1_000_000


async def test_one_backend_is_reused(empty_database: str):
    """
    All scrapes share one session, under monitord's name.
    """
    own = "SELECT pid, backend_start FROM pg_stat_activity WHERE application_name = 'monitord'"
    async with connected(empty_database) as watcher, reading(empty_database) as scraper:
        await scraper.scrape()
        first = await watcher.fetch(own)
        await scraper.scrape()
        second = await watcher.fetch(own)

    assert len(first) == 1
    assert first == second


async def test_restart_is_a_gap(quiet_postgres: EmbeddedPostgres, values: Values):
    """
    After a restart the scraper connects anew; its first scrape has no increments.
    """
    async with reading(quiet_postgres.dsn()) as scraper:
        job = ScrapeJob(target="main", kind="postgres", scraper=scraper, every=10, timeout=5)
        for _ in range(3):
            before = values((await scraper.scrape()).metrics)
        pid = quiet_postgres.pid
        assert pid is not None
        os.kill(pid, signal.SIGINT)
        async with asyncio.timeout(30):
            while quiet_postgres.pid in (None, pid):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
            while not (outcome := await scrape(job)).up:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)

    after = values(outcome.metrics)
    assert "postgres.blocks.hit" in before
    assert "postgres.connections.total" in after
    assert "postgres.blocks.hit" not in after


async def test_frozen_backend_times_out_and_recovers(empty_database: str):
    """
    A session that hangs gives a time-out, and is left behind for a new one.
    """
    own = "SELECT pid FROM pg_stat_activity WHERE application_name = 'monitord'"
    async with connected(empty_database) as watcher, reading(empty_database) as scraper:
        await scraper.scrape()
        pid = await watcher.fetchval(own)
        os.kill(pid, signal.SIGSTOP)
        try:
            job = ScrapeJob(target="main", kind="postgres", scraper=scraper, every=9, timeout=0.3)
            frozen = await scrape(job)
            job = ScrapeJob(target="main", kind="postgres", scraper=scraper, every=9, timeout=5)
            after = await scrape(job)
        finally:
            os.kill(pid, signal.SIGCONT)
        async with asyncio.timeout(20):
            while len(sessions := await watcher.fetch(own)) > 1:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)

    assert (frozen.up, frozen.reason) == (False, Reason.TIMEOUT)
    assert after.up
    assert pid not in [session["pid"] for session in sessions]


async def test_terminated_session_is_made_anew(empty_database: str):
    """
    A session an administrator ended between two scrapes does not make the server look down.
    """
    async with connected(empty_database) as watcher, reading(empty_database) as scraper:
        await scraper.scrape()
        await watcher.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'monitord'"
        )
        await asyncio.sleep(0.05)
        found = await scraper.scrape()

    assert found.metrics


async def test_database_names_are_text(
    postgres_server: EmbeddedPostgres, empty_database: str, values: Values
):
    """
    A database may have any name; it comes out as it is.
    """
    name = 'we"ird; <b>ü\n'
    async with connected(empty_database) as shop:
        quoted = '"' + name.replace('"', '""') + '"'
        await shop.execute(f"CREATE DATABASE {quoted}")
        try:
            async with reading(empty_database) as scraper:
                found = values((await scraper.scrape()).metrics)
        finally:
            await shop.execute(f"DROP DATABASE {quoted}")

    assert found[f"postgres.database.size_bytes {name}"] > 1_000_000


async def test_every_question_works_on_older_versions(older_postgres: EmbeddedPostgres):
    """
    Each installed major version answers every question; nothing is missing.
    """
    clock = Clock()
    async with connected(older_postgres.dsn()) as shop:
        await shop.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    async with reading(older_postgres.dsn(), clock) as scraper:
        scrapes: list[Scrape] = []
        for _ in range(3):
            scrapes.append(await scraper.scrape())
            clock.ahead += 1

    assert [list(found.problems) for found in scrapes] == [[], [], []]
    assert names(scrapes) >= {
        "postgres.connections.total",
        "postgres.database.size_bytes",
        "postgres.statements.slow",
        "postgres.transactions.committed",
        "postgres.is_standby",
    }


def names(scrapes: list[Scrape]) -> set[str]:
    metrics: list[Metric] = [metric for found in scrapes for metric in found.metrics]
    return {metric.name for metric in metrics}
