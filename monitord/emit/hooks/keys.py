"""The type of a cache key: what its key begins with, or what the application calls it."""

from __future__ import annotations

import fnmatch
import re

from collections.abc import Mapping


# What has no type of its own; also every type above MOST_TYPES, where keys begin with an id.
OTHER = "other"
MOST_TYPES = 100
TYPE_CHARS = 64


class KeyTypes:
    """
    Names the type of a key, in a bounded number of words: it becomes a label.

    The first pattern of `types` that fits counts (`{"session:*": "session"}`), else what stands
    before the first colon.
    """

    def __init__(self, types: Mapping[str, str] | None = None) -> None:
        given = (types or {}).items()
        self._own = [(re.compile(fnmatch.translate(key)).match, name) for key, name in given]
        self._seen: set[str] = set()

    def of(self, key: object) -> str:
        text = _text(key)
        for matches, name in self._own:
            if matches(text):
                return name
        prefix, colon, _ = text.partition(":")
        if not colon or not prefix or len(prefix) > TYPE_CHARS:
            return OTHER
        return prefix if self._known(prefix) else OTHER

    def _known(self, prefix: str) -> bool:
        if prefix not in self._seen:
            if len(self._seen) >= MOST_TYPES:
                return False
            self._seen.add(prefix)
        return True


def _text(key: object) -> str:
    if isinstance(key, bytes | bytearray | memoryview):
        return bytes(key).decode("utf-8", "replace")
    return str(key)
