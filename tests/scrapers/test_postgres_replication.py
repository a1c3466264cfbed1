"""A primary and its standby, made with pg_basebackup."""

import asyncio
import os
import subprocess

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import pytest_asyncio

from monitord.embedded import EmbeddedPostgres, PostgresOptions
from monitord.embedded.account import server_account
from monitord.embedded.binaries import find_postgres, postgres_folders
from monitord.model import Reason
from monitord.scrapers.postgres import PostgresScraper
from monitord.settings import PostgresTarget, Secret


Values = Callable[..., dict[str, float]]
Pair = tuple[EmbeddedPostgres, EmbeddedPostgres]

LAG_BYTES = "postgres.replication.lag_bytes"
LAG_SECONDS = "postgres.replication.lag_seconds"
STANDBY = "postgres.is_standby"


@asynccontextmanager
async def reading(dsn: str) -> AsyncIterator[PostgresScraper]:
    scraper = PostgresScraper(PostgresTarget(name="main", dsn=Secret(dsn)))
    try:
        yield scraper
    finally:
        await scraper.close()


@pytest_asyncio.fixture(scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """
    A primary and a standby that streams from it.
    """
    options = PostgresOptions(settings={"fsync": "off", "autovacuum": "off"})
    folder = tmp_path_factory.mktemp("standby")
    async with EmbeddedPostgres(tmp_path_factory.mktemp("primary"), options) as primary:
        await copied(primary, folder / "data")
        async with EmbeddedPostgres(folder, options) as standby:
            yield primary, standby


async def copied(primary: EmbeddedPostgres, data: Path) -> None:
    binaries = await find_postgres(server_account(data), postgres_folders())
    program = binaries.folder / "pg_basebackup"
    if not program.exists():
        pytest.skip(f"{binaries.folder} has no pg_basebackup")
    socket = parse_qs(urlsplit(primary.dsn()).query)["host"][0]
    command = [program, "-h", socket, "-U", "postgres", "-D", data, "-R", "-c", "fast"]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    give(data)


def give(data: Path) -> None:
    """Make the copy its server's, which runs as another user when the tests run as root."""
    if (account := server_account(data)) is not None:
        for place in (data, *data.rglob("*")):
            os.chown(place, account.uid, account.gid)


async def until(
    scraper: PostgresScraper, values: Values, seen: Callable[[dict[str, float]], bool]
) -> dict[str, float]:
    async with asyncio.timeout(30):
        while True:
            found = values((await scraper.scrape()).metrics)
            if seen(found):
                return found
            await asyncio.sleep(0.05)


async def test_a_server_without_standbys_has_no_lag(
    postgres_server: EmbeddedPostgres, values: Values
):
    """
    A primary alone is no standby, has no replicas and no lag, not even one of 0.
    """
    async with reading(postgres_server.dsn()) as scraper:
        found = values((await scraper.scrape()).metrics)

    assert found[STANDBY] == 0
    assert found["postgres.replication.replicas"] == 0
    assert LAG_BYTES not in found
    assert LAG_SECONDS not in found


async def test_an_idle_pair_is_not_behind(pair: Pair, values: Values):
    """
    Once the standby has replayed everything, both sides tell a lag of 0, however long ago that was.
    """
    primary, standby = pair
    async with reading(primary.dsn()) as first, reading(standby.dsn()) as second:
        of_primary = await until(first, values, lambda found: found.get(LAG_BYTES) == 0)
        of_standby = await until(second, values, lambda found: found.get(LAG_BYTES) == 0)
        await asyncio.sleep(1.0)
        later = await until(second, values, lambda found: found.get(LAG_BYTES) == 0)

    assert of_primary[STANDBY] == 0
    assert of_primary["postgres.replication.replicas"] == 1
    assert of_primary[LAG_SECONDS] == 0
    assert of_standby[STANDBY] == 1
    assert later[LAG_SECONDS] == 0


async def test_a_paused_standby_is_behind(pair: Pair, values: Values):
    """
    A standby that receives but does not replay is behind, on both sides, in bytes and seconds.
    """
    primary, standby = pair
    writer = await asyncpg.connect(primary.dsn())
    replayer = await asyncpg.connect(standby.dsn())
    try:
        await writer.execute("CREATE TABLE IF NOT EXISTS orders (note text)")
        async with reading(primary.dsn()) as first, reading(standby.dsn()) as second:
            await until_replayed(replayer)
            await replayer.execute("SELECT pg_wal_replay_pause()")
            await writer.execute(
                "INSERT INTO orders SELECT repeat('x', 100) FROM generate_series(1, 9999)"
            )
            of_primary = await until(
                first,
                values,
                lambda found: found.get(LAG_BYTES, 0) > 900_000 and LAG_SECONDS in found,
            )
            of_standby = await until(second, values, lambda found: found[LAG_BYTES] > 900_000)
            await replayer.execute("SELECT pg_wal_replay_resume()")
            after = await until(second, values, lambda found: found[LAG_BYTES] == 0)
    finally:
        await writer.close()
        await replayer.close()

    assert of_primary[LAG_SECONDS] > 0
    assert of_standby[LAG_SECONDS] > 0
    assert after[LAG_SECONDS] == 0


async def until_replayed(standby: "asyncpg.Connection") -> None:
    async with asyncio.timeout(30):
        while not await standby.fetchval("SELECT to_regclass('orders') IS NOT NULL"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_hidden_standbys(pair: Pair, values: Values):
    """
    A role that may not see standbys is told the grant, and no lag; not even one of 0.
    """
    primary, _ = pair
    admin = await asyncpg.connect(primary.dsn())
    try:
        await admin.execute("CREATE ROLE watcher LOGIN")
        async with reading(primary.dsn(user="watcher")) as scraper:
            found = await scraper.scrape()
    finally:
        await admin.execute("DROP ROLE watcher")
        await admin.close()

    problems = {problem.what: problem for problem in found.problems}
    assert problems["replication"].reason is Reason.PERMISSION
    assert problems["replication"].remedy == "GRANT pg_read_all_stats TO watcher;"
    assert values(found.metrics)[STANDBY] == 0
    assert LAG_BYTES not in values(found.metrics)


async def test_a_promoted_standby_is_a_primary(pair: Pair, values: Values):
    """
    The scrape after a promotion tells the new role, in the same session.
    """
    _, standby = pair
    admin = await asyncpg.connect(standby.dsn())
    try:
        async with reading(standby.dsn()) as scraper:
            before = values((await scraper.scrape()).metrics)
            await admin.execute("SELECT pg_promote(true, 30)")
            after = values((await scraper.scrape()).metrics)
    finally:
        await admin.close()

    assert before[STANDBY] == 1
    assert after[STANDBY] == 0
    assert LAG_SECONDS not in after
