"""
The kinds of value a key may have: text in, checked value out.

A kind knows four things: what it expects (for the message), how to parse, how a value looks in the
file, and its JSON Schema. It never sees a line, a path or the environment.
"""

from __future__ import annotations

import re

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from monitord.settings_file.mistakes import quoted


# In the schema, every scalar may also be taken from the environment.
VARIABLE: dict[str, Any] = {"type": "string", "pattern": r"\$\{"}

DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
SIZE_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class Misfit(ValueError):
    """The text is not of the kind; a message in it is closer than the kind's `expected`."""


class Kind(Protocol):
    """What a key may hold. An implementer neither reads files nor guesses a default."""

    @property
    def expected(self) -> str:
        """What belongs here, as in 'expected …'."""
        ...

    @property
    def bare(self) -> bool:
        """Whether the value must stand without quotes, as numbers and truths do."""
        ...

    @property
    def secret(self) -> bool:
        """Whether the value is never shown, and may stand in a file of its own."""
        ...

    def parse(self, text: str) -> Any:
        """Return the value. Raises Misfit."""
        ...

    def show(self, value: Any) -> str:
        """Return the value as YAML."""
        ...

    def found(self, text: str) -> str:
        """Return the text for 'found …', without giving a secret away."""
        ...

    def schema(self) -> dict[str, Any]: ...


class Plain(Struct, frozen=True, kw_only=True):
    """The parts most kinds share: a value that is no secret."""

    @property
    def bare(self) -> bool:
        return False

    @property
    def secret(self) -> bool:
        return False

    def found(self, text: str) -> str:
        return quoted(text)

    def show(self, value: Any) -> str:
        return (
            str(value)
            if re.fullmatch(r"[a-z/][\w/.-]*|\d+(\.\d+){3}", str(value))
            else f'"{value}"'
        )


class Flag(Plain, frozen=True, kw_only=True):
    """`true` or `false`; YAML's other spellings are refused, for `no` is also a country."""

    @property
    def expected(self) -> str:
        return "true or false"

    @property
    def bare(self) -> bool:
        return True

    def parse(self, text: str) -> bool:
        if text not in ("true", "false"):
            raise Misfit
        return text == "true"

    def show(self, value: Any) -> str:
        return "true" if value else "false"

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, VARIABLE]}


class Whole(Plain, frozen=True, kw_only=True):
    """
    A whole number between two bounds, both allowed. Where it is optional, an empty text is None.
    """

    minimum: int
    maximum: int
    what: str = "a whole number"
    optional: bool = False

    @property
    def expected(self) -> str:
        empty = "empty or " if self.optional else ""
        return f"{empty}{self.what} from {self.minimum} to {self.maximum}"

    @property
    def bare(self) -> bool:
        return not self.optional

    def parse(self, text: str) -> int | None:
        if not text and self.optional:
            return None
        if not re.fullmatch(r"0|[1-9][0-9_]{0,17}", text, re.ASCII):
            raise Misfit
        value = int(text.replace("_", ""))
        if not self.minimum <= value <= self.maximum:
            raise Misfit
        return value

    def show(self, value: Any) -> str:
        return '""' if value is None else str(value)

    def schema(self) -> dict[str, Any]:
        number = {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}
        nothing = [{"const": ""}] if self.optional else []
        return {"anyOf": [number, *nothing, VARIABLE]}


class Duration(Plain, frozen=True, kw_only=True):
    """
    A number with a unit. Bounds are seconds; the value is in units of `unit` seconds.

    Where it is optional, an empty text is None.
    """

    minimum: float
    maximum: float
    unit: float = 1.0
    optional: bool = False

    @property
    def expected(self) -> str:
        return f"{'empty or ' if self.optional else ''}a duration such as '15s' or '5m'"

    def parse(self, text: str) -> float | None:
        if not text and self.optional:
            return None
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d)", text, re.ASCII)
        if match is None:
            raise Misfit
        seconds = float(match[1]) * DURATION_UNITS[match[2]]
        if not self.minimum <= seconds <= self.maximum:
            low, high = (self._text(bound) for bound in (self.minimum, self.maximum))
            raise Misfit(f"a duration from {low} to {high}")
        return seconds / self.unit

    def show(self, value: Any) -> str:
        return '""' if value is None else self._text(float(value) * self.unit)

    def schema(self) -> dict[str, Any]:
        empty = "^$|" if self.optional else ""
        text = {"type": "string", "pattern": rf"{empty}^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"}
        return {"anyOf": [text, VARIABLE]}

    @staticmethod
    def _text(seconds: float) -> str:
        thousandths = round(seconds * 1000)
        units = reversed(DURATION_UNITS.items())
        name, size = next(u for u in units if thousandths % round(u[1] * 1000) == 0)
        return f"{thousandths // round(size * 1000)}{name}"


class Size(Plain, frozen=True, kw_only=True):
    """Bytes with a unit. Bounds are bytes."""

    minimum: int
    maximum: int

    @property
    def expected(self) -> str:
        return "a size such as '512KiB' or '32MiB'"

    def parse(self, text: str) -> int:
        match = re.fullmatch(r"(\d{1,12})(B|KiB|MiB|GiB)", text, re.ASCII)
        if match is None:
            raise Misfit
        value = int(match[1]) * SIZE_UNITS[match[2]]
        if not self.minimum <= value <= self.maximum:
            low, high = self.show(self.minimum), self.show(self.maximum)
            raise Misfit(f"a size from {low} to {high}")
        return value

    def show(self, value: Any) -> str:
        name, size = next(u for u in reversed(SIZE_UNITS.items()) if value % u[1] == 0)
        return f"{value // size}{name}"

    def schema(self) -> dict[str, Any]:
        text = {"type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$"}
        return {"anyOf": [text, VARIABLE]}


class Choice(Plain, frozen=True, kw_only=True):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        return f"one of {', '.join(self.words)}"

    def parse(self, text: str) -> str:
        if text not in self.words:
            raise Misfit
        return text

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self.words)}, VARIABLE]}


class Text(Plain, frozen=True, kw_only=True):
    """A text of one form; `what` says the form in words, `pattern` checks the whole text."""

    what: str
    pattern: str

    @property
    def expected(self) -> str:
        return self.what

    def parse(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text) or not text.isprintable():
            raise Misfit
        return text

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "pattern": f"^(?:{self.pattern})$"}, VARIABLE]}


class Network(Plain, frozen=True, kw_only=True):
    """An IP network in CIDR form; a lone address is a network of one."""

    @property
    def expected(self) -> str:
        return "a network such as '10.0.0.0/8' or '192.0.2.7'"

    def parse(self, text: str) -> IPv4Network | IPv6Network:
        try:
            return ip_network(text)
        except ValueError as error:
            if "host bits" not in str(error):
                raise Misfit from None
            right = ip_network(text, strict=False)
            raise Misfit(f"the first address of the network, {right}") from None

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


class FilePath(Plain, frozen=True, kw_only=True):
    """A path; `~` is the home folder. The reader resolves it against the settings file's folder."""

    optional: bool = False

    @property
    def expected(self) -> str:
        return "a path"

    def parse(self, text: str) -> Path | None:
        if not text and self.optional:
            return None
        if not text or "\0" in text:
            raise Misfit
        try:
            return Path(text).expanduser()
        except RuntimeError:  # the user after ~ has no home
            raise Misfit("a path whose '~' is a known home folder") from None

    def show(self, value: Any) -> str:
        return '""' if value is None else super().show(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}
