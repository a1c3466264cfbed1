"""
Query parameters: each is declared once, and from that both read and documented.

A parameter is read by `of`, which refuses what breaks its rule in the user's own words.
"""

from __future__ import annotations

import re

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar


T = TypeVar("T")

# Times beyond the year 2200 are milliseconds by mistake.
TIME_MAXIMUM = 7_258_118_400.0

FOUND_LIMIT = 200


class BadParameter(Exception):
    """A parameter breaks its rule; what was found is cut to FOUND_LIMIT characters."""

    def __init__(self, parameter: str, rule: str, found: str) -> None:
        super().__init__(f"{parameter}: {rule}, found {found!r}")
        self.parameter = parameter[:FOUND_LIMIT]
        self.rule = rule
        self.found = found[:FOUND_LIMIT]


class Query(Protocol):
    """The part of a multidict that is read here."""

    def getall(self, key: str, default: list[str], /) -> list[str]: ...

    def __iter__(self) -> Iterator[str]: ...


class Parameter(Generic[T]):
    """
    One query parameter. `parse` gives the value or raises ValueError with the rule.

    An empty text counts as absent, for that is what an untouched form field sends.
    """

    def __init__(
        self,
        name: str,
        description: str,
        parse: Callable[[str], T],
        default: T,
        schema: Mapping[str, Any],
    ) -> None:
        self.name = name
        self.description = description
        self.default = default
        self.schema = dict(schema)
        self._parse = parse

    def of(self, query: Query) -> T:
        """Return the value. Raises BadParameter."""
        texts = [text for text in query.getall(self.name, []) if text]
        if not texts:
            return self.default
        if len(texts) > 1:
            raise BadParameter(self.name, "expected once", ", ".join(texts))
        try:
            return self._parse(texts[0])
        except ValueError as error:
            raise BadParameter(self.name, str(error), texts[0]) from None


def refuse_unknown(query: Query, known: Iterable[Parameter[Any]]) -> None:
    """Raise BadParameter for the first parameter that none of the known ones is."""
    names = sorted(parameter.name for parameter in known)
    for name in query:
        if name not in names:
            listed = f"known are {', '.join(names)}" if names else "none is expected here"
            raise BadParameter(name, f"unknown parameter; {listed}", name)


def choice(name: str, description: str, words: Mapping[str, T], default: str) -> Parameter[T]:
    """Return a parameter that is one of a few words."""

    def parse(text: str) -> T:
        try:
            return words[text]
        except KeyError:
            raise ValueError(f"expected one of {', '.join(words)}") from None

    schema = {"type": "string", "enum": list(words), "default": default}
    return Parameter(name, description, parse, words[default], schema)


def whole(name: str, description: str, low: int, high: int, default: int) -> Parameter[int]:
    """Return a parameter that is a whole number between two bounds, both allowed."""

    def parse(text: str) -> int:
        if re.fullmatch(r"\d{1,9}", text, re.ASCII) and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"expected a whole number from {low} to {high}")

    schema = {"type": "integer", "minimum": low, "maximum": high, "default": default}
    return Parameter(name, description, parse, default, schema)


def time_parameter(name: str, description: str) -> Parameter[float | None]:
    """Return a parameter in Unix seconds."""

    def parse(text: str) -> float | None:
        if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text, re.ASCII) and float(text) <= TIME_MAXIMUM:
            return float(text)
        raise ValueError("expected a time in Unix seconds")

    schema = {"type": "number", "minimum": 0, "maximum": TIME_MAXIMUM}
    return Parameter(name, description, parse, None, schema)


def short_text(name: str, description: str, longest: int) -> Parameter[str]:
    """Return a parameter of any text of limited length."""

    def parse(text: str) -> str:
        if len(text) > longest or "\0" in text:
            raise ValueError(f"expected at most {longest} characters, none of them NUL")
        return text

    return Parameter(name, description, parse, "", {"type": "string", "maxLength": longest})
