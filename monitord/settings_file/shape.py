"""What the table of keys is made of: a key, a section, named sections, a list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from msgspec import Struct

from monitord.settings_file.values import Kind


FILE_SUFFIX = "_file"


class Key(Struct, frozen=True):
    """
    One key.

    `field` is the struct's name for it where the file's differs; `example` stands in the documented
    defaults for a key that has no default.
    """

    name: str
    kind: Kind | Section | Named | List
    sentence: str
    field: str = ""
    example: str = '""'

    @property
    def target(self) -> str:
        return self.field or self.name

    @property
    def from_file(self) -> bool:
        """Whether `<name>_file` may name a file that holds the value."""
        kind = self.kind.kind if isinstance(self.kind, List) else self.kind
        return not isinstance(kind, Section | Named) and kind.secret


class Section(Struct, frozen=True):
    """A mapping that becomes one struct; `needs` names the keys without which it is nothing."""

    struct: type[Struct]
    keys: tuple[Key, ...]
    needs: tuple[str, ...] = ()

    def known(self) -> list[str]:
        """Return every key a user may write here, in the table's order."""
        return list(self._names())

    def _names(self) -> Iterator[str]:
        for key in self.keys:
            yield key.name
            if key.from_file:
                yield key.name + FILE_SUFFIX

    def default(self, key: Key) -> Any:
        """Return the struct's default for a key. Raises KeyError: the struct has none."""
        for field in msgspec.structs.fields(self.struct):
            if field.name == key.target:
                if field.default is not msgspec.NODEFAULT:
                    return field.default
                break
        raise KeyError(key.target)


class Named(Struct, frozen=True):
    """A mapping of chosen names to sections; it becomes a tuple of structs with `name`."""

    name: Kind
    section: Section


class List(Struct, frozen=True):
    """A list of values of one kind; it becomes a tuple."""

    kind: Kind
