"""One measured figure beside what it must reach, and tables of them: as text and in Markdown."""

from __future__ import annotations

import traceback

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """`value` is None where nothing could be measured, `good` where there is no limit to keep."""

    what: str
    value: float | None
    unit: str
    target: str
    good: bool | None


def crashed(bench: str, error: Exception) -> Row:
    """Return the row of a benchmark that did not come to its end: a limit missed."""
    said = f"{type(error).__name__}: {error}".strip(": ").partition("\n")[0]
    for frame in traceback.extract_tb(error.__traceback__)[-1:]:
        said += f", {Path(frame.filename).name}:{frame.lineno}"
    return Row(f"{bench}: crashed", None, f"({said})", "its end", False)


def figure(row: Row) -> str:
    """Return the measured figure with its unit."""
    if row.value is None:
        return f"nothing {row.unit}"
    value = f"{row.value:,.0f}" if abs(row.value) >= 1000 else f"{row.value:.3g}"
    return f"{value} {row.unit}".strip()


def render(rows: Sequence[Row]) -> str:
    """Return the rows as an aligned text table."""
    marks = {True: "ok", False: "MISSED", None: ""}
    cells = [("what", "measured", "must reach", "")]
    cells += [(row.what, figure(row), row.target, marks[row.good]) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def in_markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    marks = {True: "yes", False: "**no**", None: ""}
    cells = [("what", "measured", "must reach", "met"), ("---",) * 4]
    cells += [(row.what, figure(row), row.target, marks[row.good]) for row in rows]
    return "\n".join("| " + " | ".join(map(in_cell, line)) + " |" for line in cells)


def in_cell(text: str) -> str:
    """Return a text that does not end its cell."""
    return text.replace("|", r"\|")
