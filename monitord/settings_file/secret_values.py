"""The kinds of value that are secrets: never shown, neither in a message nor in the defaults."""

from __future__ import annotations

import re

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from monitord.settings import Secret
from monitord.settings_file.values import VARIABLE, Misfit, Plain


def _splits(text: str) -> bool:
    """Say whether every host of a URL is followed by a real port, or by none."""
    try:
        parts = urlsplit(text)
        hosts = parts.netloc.rpartition("@")[2].split(",")
        ports = [urlsplit(f"//{host}").port for host in hosts]
    except ValueError:
        return False
    return 0 not in ports


class _Hidden(Plain, frozen=True, kw_only=True):
    """The parts all secrets share."""

    @property
    def secret(self) -> bool:
        return True

    def found(self, text: str) -> str:
        return "***" if text else "nothing"

    def show(self, value: Any) -> str:
        return '""'


class Password(_Hidden, frozen=True, kw_only=True):
    """Any text, kept as a secret."""

    @property
    def expected(self) -> str:
        return "a text"

    def parse(self, text: str) -> Secret:
        if "\0" in text:
            raise Misfit("a text without NUL characters")
        return Secret(text)

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


class Token(_Hidden, frozen=True, kw_only=True):
    """A token that fits into an HTTP header and is too long to be guessed."""

    minimum: int = 16

    @property
    def expected(self) -> str:
        return f"a token of {self.minimum} or more letters, digits or signs without blanks"

    def parse(self, text: str) -> Secret:
        if not re.fullmatch(rf"[!-~]{{{self.minimum},1024}}", text):
            raise Misfit
        return Secret(text)

    def schema(self) -> dict[str, Any]:
        token = {"type": "string", "pattern": f"^[!-~]{{{self.minimum},1024}}$"}
        return {"anyOf": [token, VARIABLE]}


class Address(_Hidden, frozen=True, kw_only=True):
    """A connection URL that may hold a password. `schemes` maps what is allowed to an example."""

    schemes: Mapping[str, str]
    optional: bool = False

    @property
    def expected(self) -> str:
        return f"an address such as '{next(iter(self.schemes.values()))}'"

    def parse(self, text: str) -> Secret:
        if not text and self.optional:
            return Secret()
        scheme, separator, rest = text.partition("://")
        if scheme not in self.schemes or not separator or not rest:
            raise Misfit
        if not text.isprintable() or " " in text or not _splits(text):
            raise Misfit(
                f"{self.expected} (signs such as / # @ in its password are written %2F %23 %40)"
            )
        return Secret(text)

    def found(self, text: str) -> str:
        scheme = re.match(r"[a-z][a-z+]{1,15}:", text)
        return f"one that begins with '{scheme[0]}'" if scheme else super().found(text)

    def schema(self) -> dict[str, Any]:
        schemes = "|".join(self.schemes)
        empty = "^$|" if self.optional else ""
        return {"anyOf": [{"type": "string", "pattern": f"{empty}^({schemes}):"}, VARIABLE]}
