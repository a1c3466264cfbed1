"""The two files made from the table of keys: the documented defaults and the editors' schema."""

from __future__ import annotations

import json

from collections.abc import Iterator
from typing import Any

from monitord.settings_file.keys import SETTINGS
from monitord.settings_file.shape import FILE_SUFFIX, Key, List, Named, Section


_HEADER = """\
# Every key of monitord.yaml with its default. Written by `python -m monitord.settings_file config`.
#
# Durations have a unit: 500ms 15s 5m 2h 30d; sizes too: 512KiB 32MiB. Any value may be taken from
# the environment: ${NAME}, or ${NAME:-default}. Each secret may stand in a file of its own, which
# the key with `_file` names. Relative paths start at the folder of this file.
"""


def defaults_yaml() -> str:
    """Return config/defaults.yaml: every key, its default and one sentence."""
    return "\n".join([_HEADER, *_section(SETTINGS, "")]).rstrip() + "\n"


def schema_json() -> str:
    """Return config/monitord.schema.json: JSON Schema 2020-12."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "monitord.yaml",
        "description": "The settings of monitord; every key may be left out.",
        **_schema(SETTINGS),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _section(section: Section, indent: str) -> Iterator[str]:
    for key in section.keys:
        if not indent and isinstance(key.kind, Section):
            yield ""
        yield f"{indent}# {key.sentence}"
        if isinstance(key.kind, Section):
            yield f"{indent}{key.name}:"
            yield from _section(key.kind, indent + "  ")
        elif isinstance(key.kind, Named):
            yield f"{indent}{key.name}: {{}}"
            yield from _example(key, key.kind, indent)
        else:
            yield f"{indent}{key.name}: {_default(section, key)}"
        if key.from_file:
            yield f"{indent}# {key.name}{FILE_SUFFIX}: /run/secrets/{key.name}"


def _example(key: Key, named: Named, indent: str) -> Iterator[str]:
    """Yield one named section as a comment that is YAML again without the first '# '."""
    yield f"{indent}# {key.name}:"
    yield f"{indent}#   main:"
    for line in _section(named.section, "    "):
        yield f"{indent}# {line}"


def _default(section: Section, key: Key) -> str:
    kind = key.kind
    if isinstance(kind, Named | Section):
        raise TypeError(f"{key.name} has no default of its own")
    try:
        value = section.default(key)
    except KeyError:
        return key.example
    if isinstance(kind, List):
        return f"[{', '.join(kind.kind.show(item) for item in value)}]"
    return kind.show(value)


def _schema(section: Section) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for key in section.keys:
        properties[key.name] = {"description": key.sentence, **_of(key.kind)}
        if key.from_file:
            sentence = f"File that holds {key.name}."
            properties[key.name + FILE_SUFFIX] = {"description": sentence, "type": "string"}
    schema: dict[str, Any] = {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": properties,
    }
    if section.needs:
        either = [
            {"oneOf": [{"required": [n]}, {"required": [n + FILE_SUFFIX]}]} for n in section.needs
        ]
        schema |= {"type": "object", "allOf": either}
    return schema


def _of(kind: Any) -> dict[str, Any]:
    if isinstance(kind, Section):
        return _schema(kind)
    if isinstance(kind, Named):
        return {
            "type": ["object", "null"],
            "propertyNames": kind.name.schema(),
            "additionalProperties": _schema(kind.section),
        }
    if isinstance(kind, List):
        return {"type": "array", "items": kind.kind.schema()}
    return dict(kind.schema())
