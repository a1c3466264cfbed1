"""Numbers for names, given once and kept. Bounded: above a cap, one entry stands for the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Generic

import structlog

from monitord.store.connection import Connection
from monitord.store.failures import ENCODING, ROOTS, Failure, describe, judge
from monitord.store.names import Endpoints, Kind, Loggers, Name, SeriesKind, digest
from monitord.store.pool import Store
from monitord.store.queries import queries


log = structlog.get_logger(__name__)


class Dictionary(Generic[Name]):
    """
    The names of one kind and their numbers, as the store has them.

    A number is remembered only once the transaction that gave it is committed. Every name is read
    once at the start, so a name that is not known is new and the caps count right.
    """

    def __init__(self, store: Store, kind: Kind[Name]) -> None:
        self._store = store
        self._kind: Kind[Name] = kind
        self._ids: dict[tuple[Any, ...], int] = {}
        self._in_scope: Counter[Hashable] = Counter()
        self._epoch: int | None = None

    async def numbers(self, names: Sequence[tuple[Any, ...]]) -> list[int]:
        """
        Return the number of each name, given as a plain tuple; new names are numbered first.

        Raises StoreUnreachable, StoreError: as any use of the store.
        """
        if self._epoch != self._store.epoch:
            await self._load()
        known = self._ids.get
        numbers = [known(name) for name in names]
        if None in numbers:
            unknown = {name for name, number in zip(names, numbers, strict=True) if number is None}
            places = self._places(sorted(unknown))
            new = sorted({place for place in places.values() if place not in self._ids})
            if new:
                await self._add(new)
            numbers = [known(name) or self._ids[places[name]] for name in names]
        return numbers  # type: ignore[return-value]  # none is None any more

    def _places(self, unknown: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], Name]:
        """Return the name under which each of the unknown ones is kept: its own, or a rest's."""
        places: dict[tuple[Any, ...], Name] = {}
        added: Counter[Hashable] = Counter()
        new: set[Name] = set()
        for raw in unknown:
            own = self._kind.own(raw)
            scope = self._kind.scope(own)
            if own in self._ids or own in new:
                places[raw] = own
            elif len(self._ids) + len(new) >= self._kind.most:
                rest = self._kind.rest_of_scope(own)
                places[raw] = rest if rest in self._ids else self._kind.rest_of_all(own)
            elif self._in_scope[scope] + added[scope] >= self._kind.most_in_scope:
                places[raw] = self._kind.rest_of_scope(own)
            else:
                places[raw] = own
                new.add(own)
                added[scope] += 1
        return places

    async def _load(self) -> None:
        epoch = self._store.epoch
        self._ids.clear()
        self._in_scope.clear()
        load = getattr(queries(), f"all_{self._kind.table}")
        async with self._store.connection() as connection:
            async for row in load(connection, host_id=self._store.host_id):
                self._remember(self._kind.of_row(row), row["id"])
        self._epoch = epoch

    async def _add(self, names: Sequence[Name]) -> None:
        """
        Number new names in a transaction of their own.

        A name the database refuses must not stop what came with it: it is found by halving, and
        from then on counted under the rest.
        """
        try:
            async with self._store.transaction() as connection:
                numbers = await self._insert(connection, names)
        except (*ROOTS, *ENCODING) as error:
            if judge(error) is not Failure.ROW:
                raise
            await self._add_halves(names, error)
        else:
            for name in names:
                self._remember(name, numbers[digest(name)])

    async def _add_halves(self, names: Sequence[Name], error: Exception) -> None:
        if len(names) > 1:
            half = len(names) // 2
            await self._add(names[:half])
            await self._add(names[half:])
            return
        rest = self._kind.rest_of_all(names[0])
        if names[0] == rest:
            raise error
        table, reason = self._kind.table, describe(error)
        log.warning("store.name_refused", table=table, name=names[0], reason=reason)
        if rest not in self._ids:
            await self._add([rest])
        self._remember(names[0], self._ids[rest])

    async def _insert(self, connection: Connection, names: Sequence[Name]) -> dict[object, int]:
        table, host_id = self._kind.table, self._store.host_id
        keys = [digest(name) for name in names]
        named = queries()
        await named.lock_dictionary(connection, host_id=host_id)
        await getattr(named, f"add_{table}")(
            connection, host_id=host_id, keys=keys, **self._kind.columns(names)
        )
        found = getattr(named, f"find_{table}")(connection, host_id=host_id, keys=keys)
        return {row["key"]: row["id"] async for row in found}

    def _remember(self, name: Name, number: int) -> None:
        self._ids[name] = number
        self._in_scope[self._kind.scope(name)] += 1


class Dictionaries:
    """The three dictionaries of one store."""

    def __init__(self, store: Store) -> None:
        self.endpoints = Dictionary(store, Endpoints())
        self.loggers = Dictionary(store, Loggers())
        self.series = Dictionary(store, SeriesKind())
