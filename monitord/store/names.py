"""The kinds of names that rows point at by number: endpoints, loggers, span names, series."""

from __future__ import annotations

import hashlib
import json
import uuid

from collections.abc import Mapping, Sequence
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


class SpanName(NamedTuple):
    """What a step of a trace does."""

    service: str
    name: str
    kind: str


class Series(NamedTuple):
    """What a sample is of; `attributes` are sorted pairs."""

    service: str
    name: str
    kind: str
    unit: str
    attributes: Attributes


Name = TypeVar("Name", Endpoint, Logger, Series, SpanName)


class Caps(NamedTuple):
    """How many names of a kind may be known: of a host, and of one scope of it."""

    total: int
    in_scope: int


class Kind(Protocol[Name]):
    """
    One dictionary: its table, and what stands for the names beyond its caps.

    A cap is on the names of a host, another on those of one `scope`; `own` gives a name as
    PostgreSQL takes it, `labels` what tells it from others of its scope. Deciding is all a kind
    does; it asks no database.
    """

    @property
    def table(self) -> str: ...

    def own(self, raw: tuple[Any, ...]) -> Name: ...
    def scope(self, name: Name) -> tuple[str, ...]: ...
    def labels(self, name: Name) -> Attributes: ...
    def rest_of_scope(self, name: Name) -> Name: ...
    def rest_of_all(self, name: Name) -> Name: ...
    def columns(self, names: Sequence[Name]) -> dict[str, list[Any]]: ...
    def of_row(self, row: Mapping[str, Any]) -> Name: ...


class Endpoints:
    """Endpoints, capped by service."""

    table = "endpoints"

    def own(self, raw: tuple[Any, ...]) -> Endpoint:
        return Endpoint(*map(clean, raw))

    def scope(self, name: Endpoint) -> tuple[str, ...]:
        return (name.service,)

    def labels(self, name: Endpoint) -> Attributes:
        return ("method", name.method), ("route", name.route)

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

    def own(self, raw: tuple[Any, ...]) -> Logger:
        return Logger(*map(clean, raw))

    def scope(self, name: Logger) -> tuple[str, ...]:
        return (name.service,)

    def labels(self, name: Logger) -> Attributes:
        return (("logger", name.name),)

    def rest_of_scope(self, name: Logger) -> Logger:
        return Logger(name.service, OVERFLOW)

    def rest_of_all(self, name: Logger) -> Logger:
        return Logger(OVERFLOW, OVERFLOW)

    def columns(self, names: Sequence[Logger]) -> dict[str, list[Any]]:
        services, texts = map(list, zip(*names, strict=True))
        return {"services": services, "names": texts}

    def of_row(self, row: Mapping[str, Any]) -> Logger:
        return Logger(row["service"], row["name"])


class SpanNames:
    """Names of spans, capped by service."""

    table = "span_names"

    def own(self, raw: tuple[Any, ...]) -> SpanName:
        return SpanName(*map(clean, raw))

    def scope(self, name: SpanName) -> tuple[str, ...]:
        return (name.service,)

    def labels(self, name: SpanName) -> Attributes:
        return ("name", name.name), ("kind", name.kind)

    def rest_of_scope(self, name: SpanName) -> SpanName:
        return SpanName(name.service, OVERFLOW, name.kind)

    def rest_of_all(self, name: SpanName) -> SpanName:
        return SpanName(OVERFLOW, OVERFLOW, name.kind)

    def columns(self, names: Sequence[SpanName]) -> dict[str, list[Any]]:
        services, texts, kinds = map(list, zip(*names, strict=True))
        return {"services": services, "names": texts, "kinds": kinds}

    def of_row(self, row: Mapping[str, Any]) -> SpanName:
        return SpanName(row["service"], row["name"], row["kind"])


class SeriesKind:
    """Series, capped by metric name as OpenTelemetry's SDKs cap theirs."""

    table = "series"

    def own(self, raw: tuple[Any, ...]) -> Series:
        service, name, kind, unit, attributes = raw
        cleaned = pairs({clean(key): clean(value) for key, value in attributes})
        return Series(clean(service), clean(name), kind, clean(unit), cleaned)

    def scope(self, name: Series) -> tuple[str, ...]:
        return name.service, name.name

    def labels(self, name: Series) -> Attributes:
        return name.attributes

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
