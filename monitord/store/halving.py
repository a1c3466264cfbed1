"""Finding the rows the database refuses among many it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import numpy as np

from monitord.store.connection import Connection
from monitord.store.drain import Refusal
from monitord.store.failures import ENCODING, ROOTS, Failure, describe, judge
from monitord.store.sums import Ints


# Writes some rows, given by their numbers among those of a Write.
Put: TypeAlias = Callable[[Ints], Awaitable[None]]

# Writes the rows of a type by a Put, given the place of each in its drain; returns the numbers of
# those that were written.
Write: TypeAlias = Callable[[str, Ints, Put], Awaitable[Ints]]


async def at_once(_kind: str, places: Ints, put: Put) -> Ints:
    """Write all rows in one go. Raises what the database says when it refuses one."""
    rows = np.arange(len(places))
    if len(rows):
        await put(rows)
    return rows


class Halving:
    """
    Writes rows in halves around those the database refuses, which end in `refusals`.

    One bad row among n costs about 2 log2(n) attempts, each behind a savepoint.
    """

    def __init__(self, connection: Connection) -> None:
        self.refusals: list[Refusal] = []
        self._connection = connection

    async def __call__(self, kind: str, places: Ints, put: Put) -> Ints:
        """Write what can be written; raises only errors that are not of a row."""
        return await self._attempt(kind, places, np.arange(len(places)), put)

    async def _attempt(self, kind: str, places: Ints, rows: Ints, put: Put) -> Ints:
        if not len(rows):
            return rows
        await self._connection.execute("SAVEPOINT attempt")
        try:
            await put(rows)
        except (*ROOTS, *ENCODING) as error:
            if judge(error) is not Failure.ROW:
                raise
            await self._connection.execute("ROLLBACK TO attempt; RELEASE attempt")
            if len(rows) == 1:
                detail = str(getattr(error, "detail", None) or "")[:200]
                place = kind, int(places[rows[0]])
                self.refusals.append(Refusal(place, detail, describe(error)))
                return rows[:0]
        else:
            await self._connection.execute("RELEASE attempt")
            return rows
        first, second = np.array_split(rows, 2)
        left = await self._attempt(kind, places, first, put)
        right = await self._attempt(kind, places, second, put)
        return np.concatenate((left, right))
