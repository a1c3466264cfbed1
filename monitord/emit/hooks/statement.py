"""What an SQL statement does and to which table, by a glance at its text. Nothing is parsed."""

from __future__ import annotations

import functools
import re

from typing import Any, NamedTuple


TEXT_CHARS = 2_000
NAME_CHARS = 100
# Statements with values written into them are never the same again; those are looked at each time.
CACHED = 1_024

_VERBS = "SELECT|INSERT|UPDATE|DELETE|MERGE|VALUES|TABLE"
_TABLE = r'((?:"[^"]+"|[\w$]++)(?:\.(?:"[^"]+"|[\w$]++))*+)'

# Whatever may hold a parenthesis or a keyword that does not count, and the parentheses.
_token = re.compile(
    r"""(?P<gone>--[^\n]*|/\*.*?(?:\*/|$)|'(?:[^']|'')*'?|(\$\w*\$).*?(?:\2|$))|(?P<paren>[()])""",
    re.DOTALL,
)
_word = re.compile(r"\s*([A-Za-z]+)")
_main = re.compile(rf"\b({_VERBS})\b", re.IGNORECASE)
_places = {
    "SELECT": rf"\bFROM\s+(?:ONLY\s+|LATERAL\s+)*{_TABLE}(?!\()",
    "DELETE": rf"\bFROM\s+(?:ONLY\s+)?{_TABLE}",
    "INSERT": rf"\bINTO\s+{_TABLE}",
    "MERGE": rf"\bINTO\s+(?:ONLY\s+)?{_TABLE}",
    "UPDATE": rf"\bUPDATE\s+(?:ONLY\s+)?{_TABLE}",
    "COPY": rf"\bCOPY\s+{_TABLE}",
    "TRUNCATE": rf"\bTRUNCATE\s+(?:TABLE\s+)?(?:ONLY\s+)?{_TABLE}",
    "CREATE": rf"\bTABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_TABLE}",
    "ALTER": rf"\bTABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{_TABLE}",
    "DROP": rf"\bTABLE\s+(?:IF\s+EXISTS\s+)?{_TABLE}",
}
_tables = {verb: re.compile(place, re.IGNORECASE).search for verb, place in _places.items()}


class Statement(NamedTuple):
    """`SELECT orders`: a name for few, many statements long. `table` is empty where unsure."""

    operation: str
    table: str

    @property
    def name(self) -> str:
        return f"{self.operation} {self.table}" if self.table else self.operation


@functools.lru_cache(CACHED)
def glance(text: str) -> Statement:
    """Say what the statement does; `text` is at most TEXT_CHARS long."""
    flat = _flat(text.lstrip("( \n"))
    word = _word.match(flat)
    verb = word[1].upper() if word else "QUERY"
    if verb == "WITH" and (main := _main.search(flat)):
        verb = main[1].upper()
        flat = flat[main.start() :]
    search = _tables.get(verb)
    found = search(flat) if search is not None else None
    return Statement(verb[:NAME_CHARS], found[1].replace('"', "")[:NAME_CHARS] if found else "")


def _flat(text: str) -> str:
    """Return the statement without comments, literals and what stands in parentheses."""
    kept, depth, end = [], 0, 0
    for token in _token.finditer(text):
        if depth <= 0:
            kept.append(text[end : token.start()])
        end = token.end()
        if token["paren"] == "(":
            depth += 1
            kept.append("(" if depth == 1 else "")
        elif token["paren"]:
            depth -= 1
            kept.append(")" if depth == 0 else "")
        elif depth <= 0:
            kept.append(" ")
    return "".join(kept) + (text[end:] if depth <= 0 else "")


def cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARS else text[: TEXT_CHARS - 1] + "…"


def query(
    text: str, system: str, namespace: object, address: object = None, port: object = None
) -> tuple[str, dict[str, Any]]:
    """Return a query's span name and its attributes; no parameter is among them."""
    text = cut(text)
    found = glance(text)
    attributes: dict[str, Any] = {
        "db.system.name": system,
        "db.operation.name": found.operation,
        "db.query.text": text,
    }
    if found.table:
        attributes["db.collection.name"] = found.table
    if namespace:
        attributes["db.namespace"] = str(namespace)
    if address:
        attributes["server.address"] = str(address)
    if port:
        attributes["server.port"] = port
    return found.name, attributes
