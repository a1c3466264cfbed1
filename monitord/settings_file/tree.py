"""
YAML text as nodes that know their line: mappings with text keys, lists, scalars; no more of YAML.

Nothing is interpreted here: `010`, `no` and `12:30` stay the texts they are. Anchors, aliases,
tags, duplicate keys and a second document are mistakes, so what is written is what is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from msgspec import Struct

from monitord.settings_file.mistakes import FOUND_LIMIT, Mistakes, join, quoted


SIZE_LIMIT = 1024 * 1024
DEPTH_LIMIT = 16

NULLS = frozenset({"", "~", "null", "Null", "NULL"})


class Scalar(Struct, frozen=True):
    """One value as written; `quoted` says that it stood in quotes or as a block."""

    line: int
    text: str
    quoted: bool = False

    @property
    def empty(self) -> bool:
        return not self.quoted and self.text in NULLS


class Items(Struct, frozen=True):
    """A list."""

    line: int
    nodes: tuple[Node, ...]


class Mapping(Struct, frozen=True):
    """Keys and values in the file's order; `lines` says where each key stands."""

    line: int
    nodes: dict[str, Node]
    lines: dict[str, int]


Node = Scalar | Items | Mapping


class _Unreadable(Exception):
    """The rest of the file cannot be followed; the mistake is noted already."""


def parse(text: str, mistakes: Mistakes) -> Mapping:
    """Return the document; what cannot be read is noted in `mistakes` and left out."""
    empty = Mapping(0, {}, {})
    try:
        node = _Builder(text, mistakes).document()
    except yaml.MarkedYAMLError as error:
        mistakes.add(*_not_yaml(text, error))
        return empty
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character[:1])
        mistakes.add(line, "", f"not YAML: the character U+{code:04X} is not allowed")
        return empty
    except _Unreadable:
        return empty
    if isinstance(node, Mapping):
        return node
    if not (isinstance(node, Scalar) and node.empty):
        mistakes.add(node.line, "", f"expected keys such as 'targets:', found {describe(node)}")
    return empty


def _not_yaml(text: str, error: yaml.MarkedYAMLError) -> tuple[int, str, str]:
    """Return the mistake libyaml found: line, path, rule."""
    lines = text.splitlines()
    line = min(error.problem_mark.line + 1, len(lines)) if error.problem_mark else 0
    rule = f"not YAML: {' '.join((error.problem or 'unreadable').split())}"
    if "${" in "".join(lines[line - 1 : line]):
        rule += "; between { } or [ ], write a value with '${' in quotes"
    return line, "", rule


def describe(node: Node) -> str:
    """Return what a node is, for 'found …'."""
    match node:
        case Mapping():
            return "a mapping"
        case Items():
            return "a list"
        case Scalar() if node.empty:
            return "nothing"
        case Scalar():
            plain = not node.quoted and node.text.isprintable() and len(node.text) <= FOUND_LIMIT
            return node.text if plain else quoted(node.text)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


class _Builder:
    """One walk over libyaml's events. Its depth is bounded, for a file is somebody's input."""

    def __init__(self, text: str, mistakes: Mistakes) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events: Iterator[Any] = yaml.parse(text, loader)
        self._mistakes = mistakes
        self._resolver = yaml.resolver.Resolver()

    def document(self) -> Node:
        node: Node = Scalar(0, "")
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    rule = "expected one document, found a second '---'"
                    self._mistakes.add(_line(event), "", rule)
                    raise _Unreadable
            elif isinstance(event, yaml.NodeEvent):
                node = self._node(event, "", 0) or node
        return node

    def _node(self, event: Any, path: str, depth: int) -> Node | None:
        """Return a node, or None for an alias. Raises _Unreadable: too deep."""
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            rule = f"aliases are not used here, write the value out; found *{event.anchor}"
            self._mistakes.add(line, path, rule)
            return None
        if event.anchor is not None:
            rule = f"anchors are not used here, found &{event.anchor}"
            self._mistakes.add(line, path, rule)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._mistakes.add(line, path, f"tags are not used here, found {tag}")
        if depth > DEPTH_LIMIT:
            rule = f"expected at most {DEPTH_LIMIT} levels, found more"
            self._mistakes.add(line, path[:80], rule)
            raise _Unreadable
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(line, path, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._items(line, path, depth)
        return Scalar(line, event.value, quoted=bool(event.style) and event.style in "\"'|>")

    def _items(self, line: int, path: str, depth: int) -> Items:
        nodes: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            if (node := self._node(event, f"{path}[{len(nodes)}]", depth + 1)) is not None:
                nodes.append(node)
        return Items(line, tuple(nodes))

    def _mapping(self, line: int, path: str, depth: int) -> Mapping:
        nodes: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, path, depth + 1)
            name = self._name(key, path)
            value = self._node(next(self._events), join(path, name or "?"), depth + 1)
            if key is None or name is None or value is None:
                continue
            if name in lines:
                rule = f"duplicate key; the first is in line {lines[name]}"
                self._mistakes.add(key.line, join(path, name), rule)
                continue
            nodes[name], lines[name] = value, key.line
        return Mapping(line, nodes, lines)

    def _name(self, key: Node | None, path: str) -> str | None:
        """Return the key's text; one that YAML reads as a number, truth or null is a mistake."""
        if isinstance(key, Scalar) and (key.quoted or self._is_text(key.text)):
            return key.text
        if key is None:
            return None
        found = describe(key)
        hint = f"; write '{key.text}' in quotes" if isinstance(key, Scalar) and key.text else ""
        self._mistakes.add(key.line, path, f"expected a text as key, found {found}{hint}")
        return None

    def _is_text(self, text: str) -> bool:
        tag: Any = self._resolver.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        return bool(tag == "tag:yaml.org,2002:str" or text == "<<")
