"""
A statement without what it was asked with: literals become `?`, comments a space.

One pass from left to right: no token is read twice, and where the end of a literal cannot be told,
the rest of the statement is the literal.
"""

from __future__ import annotations

import re

from typing import Any


LITERAL = "?"

# The order matters: what comes first is tried first. A token that has begun is never given up, so
# that none is looked for twice: a text that does not end goes to the end.
# Whether a comment in a comment ends with the inner one is the server's affair: it goes to the end.
COMMENT = r"--[^\n]*+|/\*(?:[^*/]|\*(?!/)|/(?!\*))*+(?:\*/|/\*(?s:.)*+)?"
# Oracle's q'[...]' has delimiters of one's own choice: nobody reads on behind it.
CHOSEN = r"[nN]?[qQ]'(?s:.)*+"
ESCAPED = r"[eE]'(?:[^'\\]|''|\\(?s:.)|\\\Z)*+'?"
# So is whether a backslash hides the quote behind it.
PLAIN = r"[nNbBxX]?'(?:[^'\\]|''|\\(?!'))*+(?:\\'(?s:.)*+|')?"
DOLLAR = r"\$(?P<tag>(?:[^\W\d]\w*+)?)\$(?:[^$]|\$(?!(?P=tag)\$))*+(?:\$(?P=tag)\$)?"
NUMBER = r"\d[\w.]*+(?:(?<=[eE])[+-]\d++)?+"
# As much as there is: each token of its own costs as much as all of them.
SIGNS = r"(?:[\s,=()<>.;*+?!%|&^~\[\]{}]++|-(?!-)|/(?!\*))++"
# As in a list of values: plain literals, and what is no token of its own between them.
SIMPLE = rf"{NUMBER}|'(?:[^'\\]|'')*+'"
RUN = rf"(?P<run>(?:{SIMPLE})(?:{SIGNS}(?:{SIMPLE}))++)"
KEPT = (
    rf"(?P<kept>(?:{SIGNS}"
    r"|(?![nN]?[qQ]'|[eEnNbBxX]')[^\W\d][\w$]*+"  # a word
    r"|\$\d++|:[^\W\d]\w*+|:\d{1,3}+(?!\w)|@\w++"  # the place of a parameter
    r"|`[^`]*+`|\"(?:[^\"]|\"\")*+\")++)"  # a quoted name
)
UNENDED = r"[`\"](?s:.)*+"
# MySQL takes "text" for a literal, and a backslash for an escape in each.
MYSQL_TEXT = r"[nNbBxX]?'(?:[^'\\]|''|\\(?s:.)|\\\Z)*+'?"
MYSQL_QUOTED = r"\"(?:[^\"\\]|\"\"|\\(?s:.)|\\\Z)*+\"?"


def scanner(comment: str, *tokens: str) -> re.Pattern[str]:
    return re.compile("|".join((f"(?P<comment>{comment})", *tokens)))


STANDARD = scanner(COMMENT, CHOSEN, ESCAPED, RUN, PLAIN, DOLLAR, KEPT, NUMBER, UNENDED)
MYSQL_KEPT = KEPT.replace(r"|\"(?:[^\"]|\"\")*+\"", "")
MYSQL = scanner(rf"{COMMENT}|\#[^\n]*+", RUN, MYSQL_TEXT, MYSQL_QUOTED, MYSQL_KEPT, NUMBER, UNENDED)
MYSQL_NAMES = frozenset({"mysql", "mariadb"})
SIMPLE_LITERAL = re.compile(SIMPLE)
# Here any word may be a value: only the first is shown, and the blank behind it.
COMMAND = re.compile(r"\s*+[^\W\d][\w.]{0,40}+(?:\s|\Z)")
COMMAND_NAMES = frozenset({"redis", "valkey"})


def without_literals(statement: str, system: object = None) -> tuple[str, int]:
    """
    Return the statement with `?` for every literal, and how many there were.

    `system` is what it was sent to, as OpenTelemetry's `db.system.name` has it.
    """
    count = 0

    def shown(token: re.Match[str]) -> str:
        nonlocal count
        kind = token.lastgroup
        if kind == "kept":
            return token[0]
        if kind == "comment":
            return " "
        if kind == "run":
            text, found = SIMPLE_LITERAL.subn(LITERAL, token[0])
            count += found
            return text
        count += 1
        return LITERAL

    name = system if isinstance(system, str) else None
    if name in COMMAND_NAMES:
        return command(statement)
    pattern = MYSQL if name in MYSQL_NAMES else STANDARD
    return pattern.sub(shown, statement), count


def command(statement: str) -> tuple[str, int]:
    """Return a statement of which the first word is a command, and whether more was in it."""
    begun = COMMAND.match(statement)
    end = begun.end() if begun else 0
    given = statement[end:].strip()
    if given in ("", LITERAL):
        return statement, 0
    return statement[:end] + LITERAL, 1


def system_of(attributes: dict[str, Any]) -> object:
    """Return what the statement among these attributes was sent to; None when they do not say."""
    return attributes.get("db.system.name") or attributes.get("db.system")
