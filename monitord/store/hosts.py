"""Which number stands for this instance in every row, and since when there can be any."""

from __future__ import annotations

from typing import NamedTuple

from monitord.store.connection import Connection
from monitord.store.queries import queries


class Host(NamedTuple):
    """This instance to the store: its number, and when it was first here, Unix seconds."""

    number: int
    first_seen_at: float


async def find_or_add(connection: Connection, instance: str) -> Host:
    """
    Return what the store knows of an instance, giving it the next number when it is new.

    Raises: asyncpg's errors.
    """
    named = queries()
    known = await named.find_host(connection, instance=instance)
    if known is None:
        async with connection.transaction():
            await named.lock_hosts(connection)
            known = await named.find_host(connection, instance=instance)
            if known is None:
                known = await named.add_host(connection, instance=instance)
    return Host(known["host_id"], known["first_seen_at"].timestamp())
