"""The three kinds of names that rows point at by number: endpoints, loggers, series."""

from __future__ import annotations

import hashlib
import json
import uuid

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from monitord.store.text import clean


OVERFLOW = "__overflow__"

Attributes: TypeAlias = tuple[tuple[str, str], ...]


class Endpoint(NamedTuple):
    """What a request was for."""

    service: str
    method: str
    route: str


class Logger(NamedTuple):
    """Who wrote a log record."""

    service: str
    name: str


class Series(NamedTuple):
    """What a sample is of; `attributes` are sorted pairs."""

    service: str
    name: str
    kind: str
    unit: str
    attributes: Attributes


Name = TypeVar("Name", Endpoint, Logger, Series)


class Kind(Protocol[Name]):
    """
    One dictionary: its table, its caps, and what stands for the names beyond them.

    `most` caps the names of a host, `most_in_scope` those of one `scope`; `own` gives a name as
    PostgreSQL takes it. Deciding is all a kind does; it asks no database.
    """

    @property
    def table(self) -> str: ...
    @property
    def most(self) -> int: ...
    @property
    def most_in_scope(self) -> int: ...

    def own(self, raw: tuple[Any, ...]) -> Name: ...
    def scope(self, name: Name) -> Hashable: ...
    def rest_of_scope(self, name: Name) -> Name: ...
    def rest_of_all(self, name: Name) -> Name: ...
    def columns(self, names: Sequence[Name]) -> dict[str, list[Any]]: ...
    def of_row(self, row: Mapping[str, Any]) -> Name: ...


class Endpoints:
    """Endpoints, capped by service."""

    table = "endpoints"
    most = 20_000
    most_in_scope = 2_000

    def own(self, raw: tuple[Any, ...]) -> Endpoint:
        return Endpoint(*map(clean, raw))

    def scope(self, name: Endpoint) -> Hashable:
        return name.service

    def rest_of_scope(self, name: Endpoint) -> Endpoint:
        return Endpoint(name.service, OVERFLOW, OVERFLOW)

    def rest_of_all(self, name: Endpoint) -> Endpoint:
        return Endpoint(OVERFLOW, OVERFLOW, OVERFLOW)

    def columns(self, names: Sequence[Endpoint]) -> dict[str, list[Any]]:
        services, methods, routes = map(list, zip(*names, strict=True))
        return {"services": services, "methods": methods, "routes": routes}

    def of_row(self, row: Mapping[str, Any]) -> Endpoint:
        return Endpoint(row["service"], row["method"], row["route"])


class Loggers:
    """Loggers, capped by service."""

    table = "loggers"
    most = 20_000
    most_in_scope = 2_000

    def own(self, raw: tuple[Any, ...]) -> Logger:
        return Logger(*map(clean, raw))

    def scope(self, name: Logger) -> Hashable:
        return name.service

    def rest_of_scope(self, name: Logger) -> Logger:
        return Logger(name.service, OVERFLOW)

    def rest_of_all(self, name: Logger) -> Logger:
        return Logger(OVERFLOW, OVERFLOW)

    def columns(self, names: Sequence[Logger]) -> dict[str, list[Any]]:
        services, texts = map(list, zip(*names, strict=True))
        return {"services": services, "names": texts}

    def of_row(self, row: Mapping[str, Any]) -> Logger:
        return Logger(row["service"], row["name"])


class SeriesKind:
    """Series, capped by metric name as OpenTelemetry's SDKs cap theirs."""

    table = "series"
    most = 50_000
    most_in_scope = 2_000

    def own(self, raw: tuple[Any, ...]) -> Series:
        service, name, kind, unit, attributes = raw
        cleaned = pairs({clean(key): clean(value) for key, value in attributes})
        return Series(clean(service), clean(name), kind, clean(unit), cleaned)

    def scope(self, name: Series) -> Hashable:
        return name.service, name.name

    def rest_of_scope(self, name: Series) -> Series:
        return name._replace(unit="", attributes=((OVERFLOW, "true"),))

    def rest_of_all(self, name: Series) -> Series:
        # A sum of increments means something, a mixture of kinds would not.
        return Series(OVERFLOW, OVERFLOW, name.kind, "", ())

    def columns(self, names: Sequence[Series]) -> dict[str, list[Any]]:
        services, texts, kinds, units, attributes = zip(*names, strict=True)
        return {
            "services": list(services),
            "names": list(texts),
            "kinds": list(kinds),
            "units": list(units),
            "attributes": [json.dumps(dict(each)) for each in attributes],
        }

    def of_row(self, row: Mapping[str, Any]) -> Series:
        attributes = pairs(json.loads(row["attributes"]))
        return Series(row["service"], row["name"], row["kind"], row["unit"], attributes)


def pairs(attributes: Mapping[str, str]) -> Attributes:
    """Return attributes as a Series holds them."""
    return tuple(sorted(attributes.items())) if attributes else ()


def digest(name: tuple[Any, ...]) -> uuid.UUID:
    """Return the 128-bit key of a clean name."""
    return uuid.UUID(bytes=hashlib.blake2b(msgspec.json.encode(name), digest_size=16).digest())
