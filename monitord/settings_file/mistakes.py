"""What is wrong with a file, one line each. Collected, so that a user mends them all at once."""

from __future__ import annotations

import re

from monitord.errors import SettingsError


# Paths and found texts come from the user's file; a longer one would hide the rule.
FOUND_LIMIT = 60

# More than anybody reads; a file of another kind would have thousands.
LIMIT = 100


class Mistakes:
    """The mistakes of one source, a file or the environment, in the order of its lines."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: list[tuple[int, str]] = []
        self._more = 0

    @property
    def full(self) -> bool:
        """Whether further mistakes are only counted."""
        return len(self._found) >= LIMIT

    def add(self, line: int, path: str, rule: str) -> None:
        """Note one mistake; `line` counts from 1 (0: unknown), an empty `path` is the file."""
        if self.full:
            self._more += 1
            return
        place = f"{self.source}:{line}" if line else self.source
        self._found.append((line, f"{place}: {path}: {rule}" if path else f"{place}: {rule}"))

    def raise_if_any(self) -> None:
        """Raise SettingsError with every mistake, one per line, in the file's order."""
        if self._found:
            lines = [text for _, text in sorted(self._found, key=lambda item: item[0])]
            more = [f"{self.source}: and {self._more} more mistakes"] if self._more else []
            raise SettingsError("\n".join([*lines, *more]))


def quoted(text: str) -> str:
    """Return the text as found: in quotes, without control characters, not too long."""
    return repr(text if len(text) <= FOUND_LIMIT else text[: FOUND_LIMIT - 1] + "…")


def join(path: str, name: str) -> str:
    """Return the path of a key below `path`, as the messages write it."""
    shown = name if re.fullmatch(r"[\w-]{1,60}", name, re.ASCII) else quoted(name)
    return f"{path}.{shown}" if path else shown
