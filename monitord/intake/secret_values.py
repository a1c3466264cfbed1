"""Attributes and fields without their secrets: what a key says of its value, at any depth."""

from __future__ import annotations

import enum

from copy import copy
from operator import is_
from typing import Any, Self

from monitord.intake.secret_names import SecretNames, is_counted, joined
from monitord.intake.secret_texts import REDACTED, SecretTexts
from monitord.intake.sql_literals import LITERAL, system_of, without_literals


# As `joined` has them.
STATEMENTS = frozenset({"dbquerytext", "dbstatement", "sql", "sqlquery", "dbsql"})
PARAMETER = "dbqueryparameter"

# `[redacted]` may be longer than the secret was. A text that grew is cut: to what it was, or to
# this, which every text may have.
LEAST_CHARACTERS = 1_000
# Deeper is nothing that was decoded; the spool refuses what is deeper than it can write.
DEPTH = 64
# Keys are few; whoever makes one of each value pays for it.
REMEMBERED_KEYS = 10_000
LONGEST_NAME = 200
# Shorter, and of letters and digits alone, a text is no secret by its form.
LEAST_SECRET = 20


class Holds(enum.Enum):
    """What a key says of its value."""

    # Statements and their parameters hold literals, which become `?`.
    ANYTHING = enum.auto()
    SECRET = enum.auto()
    STATEMENT = enum.auto()
    PARAMETER = enum.auto()


class SecretValues:
    """Redacts values, and counts them; those without a secret stay the same objects."""

    def __init__(self, names: SecretNames) -> None:
        self._names = names
        self._texts = SecretTexts(names)
        self._known: dict[str, Holds] = {}
        self._count = 0

    def another(self) -> Self:
        """Return one of the same names that counts for itself: for another thread."""
        other = copy(self)
        other._texts = copy(self._texts)
        other._known = {}
        other._count = other._texts.count = 0
        return other

    def counted(self) -> int:
        """Return how many were redacted since this was asked last."""
        count = self._count + self._texts.count
        self._count = self._texts.count = 0
        return count

    def text(self, text: str) -> str:
        """Return a text without its secrets, within its limit."""
        if len(text) < LEAST_SECRET and text.isalnum():
            return text
        redacted = self._texts.without(text)
        return text if redacted is text else within(redacted, text)

    def source(self, line: str) -> str:
        """Return a line of source without the secrets that are written in it."""
        redacted = self._texts.in_source(line)
        return line if redacted is line else within(redacted, line)

    def mapping(self, values: dict[str, Any], depth: int = 0) -> dict[str, Any]:
        """Return attributes or fields without their secrets."""
        changed = {}
        for key, value in values.items():
            holds = self._known.get(key) or self._judged(key)
            if holds is Holds.ANYTHING:
                redacted = self._value(value, depth)
            elif holds is Holds.STATEMENT:
                redacted = self._statements(value, system_of(values), depth)
            else:
                redacted = (
                    self._hidden(key, value) if holds is Holds.SECRET else self._parameter(value)
                )
            if redacted is not value:
                changed[key] = redacted
        if "value" in values and self._is_secret(values.get("name", values.get("key"))):
            hidden = self._hidden("value", values["value"])
            if hidden is not values["value"]:
                changed["value"] = hidden
        return {**values, **changed} if changed else values

    def _judged(self, key: str) -> Holds:
        """Return what a key says, which was not asked yet."""
        if len(self._known) >= REMEMBERED_KEYS:
            self._known.clear()
        holds = self._known[key] = self._judge(key)
        return holds

    def _judge(self, key: str) -> Holds:
        if key in self._names:
            return Holds.SECRET
        name = joined(key)
        if name in STATEMENTS:
            return Holds.STATEMENT
        return Holds.PARAMETER if name.startswith(PARAMETER) else Holds.ANYTHING

    def _is_secret(self, name: object) -> bool:
        """Say whether a value is a secret's name: of a header that has become a pair, say."""
        return type(name) is str and len(name) <= LONGEST_NAME and name in self._names

    def _value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self.text(value)
        if depth < DEPTH:
            if kind is dict:
                return self.mapping(value, depth + 1)
            if kind is list:
                return self._list(value, depth + 1)
        return value

    def _list(self, values: list[Any], depth: int) -> list[Any]:
        changed = [self._item(value, depth) for value in values]
        return values if all(map(is_, changed, values)) else changed

    def _item(self, value: Any, depth: int) -> Any:
        """Return one of a list, which may be a pair of a name and its value."""
        if type(value) is list and len(value) == 2 and self._is_secret(value[0]):
            hidden = self._hidden(value[0], value[1])
            return value if hidden is value[1] else [value[0], hidden]
        return self._value(value, depth)

    def _hidden(self, key: str, value: Any) -> Any:
        if value is None or value == "" or value == REDACTED or isinstance(value, bool):
            return value
        if isinstance(value, int | float) and is_counted(key):
            return value
        self._count += 1
        return REDACTED

    def _statements(self, value: Any, system: object, depth: int) -> Any:
        """Return a statement, or those of a list; what is neither, as it would be elsewhere."""
        if type(value) is str:
            return self._statement(value, system)
        if type(value) is not list or depth >= DEPTH:
            return self._value(value, depth)
        changed = [self._statements(one, system, depth + 1) for one in value]
        return value if all(map(is_, changed, value)) else changed

    def _statement(self, statement: str, system: object) -> str:
        shown, literals = without_literals(self._texts.without_marked(statement), system)
        self._count += literals
        return statement if shown == statement else within(shown, statement)

    def _parameter(self, value: Any) -> Any:
        if value is None or value == LITERAL:
            return value
        self._count += 1
        return LITERAL


def within(redacted: str, text: str) -> str:
    """Return what was made of a text, so that it keeps the limit the text kept."""
    if len(redacted) <= LEAST_CHARACTERS or len(redacted) <= len(text):
        return redacted
    cut = redacted[: max(len(text), LEAST_CHARACTERS)]
    begun = cut.rfind(REDACTED[0], -len(REDACTED))
    # A part of the mark would pass for a secret the next time.
    return cut[:begun] if begun >= 0 and REDACTED.startswith(cut[begun:]) else cut
