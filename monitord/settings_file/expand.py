"""`${NAME}` and `${NAME:-default}` in one scalar. Not recursive; `$${` stands for `${` itself."""

from __future__ import annotations

import re

from collections.abc import Mapping


_REFERENCE = re.compile(
    r"\$\$\{|\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}|\$\{", re.ASCII
)


class ExpansionError(ValueError):
    """The reference cannot be followed; the message is the rule."""


def expand(text: str, environ: Mapping[str, str]) -> tuple[str, bool]:
    """
    Return the text with its references replaced, and whether there was one.

    A default stands in for a variable that is unset or empty. Raises ExpansionError: a variable
    without a default is unset, or a `${` is not closed.
    """
    found = False

    def value(match: re.Match[str]) -> str:
        nonlocal found
        if match[0] == "$${":
            return "${"
        if match["name"] is None:
            raise ExpansionError(
                "expected ${NAME} or ${NAME:-default}, found a '${' of another form"
            )
        found = True
        default = match["default"]
        if default is not None:
            return environ.get(match["name"]) or default
        try:
            return environ[match["name"]]
        except KeyError:
            raise ExpansionError(
                f"expected the environment variable {match['name']} to be set, found nothing"
            ) from None

    return _REFERENCE.sub(value, text), found
