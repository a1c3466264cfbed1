"""One number of monitord itself a line: what it is, how it is written, and whether it is good."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from monitord.http import units
from monitord.http.answers import State


Window = Literal["now", "since start", "last reading"]
TIME, TEXT = "time", "text"


class Fact(Struct, frozen=True, kw_only=True):
    """
    One number: `text` is how the page writes it. `value` is null while unknown, and `note` says
    why. The unit `time` is Unix seconds; what is `text` has no value. With `told`, a sentence, all
    of it is said.
    """

    id: str
    name: str
    value: float | None
    unit: str
    text: str
    window: Window
    state: State = "ok"
    note: str = ""
    told: str = ""


class Panel(Struct, frozen=True, kw_only=True):
    """The facts of one part of monitord."""

    id: str
    title: str
    facts: list[Fact]


def number(
    name: str,
    title: str,
    value: float | None,
    unit: str,
    *,
    window: Window = "now",
    bad: State | None = None,
    note: str = "",
) -> Fact:
    """Return a number that is good unless it is called `bad`."""
    state: State = "unknown" if value is None else bad or "ok"
    text = written(value, unit)
    return Fact(
        id=name,
        name=title,
        value=value,
        unit=unit,
        text=text,
        window=window,
        state=state,
        note=note,
    )


def counted(
    name: str, title: str, value: float, *, bad: State | None = None, note: str = ""
) -> Fact:
    """Return a count since the start; with `bad`, any above zero is."""
    return number(
        name,
        title,
        value,
        "count",
        window="since start",
        bad=bad if value else None,
        note=note if value else "",
    )


def full(name: str, title: str, value: float, text: str, told: str) -> Fact:
    """Return what has no room any more."""
    return Fact(
        id=name,
        name=title,
        value=value,
        unit="count",
        text=text,
        window="now",
        state="warning",
        told=told,
    )


def said(name: str, title: str, text: str, note: str = "") -> Fact:
    """Return what is no number."""
    state: State = "ok" if text else "unknown"
    return Fact(
        id=name,
        name=title,
        value=None,
        unit=TEXT,
        text=text or "—",
        window="now",
        state=state,
        note="" if text else note,
    )


def written(value: float | None, unit: str) -> str:
    if value is None:
        return "—"
    if unit == TIME:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return units.text(value, unit)
