"""`monitord check`'s findings about targets."""

import socket

import asyncpg

from monitord.embedded import EmbeddedPostgres
from monitord.model import Reason, Scrape
from monitord.scrapers import open_scrapers
from monitord.scrapers.diagnose import Diagnosis, diagnose
from monitord.scrapers.jobs import ScrapeJob
from monitord.settings import HostTarget, PostgresTarget, RedisTarget, Secret, Targets
from monitord.telemetry import Telemetry


async def found_by(targets: Targets) -> dict[tuple[str, str], Diagnosis]:
    jobs = open_scrapers(targets, Telemetry())
    return {(one.kind, one.target): one for one in await diagnose(jobs)}


async def test_what_works_and_what_is_missing(
    postgres_server: EmbeddedPostgres, empty_database: str, valkey: str
):
    """
    For each target: the groups of numbers that work, and a remedy for each that does not.
    """
    admin = await asyncpg.connect(empty_database)
    await admin.execute("CREATE ROLE lesser LOGIN")
    try:
        found = await found_by(
            Targets(
                redis=(RedisTarget(name="main", url=Secret(valkey)),),
                postgres=(
                    PostgresTarget(name="main", dsn=Secret(empty_database)),
                    PostgresTarget(
                        name="lesser", dsn=Secret(empty_database.replace("postgres@", "lesser@"))
                    ),
                ),
            )
        )
    finally:
        await admin.execute("DROP ROLE lesser")
        await admin.close()

    cache, main = found["redis", "main"], found["postgres", "main"]
    lesser, machine = found["postgres", "lesser"], found["host", "host"]
    assert all(one.up for one in found.values())
    assert {"memory", "clients", "keys"} <= set(cache.works)
    assert cache.problems == []
    assert [warning.what for warning in cache.warnings] == ["user"]
    assert "ACL SETUSER monitord" in cache.warnings[0].remedy
    assert {"connections", "database", "replication"} <= set(main.works)
    assert "statements" not in main.works
    assert [problem.what for problem in main.problems] == ["statements"]
    assert [warning.what for warning in main.warnings] == ["role"]
    assert {problem.what for problem in lesser.problems} == {"activity", "statements"}
    assert lesser.warnings == []
    assert {"cpu", "memory", "disk"} <= set(machine.works)


async def test_a_target_that_is_down_hides_no_other():
    """
    A dead target is down with its reason; the others are tried all the same.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    found = await found_by(
        Targets(
            redis=(RedisTarget(name="main", url=Secret(f"redis://127.0.0.1:{port}")),),
            host=HostTarget(),
        )
    )

    dead = found["redis", "main"]
    assert not dead.up
    assert dead.works == ()
    assert [problem.reason for problem in dead.problems] == [Reason.REFUSED]
    assert found["host", "host"].up


class Broken:
    """A scraper with a bug, which must not cost the other findings."""

    def __init__(self) -> None:
        self.closed = False

    async def scrape(self) -> Scrape:
        raise KeyError("bug")

    async def close(self) -> None:
        self.closed = True


async def test_a_bug_is_a_finding():
    """
    Whatever a scraper raises is told, in its words, and the scraper is closed.
    """
    scraper = Broken()
    job = ScrapeJob(target="odd", kind="redis", scraper=scraper, every=10, timeout=5)

    (found,) = await diagnose([job])

    assert not found.up
    assert found.problems[0].detail == "KeyError: 'bug'"
    assert scraper.closed
