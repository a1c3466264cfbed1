"""The query parameters of the API, and the stretch of time that three of them ask for."""

from __future__ import annotations

import math
import re

from typing import Literal

from msgspec import Struct

from monitord.http.parameter import (
    BadParameter,
    Parameter,
    Query,
    choice,
    short_text,
    time_parameter,
    whole,
)
from monitord.model import LEVELS


# What the range picker offers: name -> seconds.
RANGES: dict[str, float] = {
    "15m": 900.0,
    "1h": 3_600.0,
    "6h": 21_600.0,
    "24h": 86_400.0,
    "7d": 604_800.0,
    "30d": 2_592_000.0,
}

Aggregate = Literal["avg", "min", "max", "sum", "last", "p50", "p95", "p99"]
AGGREGATES: tuple[Aggregate, ...] = ("avg", "min", "max", "sum", "last", "p50", "p95", "p99")

SPAN_MINIMUM = 60.0
SPAN_MAXIMUM = 400 * 86_400.0


def _range(text: str) -> float | None:
    try:
        return RANGES[text]
    except KeyError:
        raise ValueError(f"expected one of {', '.join(RANGES)}") from None


def _level(text: str) -> int | None:
    try:
        return LEVELS[text.upper()]
    except KeyError:
        raise ValueError(f"expected one of {', '.join(LEVELS)}") from None


def _attributes(text: str) -> dict[str, str]:
    pairs = [part.partition(":") for part in text.split(",")]
    if len(text) > 500 or "\0" in text or not all(name and colon for name, colon, _ in pairs):
        raise ValueError("expected name:value pairs with commas between, 500 characters at most")
    return {name: value for name, _, value in pairs}


def _cursor(text: str) -> str | None:
    match = re.fullmatch(r"(\d{1,19})-(\d{1,19})-(\d{1,10})", text, re.ASCII)
    writer, seq, index = (int(part) for part in match.groups()) if match else (2**63, 0, 0)
    if max(writer, seq) < 2**63 and index < 2**31:
        return text
    raise ValueError("expected the id of a log line, such as 1795459200123-42-0")


RANGE = choice("range", "How far to look back.", RANGES, "15m")
# The same, but one can tell whether it was given.
RANGE_OR_NONE: Parameter[float | None] = Parameter(
    "range", "How far to look back; instead of start and end.", _range, None, RANGE.schema
)
START = time_parameter("start", "Begin, in Unix seconds; instead of a range.")
END = time_parameter("end", "End, in Unix seconds; now unless given.")
LEVEL: Parameter[int | None] = Parameter(
    "level",
    "Only lines of this level or a worse one.",
    _level,
    None,
    {"type": "string", "enum": list(LEVELS)},
)
TEXT = short_text(
    "text",
    "Only lines that hold this text in message, logger, service, exception or fields, or whose "
    "trace id begins with it; in upper or lower case.",
    200,
)
BEFORE: Parameter[str | None] = Parameter(
    "before",
    "Only lines older than this one; the `next` of the page before.",
    _cursor,
    None,
    {"type": "string", "pattern": r"^\d+-\d+-\d+$"},
)
LIMIT = whole("limit", "How many lines at most.", 1, 1_000, 100)
SPAN = (RANGE_OR_NONE, START, END)
SERVICE = short_text("service", "Only what is of this service.", 1_000)
NAME = short_text("name", "A metric's name; without it the names of all metrics are listed.", 200)
AGGREGATE = choice(
    "aggregate",
    "What stands for the samples of one step; a counter's samples are increments. Percentiles are "
    "of pushed histograms alone.",
    {name: name for name in AGGREGATES},
    "avg",
)
MATCH: Parameter[dict[str, str]] = Parameter(
    "match",
    "Only series with these attributes, such as `target:main,state:active`.",
    _attributes,
    {},
    {"type": "string", "maxLength": 500},
)
ATTRIBUTES: Parameter[dict[str, str]] = Parameter(
    "attributes",
    "Only series with these attributes, such as `target:main,state:active`.",
    _attributes,
    {},
    {"type": "string", "maxLength": 500},
)


class Span(Struct, frozen=True):
    """A stretch of time in Unix seconds; its end is not part of it."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def span_of(query: Query, now: float) -> Span:
    """
    Return the stretch that range, or start and end, ask for; the last hour when nothing is asked.

    Raises BadParameter.
    """
    picked, start, end = RANGE_OR_NONE.of(query), START.of(query), END.of(query)
    if start is None and end is None:
        return Span(now - (picked or RANGES["1h"]), now)
    if picked is not None:
        raise BadParameter("range", "excludes start and end", "both")
    if start is None:
        raise BadParameter("start", "expected beside end", "nothing")
    end = now if end is None else end
    if not SPAN_MINIMUM <= end - start <= SPAN_MAXIMUM:
        days = math.floor(SPAN_MAXIMUM / 86_400)
        rule = f"expected a start from {SPAN_MINIMUM:.0f} s to {days} days before the end"
        raise BadParameter("start", rule, f"{start:.0f} with end {end:.0f}")
    return Span(start, end)
