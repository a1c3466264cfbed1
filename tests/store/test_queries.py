"""Every named statement is one the server understands, with the parameters its name promises."""

import re

import asyncpg

from monitord import assets
from monitord.store.queries import queries


NAMES = [
    name
    for path in sorted(assets.folder("sql/queries").glob("*.sql"))
    for name in re.findall(r"^-- name: (\w+)", path.read_text(), re.MULTILINE)
]


async def test_statements_are_understood(sql: asyncpg.Connection) -> None:
    """
    Every statement can be prepared on a migrated database, with as many parameters as it names.
    """
    for name in NAMES:
        query = getattr(queries(), name)

        prepared = await sql.prepare(query.sql)

        assert len(prepared.get_parameters()) == len(query.parameters), name
        assert query.__doc__, name


def test_every_name_is_one_of_a_kind() -> None:
    """
    All files share one space of names.
    """
    assert len(NAMES) == len(set(NAMES))
    assert set(NAMES) <= set(queries().available_queries)
