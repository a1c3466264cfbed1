"""Every named statement is one the server understands, with the parameters its name promises."""

import re

import asyncpg
import pytest

from monitord import assets
from monitord.store.queries import queries


NAMES = [
    name
    for path in sorted(assets.folder("sql/queries").glob("*.sql"))
    for name in re.findall(r"^-- name: (\w+)", path.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize("name", NAMES)
async def test_statement_is_understood(sql: asyncpg.Connection, name: str) -> None:
    """
    The statement can be prepared on a migrated database, and its parameters all occur in it.
    """
    query = getattr(queries(), name)

    prepared = await sql.prepare(query.sql)

    assert len(prepared.get_parameters()) == len(query.parameters)
    assert query.__doc__


def test_every_name_is_one_of_a_kind() -> None:
    """
    All files share one space of names.
    """
    assert len(NAMES) == len(set(NAMES))
    assert set(NAMES) <= set(queries().available_queries)
