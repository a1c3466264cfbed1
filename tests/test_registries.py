"""What is written is also registered: no scraper, question, route or number is left out unseen."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import pkgutil
import re

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import asyncpg
import pytest
import redis.asyncio

import monitord.http
import monitord.scrapers

from monitord.http import kpis, openapi
from monitord.http.charts import CHARTS
from monitord.http.gather import PUSHED
from monitord.http.routes import ROUTES
from monitord.http.values import KINDS, VALUES
from monitord.scrapers import OPENERS, open_scrapers
from monitord.scrapers.host.scraper import questions as host_questions
from monitord.scrapers.postgres.scraper import questions as postgres_questions
from monitord.settings import HostTarget, PostgresTarget, RedisTarget, Secret, Targets
from monitord.telemetry import Telemetry


ROOT = Path(__file__).parent.parent
SERIES = re.compile(r"(?:redis|postgres|system|container|monitord|target)(?:\.[a-z0-9_]+)+")

# Only a limited container has these.
SELDOM = {
    "container.cpu.utilization_ratio",
    "container.memory.utilization_ratio",
    "monitord.ingest.kernel_drops",
}


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def questions_of(package: str, method: str) -> set[type]:
    """Return the classes of a package's modules that answer a question, protocols aside."""
    return {
        member
        for module in modules(importlib.import_module(package))
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__
        and inspect.isfunction(getattr(member, method, None))
        and not getattr(member, "_is_protocol", False)
    }


def test_every_kind_of_target_is_registered() -> None:
    """
    Whatever below scrapers/ can open jobs is in OPENERS.
    """
    able = {m for m in modules(monitord.scrapers) if hasattr(m, "open_jobs")}

    assert {m.open_jobs for m in able} == set(OPENERS.values())
    assert {m.__name__.rpartition(".")[2] for m in able} >= OPENERS.keys() - {"monitord"}


def test_every_question_to_postgresql_is_asked() -> None:
    """
    A question's file is in the scraper's list.
    """
    target = PostgresTarget(name="x", dsn=Secret("postgresql://h"))

    asked = {type(question) for question in postgres_questions(target)}

    assert asked == questions_of("monitord.scrapers.postgres", "ask")


def test_every_question_to_the_host_is_asked() -> None:
    """
    A question's file is in the scraper's list; disks are read beside it, in threads of their own.
    """
    asked = {type(question).__name__ for question in host_questions(HostTarget())}

    written = {kind.__name__ for kind in questions_of("monitord.scrapers.host", "read")}
    assert asked | {"Disks"} == written


def test_every_handler_has_a_route() -> None:
    """
    A public handler of the web server is reached by a path, and no path is given twice.
    """
    names = ("annotations", "api", "endpoints", "errors", "exact", "explorer", "health", "itself")
    names += ("job_page", "jobs", "pages", "series", "stream", "trace_pages", "traces")
    handlers = {
        member
        for module in map(importlib.import_module, (f"monitord.http.{name}" for name in names))
        for name, member in inspect.getmembers(module, inspect.iscoroutinefunction)
        if member.__module__ == module.__name__
        and not name.startswith("_")
        and list(inspect.signature(member).parameters) == ["request"]
    }
    routed = [(route.method, route.path) for route in ROUTES]

    assert handlers == {route.handler for route in ROUTES}
    assert len(routed) == len(set(routed))


def test_every_path_of_the_api_is_documented() -> None:
    """
    The OpenAPI document has every route under /api/.
    """
    document = openapi.document(ROUTES, "", False)

    assert {r.path for r in ROUTES if r.path.startswith("/api/")} <= document["paths"].keys()


def test_page_shows_what_is_registered() -> None:
    """
    Every card and row names a value there is, every value's kind has a title, and the table has
    the 24 rows and six cards it is known for.
    """
    page = kpis.load(ROOT / "config" / "kpis.yaml")

    assert {shown.value for shown in (*page.cards, *page.rows)} <= VALUES.keys()
    assert {value.kind for value in VALUES.values() if hasattr(value, "kind")} <= KINDS.keys()
    assert len(page.cards) == 6
    assert len(page.rows) >= 24
    assert CHARTS.keys() >= {"latency", "redis_memory", "postgres_connections", "system"}


def asked_series() -> set[str]:
    """Return the names of the scraped series that the page's sources mention."""
    found: set[str] = set()
    for path in Path(monitord.http.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {node.value} if SERIES.fullmatch(node.value) else set()
    return found - VALUES.keys() - set(module_names())


def module_names() -> Iterator[str]:
    for package in (monitord.http, monitord.scrapers):
        yield from (module.__name__ for module in modules(package))


@pytest.fixture
async def scraped(valkey: str, database: str) -> set[str]:
    """
    The names of all series that some scrapes of real servers, in use meanwhile, give.

    Servers tell their statistics when they find the time; so there is another while one lacks.
    """
    client = redis.asyncio.Redis.from_url(valkey)
    await client.config_set("maxmemory", 64 * 1024 * 1024)
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE EXTENSION pg_stat_statements")
    targets = Targets(
        redis=(RedisTarget(name="cache", url=Secret(valkey)),),
        postgres=(PostgresTarget(name="db", dsn=Secret(database)),),
    )
    names: set[str] = {"target.up", "target.scrape.duration_ms"}
    jobs = open_scrapers(targets, Telemetry())
    try:
        for turn in range(20):
            if turn > 2 and asked_series() - SELDOM - {PUSHED} <= names:
                break
            for job in jobs:
                names |= {metric.name for metric in (await job.scraper.scrape()).metrics}
            await client.get("key")
            await connection.fetch("SELECT count(*), pg_stat_force_next_flush() FROM pg_class")
            await asyncio.sleep(0.2)  # the kernel counts the processor's time in steps
    finally:
        for job in jobs:
            await job.scraper.close()
        await client.config_set("maxmemory", 0)
        await client.aclose()
        await connection.close()
    return names


async def test_every_series_the_page_asks_for_is_scraped(scraped: set[str]) -> None:
    """
    No card, row or chart waits for a number that no scraper gives, or the emitter sends.
    """
    wanted = asked_series()

    assert len(wanted) > 20
    assert wanted - SELDOM - {PUSHED} - scraped == set()
