"""The file of dead letters read again: each line is a letter, or none. Writes nothing."""

from __future__ import annotations

import json

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec

from msgspec import Meta, Struct

from monitord.errors import SpoolError
from monitord.model import Annotation, Event, Log, Request, Span


FILE = "dead_letters.jsonl"

Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
# Until the year 9999.
Moment = Annotated[float, Meta(ge=0, lt=253_402_300_800)]


class Letter(Struct, frozen=True):
    """A refused event as its line has it: a map, or a text where JSON could not hold it."""

    at: Moment
    reason: str
    writer: Number
    seq: Number
    index: Number
    event: dict[str, Any] | str

    @property
    def type(self) -> str:
        """What the event says that it is."""
        return str(self.event.get("type", "?")) if isinstance(self.event, dict) else "text"


class Line(Struct, frozen=True):
    """One line, without its end; `ended` is False for a last one that has none."""

    text: bytes
    letter: Letter | None
    ended: bool


class NotAnEvent(Exception):
    """What the letter holds cannot be sent again, and why."""


def read(path: Path) -> Iterator[Line]:
    """Yield the lines, oldest first; none where there is no file. Raises SpoolError."""
    try:
        with path.open("rb") as file:
            for text in file:
                if not text.isspace():
                    yield Line(text.rstrip(b"\n"), letter_of(text), text.endswith(b"\n"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise SpoolError(f"{path}: cannot be read ({error.strerror})") from error


def letter_of(text: bytes) -> Letter | None:
    """Return the letter a line holds; None for what is no letter."""
    try:
        # The standard library's: it reads lone surrogates, which are in a letter for being refused.
        held = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    try:
        return msgspec.convert(held, Letter)
    except msgspec.ValidationError:
        return None


def event_of(letter: Letter) -> Event:
    """Return the event, to be sent again. Raises NotAnEvent."""
    if isinstance(letter.event, str):
        raise NotAnEvent("it is kept as text only, because JSON could not hold it")
    try:
        return cast(Event, msgspec.convert(letter.event, cast(Any, Event)))
    except (msgspec.ValidationError, RecursionError) as error:
        raise NotAnEvent(f"it is no event: {error}") from error


def said(letter: Letter) -> str:
    """Return the event in some words: whose it is and what of it tells it from others."""
    try:
        event = event_of(letter)
    except NotAnEvent:
        return letter.event if isinstance(letter.event, str) else json.dumps(letter.event)
    if isinstance(event, Request):
        return f"{event.service} {event.method} {event.route} {event.status}"
    if isinstance(event, Log):
        return f"{event.service} {event.level} {event.message}"
    if isinstance(event, Span):
        return f"{event.service} {event.name} {event.duration_ms} ms"
    if isinstance(event, Annotation):
        return f"{event.service} {event.kind} {event.title}".lstrip()
    return f"{event.service} {event.name} {event.value}".lstrip()
