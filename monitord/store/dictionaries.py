"""Numbers for names, given once and kept. Bounded: above a cap, one entry stands for the rest."""

from __future__ import annotations

import time
import uuid

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Generic

import structlog

from msgspec import Struct
from msgspec.structs import asdict

from monitord.store.connection import Connection
from monitord.store.failures import ENCODING, ROOTS, Failure, describe, judge
from monitord.store.names import (
    Caps,
    Endpoints,
    Kind,
    Loggers,
    Name,
    SeriesKind,
    SpanNames,
    digest,
)
from monitord.store.partitions import day_of
from monitord.store.pool import Store
from monitord.store.queries import queries


log = structlog.get_logger(__name__)

# A name that was not used for so long makes room for others. Should it come back it has its number
# again: its row stays until nothing can point at it.
IDLE = timedelta(days=30)

# Scopes told apart where too many names are told of.
MOST_CROWDED = 20


class Crowd(Struct, frozen=True):
    """
    A scope with so many names that further ones are counted together, or one of the largest.

    `scope` is a service, for series with the metric's name; `label` is what tells most of its
    names apart, by so many `values`.
    """

    scope: tuple[str, ...]
    count: int
    label: str
    values: int


class Dictionary(Generic[Name]):
    """
    The names of one kind and their numbers, as the store has them.

    A number is remembered only once the transaction that gave it is committed. Every name in use is
    read at the start and each day, so a name that is not known is new, or was idle, and the caps
    count right. The day a name is used on is noted before its number is given to anybody.
    """

    def __init__(
        self,
        store: Store,
        kind: Kind[Name],
        caps: Caps,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._kind: Kind[Name] = kind
        self._caps = caps
        self._clock = clock
        self._ids: dict[Name, int] = {}
        self._in_scope: Counter[tuple[str, ...]] = Counter()
        # The numbers that are noted as used today.
        self._noted: set[int] = set()
        self._read: tuple[int, date] | None = None
        # The scopes above their cap, with () for all of them; and those that were told of.
        self._full: set[tuple[str, ...]] = set()
        self._told: set[tuple[str, ...]] = set()
        # What was last found to be full, and of how many names: telling it reads them all.
        self._crowded: tuple[int, list[Crowd]] | None = None

    async def numbers(self, names: Sequence[tuple[Any, ...]]) -> list[int]:
        """
        Return the number of each name, given as a plain tuple; new names are numbered first.

        Raises StoreUnreachable, StoreError: as any use of the store.
        """
        today = day_of(self._clock())
        if self._read != (self._store.epoch, today):
            await self._load(today)
        # A plain tuple equals the name of the same parts.
        known: Callable[[Any], int | None] = self._ids.get
        numbers = [known(name) for name in names]
        if None in numbers:
            unknown = {name for name, number in zip(names, numbers, strict=True) if number is None}
            places = self._places(sorted(unknown))
            new = sorted({place for place in places.values() if place not in self._ids})
            if new:
                await self._add(new)
            numbers = [known(name) or self._ids[places[name]] for name in names]
            self._tell()
        given: list[int] = numbers  # type: ignore[assignment]  # none is None any more
        if self._noted.issuperset(given) or await self._note(set(given) - self._noted, today):
            return given
        self._read = None
        return await self.numbers(names)

    @property
    def count(self) -> int | None:
        """How many names are told apart; None until those of the store were read."""
        return None if self._read is None else len(self._ids)

    def crowded(self) -> list[Crowd]:
        """Return the scopes that are full, the largest first; when all is, the largest of all."""
        if self._read is None:
            return []
        if self._crowded is None or self._crowded[0] != len(self._ids):
            self._crowded = len(self._ids), self._find_crowded()
        return self._crowded[1]

    def _find_crowded(self) -> list[Crowd]:
        full = len(self._ids) >= self._caps.total
        return self._crowds(
            {
                scope: count
                for scope, count in self._in_scope.most_common(MOST_CROWDED)
                if full or count >= self._caps.in_scope
            }
        )

    def _crowds(self, counts: Mapping[tuple[str, ...], int]) -> list[Crowd]:
        if not counts:
            return []
        values: dict[tuple[str, ...], dict[str, set[str]]] = {scope: {} for scope in counts}
        for name in self._ids:
            scope = self._kind.scope(name)
            if scope in values and name != self._kind.rest_of_scope(name):
                for label, value in self._kind.labels(name):
                    values[scope].setdefault(label, set()).add(value)
        return [crowd_of(scope, count, values[scope]) for scope, count in counts.items()]

    def _tell(self) -> None:
        """Log, once, what has become full."""
        for scope in self._full - self._told:
            # Of all there are, the largest scope tells most.
            counts = {scope: self._in_scope[scope]} if scope else self._in_scope.most_common(1)
            for crowd in self._crowds(dict(counts)):
                log.warning("store.names_full", table=self._kind.table, **asdict(crowd))
        self._told |= self._full

    def _places(self, unknown: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], Name]:
        """Return the name under which each of the unknown ones is kept: its own, or a rest's."""
        places: dict[tuple[Any, ...], Name] = {}
        added: Counter[tuple[str, ...]] = Counter()
        new: set[Name] = set()
        for raw in unknown:
            own = self._kind.own(raw)
            scope = self._kind.scope(own)
            if own in self._ids or own in new:
                places[raw] = own
            elif len(self._ids) + len(new) >= self._caps.total:
                self._full.add(())
                rest = self._kind.rest_of_scope(own)
                places[raw] = rest if rest in self._ids else self._kind.rest_of_all(own)
            elif self._in_scope[scope] + added[scope] >= self._caps.in_scope:
                self._full.add(scope)
                places[raw] = self._kind.rest_of_scope(own)
            else:
                places[raw] = own
                new.add(own)
                added[scope] += 1
        return places

    async def _load(self, today: date) -> None:
        epoch = self._store.epoch
        self._ids.clear()
        self._in_scope.clear()
        self._noted.clear()
        # Should this fail, nobody takes what was read so far for all there is.
        self._read = self._crowded = None
        load = getattr(queries(), f"all_{self._kind.table}")
        async with self._store.connection() as connection:
            async for row in load(connection, host_id=self._store.host_id, since=today - IDLE):
                self._remember(self._kind.of_row(row), row["id"])
                if row["used_on"] >= today:
                    self._noted.add(row["id"])
        self._read = epoch, today

    async def _note(self, numbers: set[int], today: date) -> bool:
        """Note names as used today, each once a day; False: some are not there any more."""
        async with self._store.transaction() as connection:
            await queries().lock_dictionary(connection, host_id=self._store.host_id)
            there = await self._use(connection, numbers, today)
        self._noted |= there
        return there == numbers

    async def _use(self, connection: Connection, numbers: set[int], today: date) -> set[int]:
        use = getattr(queries(), f"use_{self._kind.table}")
        rows = use(connection, host_id=self._store.host_id, ids=sorted(numbers), day=today)
        return {row["id"] async for row in rows}

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

    async def _insert(self, connection: Connection, names: Sequence[Name]) -> dict[uuid.UUID, int]:
        """Number the names that are not there, in the order of their keys; return all numbers."""
        table, host_id = self._kind.table, self._store.host_id
        by_key = {digest(name): name for name in names}
        await queries().lock_dictionary(connection, host_id=host_id)
        found = getattr(queries(), f"find_{table}")(connection, host_id=host_id, keys=list(by_key))
        numbers: dict[uuid.UUID, int] = {row["key"]: row["id"] async for row in found}
        new = sorted(by_key.keys() - numbers.keys())
        if new:
            last = await queries().take_numbers(
                connection, host_id=host_id, name_table=table, count=len(new)
            )
            given = dict(zip(new, range(last - len(new) + 1, last + 1), strict=True))
            columns = self._kind.columns([by_key[key] for key in new])
            add = getattr(queries(), f"add_{table}")
            await add(connection, host_id=host_id, ids=list(given.values()), keys=new, **columns)
            numbers |= given
        return numbers

    def _remember(self, name: Name, number: int) -> None:
        self._ids[name] = number
        self._in_scope[self._kind.scope(name)] += 1


def crowd_of(scope: tuple[str, ...], count: int, values: dict[str, set[str]]) -> Crowd:
    """Return a scope with the label that has most values; none where nothing tells names apart."""
    sizes = {label: len(found) for label, found in values.items()}
    label = max(sizes, key=lambda label: (sizes[label], label), default="")
    return Crowd(scope, count, label, sizes.get(label, 0))


class Dictionaries:
    """The dictionaries of one store."""

    def __init__(self, store: Store) -> None:
        caps = Caps(store.names.total, store.names.per_kind)
        self.endpoints = Dictionary(store, Endpoints(), caps)
        self.loggers = Dictionary(store, Loggers(), caps)
        self.span_names = Dictionary(store, SpanNames(), caps)
        self.series = Dictionary(
            store, SeriesKind(), Caps(store.names.series_total, store.names.per_kind)
        )

    def counts(self) -> dict[str, int | None]:
        """Return how many names are told apart, by the dictionary's table."""
        return {table: each.count for table, each in self._by_table().items()}

    def crowded(self) -> dict[str, list[Crowd]]:
        """Return what is full, by the dictionary's table; the largest scope of each first."""
        return {table: each.crowded() for table, each in self._by_table().items()}

    def _by_table(self) -> dict[str, Dictionary[Any]]:
        return {
            "endpoints": self.endpoints,
            "loggers": self.loggers,
            "span_names": self.span_names,
            "series": self.series,
        }
