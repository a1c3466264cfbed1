"""Which number stands for this instance in every row."""

from __future__ import annotations

from monitord.store.connection import Connection
from monitord.store.queries import queries


async def host_id(connection: Connection, instance: str) -> int:
    """
    Return the number of an instance, giving it the next one when it is new.

    Raises: asyncpg's errors.
    """
    named = queries()
    known = await named.find_host(connection, instance=instance)
    if known is not None:
        return int(known)
    async with connection.transaction():
        await named.lock_hosts(connection)
        known = await named.find_host(connection, instance=instance)
        if known is None:
            known = await named.add_host(connection, instance=instance)
    return int(known)
