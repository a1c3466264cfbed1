"""Slow statements, counted over the interval, whatever of the extension there is."""

import time

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest
import pytest_asyncio

from monitord.embedded import EmbeddedPostgres
from monitord.model import Reason
from monitord.scrapers.postgres import PostgresScraper
from monitord.scrapers.postgres.question import SELDOM
from monitord.scrapers.postgres.statements import Work, count_slow
from monitord.settings import PostgresTarget, Secret


Values = Callable[..., dict[str, float]]

AVAILABLE = "postgres.statements.available"
SLOW = "postgres.statements.slow"


class Clock:
    """The monotonic clock, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@asynccontextmanager
async def reading(
    dsn: str, clock: Callable[[], float] = time.monotonic, slow_ms: float = 100.0
) -> AsyncIterator[PostgresScraper]:
    target = PostgresTarget(name="main", dsn=Secret(dsn), slow_statement_ms=slow_ms)
    scraper = PostgresScraper(target, clock)
    try:
        yield scraper
    finally:
        await scraper.close()


@pytest_asyncio.fixture
async def shop(empty_database: str) -> AsyncIterator["asyncpg.Connection"]:
    """
    A session in the test's database.
    """
    connection = await asyncpg.connect(empty_database)
    yield connection
    await connection.close()


async def test_slow_statements_of_the_interval(
    shop: "asyncpg.Connection", empty_database: str, values: Values
):
    """
    A statement counts in the interval in which it was slow, and in no other.
    """
    await shop.execute("CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset()")
    clock = Clock()
    found = []
    async with reading(empty_database, clock, slow_ms=50.0) as scraper:
        await shop.execute("SELECT pg_sleep(0.06), 'before the first reading'")
        for statement in ("SELECT 1", "SELECT pg_sleep(0.06), 'now', 2", "SELECT 1"):
            found.append(values((await scraper.scrape()).metrics))
            clock.ahead += SELDOM
            await shop.execute(statement)
        found.append(values((await scraper.scrape()).metrics))

    assert [numbers.get(SLOW) for numbers in found] == [None, 0, 1, 0]
    assert [numbers[AVAILABLE] for numbers in found] == [1, 1, 1, 1]


async def test_second_reading_comes_soon(
    shop: "asyncpg.Connection", empty_database: str, values: Values
):
    """
    The second scrape reads the statements again, so that the page soon has a number.
    """
    await shop.execute("CREATE EXTENSION pg_stat_statements")
    async with reading(empty_database) as scraper:
        found = [values((await scraper.scrape()).metrics) for _ in range(3)]

    assert [SLOW in numbers for numbers in found] == [False, True, False]


async def test_own_statements_are_left_out(
    shop: "asyncpg.Connection", empty_database: str, values: Values
):
    """
    Where only monitord asks, no statement is slow, however short the limit.
    """
    await shop.execute("CREATE EXTENSION pg_stat_statements")
    clock = Clock()
    async with reading(empty_database, clock, slow_ms=0.001) as scraper:
        for _ in range(4):
            found = values((await scraper.scrape()).metrics)
            clock.ahead += SELDOM

    assert found[SLOW] == 0


@pytest.mark.parametrize("version", ["1.7", "1.8", "1.9", "1.10", "1.11", "1.12"])
async def test_columns_of_every_version(
    shop: "asyncpg.Connection", empty_database: str, values: Values, version: str
):
    """
    The extension of PostgreSQL 12 to 18 is read by the columns it has, in any schema.
    """
    await shop.execute(
        'CREATE SCHEMA "Odd ""one"; CREATE EXTENSION pg_stat_statements SCHEMA "Odd ""one"'
        f" VERSION '{version}'"
    )
    async with reading(empty_database, slow_ms=30.0) as scraper:
        first = await scraper.scrape()
        await shop.execute(f"SELECT pg_sleep(0.05), '{version}'")
        second = await scraper.scrape()

    assert first.problems == second.problems == []
    assert values(second.metrics)[SLOW] == 1


async def test_without_the_extension(empty_database: str, values: Values):
    """
    Where the extension is not created, the statement that creates it is told, and nothing is 0.
    """
    async with reading(empty_database) as scraper:
        found = await scraper.scrape()

    (problem,) = found.problems
    numbers = values(found.metrics)
    assert problem.reason is Reason.MISSING
    assert problem.remedy.endswith(": CREATE EXTENSION pg_stat_statements;")
    assert "shared_preload_libraries" not in problem.remedy
    assert numbers[AVAILABLE] == 0
    assert SLOW not in numbers


async def test_without_the_library(quiet_postgres: EmbeddedPostgres, values: Values):
    """
    Where the server has not loaded the library, that is told; with and without the extension.
    """
    admin = await asyncpg.connect(quiet_postgres.dsn())
    try:
        async with reading(quiet_postgres.dsn()) as scraper:
            neither = await scraper.scrape()
        await admin.execute("CREATE EXTENSION pg_stat_statements")
        async with reading(quiet_postgres.dsn()) as scraper:
            created = await scraper.scrape()
    finally:
        await admin.execute("DROP EXTENSION IF EXISTS pg_stat_statements")
        await admin.close()

    for found in (neither, created):
        (problem,) = found.problems
        assert problem.what == "statements"
        assert "shared_preload_libraries = 'pg_stat_statements'" in problem.remedy
        assert values(found.metrics)[AVAILABLE] == 0
    assert "CREATE EXTENSION" in neither.problems[0].remedy
    assert "CREATE EXTENSION" not in created.problems[0].remedy


async def test_created_later(shop: "asyncpg.Connection", empty_database: str, values: Values):
    """
    An extension created while monitord runs is found without a restart.
    """
    clock = Clock()
    async with reading(empty_database, clock) as scraper:
        before = await scraper.scrape()
        await shop.execute("CREATE EXTENSION pg_stat_statements")
        clock.ahead += SELDOM
        after = await scraper.scrape()

    assert before.problems
    assert after.problems == []
    assert values(after.metrics)[AVAILABLE] == 1


KEY = (1, 2, 3)


@pytest.mark.parametrize(
    ("before", "now", "slow"),
    [
        # one slow call among fast ones of earlier: what counts is the interval
        ({KEY: Work(1000, 1000)}, {KEY: Work(1001, 1500)}, 1),
        ({KEY: Work(1000, 200_000)}, {KEY: Work(1010, 200_100)}, 0),
        # not called since
        ({KEY: Work(1000, 200_000)}, {KEY: Work(1000, 200_000)}, 0),
        # new
        ({}, {KEY: Work(1, 150)}, 1),
        ({}, {KEY: Work(10, 150)}, 0),
        # reset, or thrown out and back
        ({KEY: Work(1000, 1000)}, {KEY: Work(2, 500)}, 1),
        # gone
        ({KEY: Work(1, 500)}, {}, 0),
    ],
)
def test_slow_is_judged_by_the_interval(
    before: dict[tuple[int, int, int], Work], now: dict[tuple[int, int, int], Work], slow: int
):
    """
    A statement is slow by the mean of its calls between two readings.
    """
    assert count_slow(before, now, limit_ms=100.0) == slow
