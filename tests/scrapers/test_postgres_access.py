"""What a role may not read costs its own readings only, and what mends it is told."""

import itertools

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from monitord.embedded import EmbeddedPostgres
from monitord.model import Problem, Reason, Scrape
from monitord.scrapers.postgres import PostgresScraper
from monitord.scrapers.postgres.role import RECIPE
from monitord.scrapers.postgres.session import Session
from monitord.settings import PostgresTarget, Secret


Values = Callable[..., dict[str, float]]
Numbers = itertools.count(1)


def target(dsn: str) -> PostgresTarget:
    return PostgresTarget(name="main", dsn=Secret(dsn))


@asynccontextmanager
async def reading(dsn: str) -> AsyncIterator[PostgresScraper]:
    scraper = PostgresScraper(target(dsn))
    try:
        yield scraper
    finally:
        await scraper.close()


async def once(dsn: str) -> Scrape:
    async with reading(dsn) as scraper:
        return await scraper.scrape()


def as_role(dsn: str, role: str) -> str:
    return dsn.replace("postgres@", f"{role}@", 1)


def by_question(problems: "list[Problem]") -> dict[str, Problem]:
    return {problem.what: problem for problem in problems}


@pytest_asyncio.fixture
async def shop(empty_database: str) -> AsyncIterator["asyncpg.Connection"]:
    """
    The superuser's session in the test's database.
    """
    connection = await asyncpg.connect(empty_database)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def role(shop: "asyncpg.Connection") -> AsyncIterator[str]:
    """
    A role without any rights; dropped afterwards.
    """
    name = f"watcher_{next(Numbers)}"
    await shop.execute(f"CREATE ROLE {name} LOGIN")
    yield name
    await shop.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_session_cannot_hurt(empty_database: str):
    """
    monitord's sessions are read-only, short in patience, named, and look nowhere but the catalogue.
    """
    session = await Session.open(target(empty_database))
    try:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await session.rows("CREATE TABLE public.mine (id int)")
        with pytest.raises(asyncpg.QueryCanceledError):
            await session.rows("SELECT pg_sleep(60)")
        row = await session.row(
            "SELECT current_setting('search_path') AS path, current_setting('lock_timeout') AS wait"
        )
    finally:
        session.drop()

    assert row["path"] == "pg_catalog"
    assert row["wait"] == "500ms"


async def test_role_without_grants_is_told_what_it_lacks(
    shop: "asyncpg.Connection", role: str, empty_database: str, values: Values
):
    """
    Without pg_read_all_stats states and statements are hidden; the rest is read, nothing is 0.
    """
    await shop.execute("CREATE EXTENSION pg_stat_statements")

    found = await once(as_role(empty_database, role))

    problems = by_question(found.problems)
    numbers = values(found.metrics)
    assert problems.keys() == {"activity", "statements"}
    assert {problem.remedy for problem in problems.values()} == {
        f"GRANT pg_read_all_stats TO {role};"
    }
    assert {problem.reason for problem in problems.values()} == {Reason.PERMISSION}
    assert numbers["postgres.connections.total"] >= 1
    assert not any(name.startswith("postgres.connections ") for name in numbers)
    assert "postgres.queries.slow" not in numbers
    assert any(name.startswith("postgres.database.size_bytes") for name in numbers)


async def test_the_told_grants_mend_it(shop: "asyncpg.Connection", role: str, empty_database: str):
    """
    Each remedy is a statement that can be run as it stands; then nothing is missing any more.
    """
    await shop.execute("CREATE SCHEMA hidden; CREATE EXTENSION pg_stat_statements SCHEMA hidden")
    await shop.execute("REVOKE EXECUTE ON FUNCTION hidden.pg_stat_statements(boolean) FROM PUBLIC")
    async with reading(as_role(empty_database, role)) as scraper:
        before = await scraper.scrape()
        for problem in before.problems:
            await shop.execute(problem.remedy)
    after = await once(as_role(empty_database, role))

    assert before.problems
    assert after.problems == []


async def test_a_grant_works_without_a_restart(
    shop: "asyncpg.Connection", role: str, empty_database: str, values: Values
):
    """
    The scrape after the grant has the numbers, in the same session.
    """
    async with reading(as_role(empty_database, role)) as scraper:
        before = await scraper.scrape()
        await shop.execute(f"GRANT pg_read_all_stats TO {role}")
        after = await scraper.scrape()

    assert "activity" in by_question(before.problems)
    assert "activity" not in by_question(after.problems)
    assert "postgres.connections idle" in values(after.metrics)


async def test_problems_of_seldom_questions_stay(role: str, empty_database: str):
    """
    A question that is not asked in a scrape keeps its problem until it is asked again.
    """
    async with reading(as_role(empty_database, role)) as scraper:
        first = await scraper.scrape()
        second = await scraper.scrape()

    assert by_question(first.problems).keys() == {"activity", "statements"}
    assert second.problems == first.problems


async def test_a_database_without_connect_hides_its_size_alone(
    shop: "asyncpg.Connection", role: str, empty_database: str, values: Values
):
    """
    The size of a database the role may not connect to is missing; the other sizes are there.
    """
    secret = f"secret_{next(Numbers)}"
    await shop.execute(f"CREATE DATABASE {secret}")
    try:
        await shop.execute(f"REVOKE CONNECT ON DATABASE {secret} FROM PUBLIC")
        hidden = await once(as_role(empty_database, role))
        await shop.execute(f"GRANT pg_read_all_stats TO {role}")
        shown = await once(as_role(empty_database, role))
    finally:
        await shop.execute(f"DROP DATABASE {secret}")

    name = f"postgres.database.size_bytes {secret}"
    assert by_question(hidden.problems)["database sizes"].reason is Reason.PERMISSION
    assert name not in values(hidden.metrics)
    assert "postgres.database.size_bytes postgres" in values(hidden.metrics)
    assert name in values(shown.metrics)


async def test_names_are_quoted_in_remedies(shop: "asyncpg.Connection", empty_database: str):
    """
    A role with any name gets a statement that can be run as it stands.
    """
    await shop.execute('CREATE ROLE "Odd-""one" LOGIN')
    try:
        found = await once(as_role(empty_database, "Odd-%22one"))
        remedy = by_question(found.problems)["activity"].remedy
        await shop.execute(remedy)
    finally:
        await shop.execute('DROP ROLE "Odd-""one"')

    assert remedy == 'GRANT pg_read_all_stats TO "Odd-""one";'


async def test_superuser_is_advised_against(
    shop: "asyncpg.Connection", role: str, empty_database: str
):
    """
    A superuser is told the role that is enough; a role with little rights is told nothing.
    """
    async with reading(empty_database) as scraper:
        (advice,) = await scraper.advise()
    async with reading(as_role(empty_database, role)) as scraper:
        nothing = await scraper.advise()

    assert "superuser" in advice.detail
    assert advice.remedy == " ".join(RECIPE)
    assert nothing == []


async def test_the_recipe_gives_every_number(shop: "asyncpg.Connection", empty_database: str):
    """
    The role of the recipe, made by its own statements, can answer every question.
    """
    await shop.execute("CREATE EXTENSION pg_stat_statements")
    try:
        for statement in RECIPE:
            await shop.execute(statement)
        found = await once(as_role(empty_database, "monitord"))
    finally:
        await shop.execute("DROP ROLE monitord")

    assert found.problems == []


async def test_the_documents_name_the_same_role():
    """
    The recipe stands in the documentation, statement by statement.
    """
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()

    assert [statement for statement in RECIPE if statement not in text] == []


@pytest.mark.parametrize(
    ("prepare", "name", "reason", "detail"),
    [
        ("", "nobody_at_all", Reason.AUTH, "does not exist"),
        ("CREATE ROLE {} NOLOGIN", "nologin", Reason.AUTH, "not permitted to log in"),
        ("CREATE ROLE {} LOGIN CONNECTION LIMIT 0", "full", Reason.REFUSED, "too many connections"),
    ],
)
async def test_roles_that_get_no_session(
    postgres_server: EmbeddedPostgres, prepare: str, name: str, reason: Reason, detail: str
):
    """
    A role that is unknown, may not log in, or has no connection left is told so.
    """
    admin = await asyncpg.connect(postgres_server.dsn())
    try:
        if prepare:
            await admin.execute(prepare.format(name))
        with pytest.raises(Exception, match=detail) as caught:
            await once(as_role(postgres_server.dsn(), name))
    finally:
        await admin.execute(f"DROP ROLE IF EXISTS {name}")
        await admin.close()

    assert caught.value.reason is reason
    assert caught.value.remedy
