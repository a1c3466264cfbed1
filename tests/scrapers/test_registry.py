"""Whatever can be scraped is registered, and whatever it gives is documented."""

import asyncio
import importlib
import pkgutil
import re

from pathlib import Path

import asyncpg

from monitord import scrapers
from monitord.embedded import EmbeddedPostgres
from monitord.model import Metric
from monitord.scrapers import OPENERS, host, open_scrapers, postgres
from monitord.scrapers.host.scraper import questions as host_questions
from monitord.scrapers.postgres.scraper import questions as postgres_questions
from monitord.settings import HostTarget, PostgresTarget, RedisTarget, Secret, Targets
from monitord.telemetry import Telemetry


DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def modules(package: object) -> list[object]:
    path, name = package.__path__, package.__name__
    return [importlib.import_module(f"{name}.{found.name}") for found in pkgutil.iter_modules(path)]


def own_classes(package: object, method: str) -> set[type]:
    """Return the classes of the package's modules that have this member, but the port itself."""
    return {
        value
        for module in modules(package)
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and hasattr(value, method)
        and value.__name__ != "Question"
    }


def test_every_kind_is_registered():
    """
    Each module that opens jobs stands in the registry, under its name or its kind.
    """
    opening = {module.open_jobs for module in modules(scrapers) if hasattr(module, "open_jobs")}

    assert opening == set(OPENERS.values())


def test_every_question_is_asked():
    """
    Each question to PostgreSQL and to the machine stands in its list.
    """
    of_postgres = postgres_questions(PostgresTarget(name="main", dsn=Secret("postgresql:///")))
    of_host = host_questions(HostTarget())

    assert own_classes(postgres, "ask") == {type(question) for question in of_postgres}
    assert own_classes(host, "what") == {type(question) for question in of_host}
    for asked in (of_postgres, of_host):
        assert len({question.what for question in asked}) == len(asked)


def test_every_target_has_a_job():
    """
    Each target of the settings, this machine and monitord itself have a job under their names.
    """
    targets = Targets(
        redis=(RedisTarget(name="cache", url=Secret("redis://localhost"), every=3.0),),
        postgres=(PostgresTarget(name="main", dsn=Secret("postgresql:///shop"), timeout=1.0),),
    )

    jobs = open_scrapers(targets, Telemetry())

    assert [(job.kind, job.target) for job in jobs] == [
        ("redis", "cache"),
        ("postgres", "main"),
        ("host", "host"),
        ("monitord", "monitord"),
    ]
    assert jobs[0].every == 3.0
    assert jobs[1].timeout == 1.0


def test_the_machine_can_be_left_out():
    """
    A host that is switched off has no job.
    """
    jobs = open_scrapers(Targets(host=HostTarget(enabled=False)), Telemetry())

    assert [job.kind for job in jobs] == ["monitord"]


def documented() -> set[str]:
    return set(re.findall(r"^\| `([a-z0-9_.]+)`", DOCUMENT.read_text(), re.MULTILINE))


async def test_every_series_is_documented(
    postgres_server: EmbeddedPostgres, empty_database: str, valkey: str
):
    """
    Each series real targets give stands in docs/metrics.md with its kind and unit.
    """
    admin = await asyncpg.connect(empty_database)
    await admin.execute("CREATE EXTENSION pg_stat_statements")
    await admin.close()
    targets = Targets(
        redis=(RedisTarget(name="main", url=Secret(valkey)),),
        postgres=(PostgresTarget(name="main", dsn=Secret(empty_database)),),
    )
    found: list[Metric] = []
    jobs = open_scrapers(targets, Telemetry())
    for _ in range(3):
        for job in jobs:
            found += (await job.scraper.scrape()).metrics
        await asyncio.sleep(0.05)
    for job in jobs:
        await job.scraper.close()

    text = DOCUMENT.read_text()
    rows = {f"| `{metric.name}` | {metric.kind} | {metric.unit} |" for metric in found}
    assert [row for row in sorted(rows) if row not in text] == []


def test_every_documented_series_exists():
    """
    Each series of docs/metrics.md is one the sources give.
    """
    package = Path(scrapers.__file__).parent
    files = [*package.rglob("*.py"), package.parent / "schedule.py"]
    source = "\n".join(file.read_text() for file in files)
    made = {f"system.disk.{what}_bytes" for what in ("read", "written")}
    made |= {f"system.network.{what}_bytes" for what in ("received", "sent")}

    assert {name for name in documented() - made if f'"{name}"' not in source} == set()
    assert len(documented()) > 70
