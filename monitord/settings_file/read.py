"""Nodes and the table of keys -> structs. Every mistake is noted, none ends the reading."""

from __future__ import annotations

import difflib

from collections.abc import Mapping as Environ
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Struct

from monitord.settings_file import tree
from monitord.settings_file.expand import ExpansionError, expand
from monitord.settings_file.mistakes import Mistakes, join, quoted
from monitord.settings_file.secrets import holds_secret, read_secret
from monitord.settings_file.shape import FILE_SUFFIX, Key, List, Named, Section
from monitord.settings_file.values import Kind, Misfit


class _Wrong(Exception):
    """The value cannot be used; the mistake is noted already."""


class Reader:
    """
    Reads one file's nodes.

    `lines` afterwards tells where each path stands, and `literal_secrets` which secrets stand in
    the file itself rather than in the environment or a file of their own.
    """

    def __init__(self, mistakes: Mistakes, environ: Environ[str, str], folder: Path) -> None:
        self.lines: dict[str, int] = {}
        self.literal_secrets: list[str] = []
        self._mistakes = mistakes
        self._environ = environ
        self._folder = folder

    def section(
        self, section: Section, node: tree.Mapping, path: str, **given: Any
    ) -> Struct | None:
        """Return the struct, or None when a key it needs is missing or wrong."""
        values = dict(given)
        seen: set[str] = set()
        complete = self._has_needed(section, node, path)
        self._refuse_unknown(section, node, path)
        for key in section.keys:
            for name in (key.name, key.name + FILE_SUFFIX) if key.from_file else (key.name,):
                if name not in node.nodes:
                    continue
                here = join(path, name)
                self.lines[here] = self.lines[join(path, key.name)] = node.lines[name]
                if key.name in seen:
                    rule = f"expected {key.name} or {key.name}{FILE_SUFFIX}, found both"
                    self._mistakes.add(node.lines[name], here, rule)
                    continue
                seen.add(key.name)
                try:
                    value = self._value(key, name, node.nodes[name], here)
                    values |= {key.target: value} if value is not None else {}
                except _Wrong:
                    complete = complete and key.name not in section.needs
        return section.struct(**values) if complete else None

    def _has_needed(self, section: Section, node: tree.Mapping, path: str) -> bool:
        missing = [n for n in section.needs if not {n, n + FILE_SUFFIX} & node.nodes.keys()]
        for name in missing:
            rule = f"expected {name} or {name}{FILE_SUFFIX}, found neither"
            self._mistakes.add(self.lines.get(path, node.line), path, rule)
        return not missing

    def _refuse_unknown(self, section: Section, node: tree.Mapping, path: str) -> None:
        known = section.known()
        for name, line in node.lines.items():
            if name not in known:
                full = self._mistakes.full
                near = [] if full else difflib.get_close_matches(name, known, n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                rule = f"unknown key{hint}; known keys are {', '.join(known)}"
                self._mistakes.add(line, join(path, name), rule)

    def _value(self, key: Key, name: str, node: tree.Node, path: str) -> Any:
        """Return what the struct holds for a key. Raises _Wrong."""
        kind = key.kind
        if isinstance(kind, Section | Named):
            mapping = self._mapping(node, path)
            if isinstance(kind, Named):
                return self._named(kind, mapping, path)
            if (struct := self.section(kind, mapping, path)) is None:
                raise _Wrong
            return struct
        if name != key.name:
            return self._from_file(kind, node, path)
        if isinstance(kind, List):
            return self._list(kind, node, path)
        return self._scalar(kind, node, path)

    def _mapping(self, node: tree.Node, path: str) -> tree.Mapping:
        if isinstance(node, tree.Scalar) and node.empty:
            return tree.Mapping(node.line, {}, {})
        if not isinstance(node, tree.Mapping):
            rule = f"expected a mapping of keys, found {tree.describe(node)}"
            self._wrong(node.line, path, rule)
        return node

    def _named(self, named: Named, node: tree.Mapping, path: str) -> tuple[Struct, ...]:
        found: list[Struct | None] = []
        for name, child in node.nodes.items():
            here, line = join(path, name), node.lines[name]
            self.lines[here] = line
            try:
                named.name.parse(name)
                mapping = self._mapping(child, here)
            except Misfit:
                self._mistakes.add(
                    line, here, f"expected {named.name.expected}, found {named.name.found(name)}"
                )
                continue
            except _Wrong:
                continue
            found.append(self.section(named.section, mapping, here, name=name))
        return tuple(target for target in found if target is not None)

    def _list(self, kind: List, node: tree.Node, path: str) -> tuple[Any, ...]:
        if not isinstance(node, tree.Items):
            self._wrong(node.line, path, f"expected a list, found {self._found(kind.kind, node)}")
        places = [(item, f"{path}[{index}]") for index, item in enumerate(node.nodes)]
        values: list[Any] = []
        for item, here in places:
            if self._is_left_out(item):
                continue
            self.lines[here] = item.line
            try:
                values.append(self._scalar(kind.kind, item, here))
            except _Wrong:
                continue
        return tuple(values)

    def _is_left_out(self, node: tree.Node) -> bool:
        """Say whether a list's item comes from a variable that is empty: then it is not there."""
        try:
            return isinstance(node, tree.Scalar) and expand(node.text, self._environ) == ("", True)
        except ExpansionError:
            return False

    def _scalar(self, kind: Kind, node: tree.Node, path: str) -> Any:
        if not isinstance(node, tree.Scalar) or node.empty:
            self._wrong(
                node.line, path, f"expected {kind.expected}, found {self._found(kind, node)}"
            )
        try:
            text, expanded = expand(node.text, self._environ)
        except ExpansionError as error:
            self._wrong(node.line, path, str(error))
        if kind.bare and node.quoted and not expanded:
            self._wrong(
                node.line, path, f"expected {kind.expected} without quotes, found {node.text!r}"
            )
        try:
            value = kind.parse(text)
        except Misfit as error:
            found = kind.found(text) if kind.secret or expanded else tree.describe(node)
            source = "the environment" if kind.secret else quoted(node.text)[1:-1]
            origin = f" (from {source})" if expanded else ""
            rule = f"expected {str(error) or kind.expected}, found {found}{origin}"
            self._wrong(node.line, path, rule)
        if kind.secret and not expanded and holds_secret(value):
            self.literal_secrets.append(path)
        return self._folder / value if isinstance(value, Path) else value

    def _from_file(self, kind: Kind | List, node: tree.Node, path: str) -> Any:
        """Return the secret a file holds, without the newline at its end; a list has one a line."""
        one = kind.kind if isinstance(kind, List) else kind
        if not isinstance(node, tree.Scalar) or node.empty:
            self._wrong(node.line, path, f"expected a path, found {tree.describe(node)}")
        try:
            name, _ = expand(node.text, self._environ)
            content = read_secret(self._folder / Path(name).expanduser())
        except ExpansionError as error:
            self._wrong(node.line, path, str(error))
        except (OSError, ValueError, RuntimeError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            self._wrong(node.line, path, f"expected a readable file, found {name!r} ({why})")
        texts = content.split() if isinstance(kind, List) else [content.rstrip("\r\n")]
        try:
            values = tuple(one.parse(text) for text in texts)
        except Misfit as error:
            self._wrong(node.line, path, f"expected {str(error) or one.expected} in {name!r}")
        return values if isinstance(kind, List) else values[0]

    def _found(self, kind: Kind, node: tree.Node) -> str:
        if isinstance(node, tree.Scalar) and kind.secret:
            return kind.found(node.text)
        return tree.describe(node)

    def _wrong(self, line: int, path: str, rule: str) -> NoReturn:
        self._mistakes.add(line, path, rule)
        raise _Wrong
