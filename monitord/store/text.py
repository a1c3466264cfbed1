"""Text as PostgreSQL takes it: what it refuses is replaced, so that no row is lost for it."""

from __future__ import annotations

from typing import Any

import msgspec


REPLACEMENT = "\ufffd"


def clean(text: str) -> str:
    """Return the text with NUL and lone surrogates replaced; nearly always the very same object."""
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def json_bytes(value: Any) -> bytes:
    """
    Return a JSON document that `jsonb` takes: no NUL, no lone surrogate, no NaN or infinity.

    Raises TypeError, ValueError, RecursionError: the value is not JSON, or nested too deep.
    """
    try:
        document = msgspec.json.encode(value)
        if b"\\u0000" not in document:
            return document
    except UnicodeEncodeError:
        pass
    return msgspec.json.encode(cleaned(msgspec.to_builtins(value, str_keys=True)))


def cleaned(value: Any) -> Any:
    """Return a JSON value with every text in it clean."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(key)): cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(each) for each in value]
    return value


def utf8(text: str) -> bytes:
    """Return the bytes of a text as PostgreSQL takes them."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = clean(text).encode()
    return data.replace(b"\0", REPLACEMENT.encode()) if b"\0" in data else data
