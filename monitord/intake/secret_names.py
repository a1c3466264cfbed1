"""Which names say that the value behind them is a secret. No value is looked at here."""

from __future__ import annotations

import re

from collections.abc import Iterable, Iterator, Sequence


# As part of a longer one too; words may be joined by '-', '_', '.', a space or a capital.
NAMES = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "authorization",
    "cookie",
    "api_key",
    "access_key",
    "private_key",
    "credential",
    "session_id",
    "session_key",
)
# At the end of a longer one only: `session_duration_ms` is no secret.
LAST_NAMES = ("session",)

# What goes on in small letters is another word: a secretary, a tokenizer.
END = "s?+(?-i:(?![a-z]))"
# A name of the user's own may be short: it begins a word.
BEGIN = r"(?-i:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))"
SEPARATORS = re.compile(r"[-_. ]+")
# How many there are is no secret, whatever they are.
COUNTED = re.compile("(?:token|session|cookie|secret|credential|password)s(?![a-z])", re.IGNORECASE)


class SecretNames:
    """
    The names known to monitord, with `more` and without those to `keep`.

    `key` is the source of a pattern that matches such a name and the rest of its key, in any case.
    """

    def __init__(self, more: Iterable[str] = (), keep: Iterable[str] = ()) -> None:
        self._kept = frozenset(map(joined, keep))
        names = [name for name in NAMES if joined(name) not in self._kept]
        last = [name for name in LAST_NAMES if joined(name) not in self._kept]
        more = [name.strip("-_. ") for name in more if joined(name) not in self._kept]
        self.keeps = bool(self._kept)
        self._stems = tuple(sorted({stem(name) for name in (*names, *last, *more)}))
        parts = [*by_letter(names), *(BEGIN + part for part in by_letter(more))]
        ends = map(source, last)
        # In most places the first letter alone says that no name begins there.
        firsts = sorted({re.escape(name[0]) for name in (*names, *last, *more)})
        self.key = (
            rf"(?={either(firsts)})(?:(?:{either(parts)}){END}[\w.-]{{0,40}}+"
            rf"|(?:{either(ends)})s?+(?![\w.-]))"
        )
        self._pattern = re.compile(self.key, re.IGNORECASE)

    def __contains__(self, key: str) -> bool:
        return self._pattern.search(key) is not None and not self.is_kept(key)

    def is_kept(self, key: str) -> bool:
        """Say whether the user wants to see what is behind this key."""
        return self.keeps and joined(key) in self._kept

    def may_be_in(self, lower: str) -> bool:
        """Say whether a text in small letters may hold one of the names."""
        for part in self._stems:  # noqa: SIM110 - any() takes twice as long
            if part in lower:
                return True
        return False


def joined(name: str) -> str:
    """Return the name as it is compared as a whole: without case and without separators."""
    return SEPARATORS.sub("", name).lower()


def stem(name: str) -> str:
    """Return a word without which the name is in no text: the last of its words that is a word."""
    words = SEPARATORS.split(name.lower())
    return next((word for word in reversed(words) if len(word) >= 3), words[0])


def source(name: str) -> str:
    """Return a pattern of the name, whatever joins its words."""
    return "[-_. ]?".join(map(re.escape, SEPARATORS.split(name)))


def by_letter(names: Sequence[str]) -> Iterator[str]:
    """Give patterns of the names, one for all that begin with the same letter."""
    firsts = sorted({name[0] for name in names})
    for first in firsts:
        some = [source(name) for name in names if name[0] == first]
        yield re.escape(first) + f"(?:{either(one.removeprefix(re.escape(first)) for one in some)})"


def either(patterns: Iterable[str]) -> str:
    """Return a pattern of any of these; without any, one that nothing matches."""
    return "|".join(patterns) or "(?!)"


def is_counted(key: str) -> bool:
    """Say whether a number behind this key is how many there are, as in `max_tokens`."""
    return COUNTED.search(key) is not None
